#include "nn/training.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::NoRecording;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;
using Catch::Contains;

namespace {

/// Finds a number: the loss is (w - target)².
struct Guess {
    using value_type = double;
    Parameter<double> w{Shape{1}, "w"};
    bool training = true;

    template <class F>
    void visit(F&& f) {
        f("w", w);
    }
    Var<double> loss(Tape<double>& tape, double target = 3) const {
        return sum(square(tape.watch(w) - target));
    }
    double value() const { return w.value()(0); }
};

/// A training whose validations are these numbers, one after the other; the rate of SGD is 0 unless told.
struct Scripted {
    std::vector<double> validations;
    nn::TrainingOptions options;

    std::pair<nn::TrainingEnd, nn::TrainingState> run() {
        Guess model;
        nn::SGD sgd(model, {.learning_rate = 0});
        nn::Training training(model, sgd, options);
        std::size_t k = 0;
        const nn::TrainingEnd end = training.run([&](Tape<double>& tape) { return model.loss(tape); },
                                                 [&](Tape<double>&) { return validations.at(k++); });
        return {end, training.state()};
    }
};

const double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

// ---- steps -------------------------------------------------------------------------------------------------------

TEST_CASE("training: does what the six lines of a loop do") {
    const nn::CosineAnnealingLR schedule{.learning_rate = 0.3, .steps = 20};
    Guess by_hand, model;
    nn::Adam adam_by_hand(by_hand), adam(model);
    Tape<double> tape;
    for (std::size_t step = 0; step < 20; ++step) {
        tape.clear();
        backward(by_hand.loss(tape));
        nn::clip_grad_norm(by_hand, 2.0);
        adam_by_hand.set_learning_rate(schedule(step));
        adam_by_hand.step();
        nn::zero_grad(by_hand);
    }
    nn::Training training(model, adam, {.steps = 20, .max_norm = 2, .learning_rate = schedule});
    CHECK(training.run([&](Tape<double>& t) { return model.loss(t); }) == nn::TrainingEnd::steps);
    CHECK(model.value() == by_hand.value());
    CHECK(model.value() > 1);
    CHECK_FALSE(model.w.has_grad());
}

TEST_CASE("training: the losses of k batches give a step of the gradient of all of them in one") {
    constexpr std::size_t T = 4, B = 3, k = 5, D = 3, H = 4;
    nn::Engine engine(1);
    const Sequence xs = random(engine, std::array{T, k * B, D});
    const nn::LSTMCell<double> start(D, H, engine);
    const auto step = [&](std::size_t accumulate, std::size_t size) {
        nn::LSTMCell<double> cell = start;
        nn::SGD sgd(cell, {.learning_rate = 1});
        nn::Batches batches(k * B, {.size = size, .shuffle = false});
        nn::Training training(cell, sgd, {.steps = 1, .accumulate = accumulate});
        training.run([&](Tape<double>& tape) {
            const Sequence batch = nn::batch_of(xs, batches.next(), 1);
            return Var<double>(mean(square(nn::unroll(cell, tape.constant(batch)).outputs)));
        });
        CHECK(training.state().gradient_norm > 0);
        return std::pair(xt::xarray<double>(cell.weight.value()), training.state().loss);
    };
    const auto [joined, joined_loss] = step(1, k * B);
    const auto [accumulated, accumulated_loss] = step(k, B);
    CHECK(distance(accumulated, joined) < 1e-12);
    CHECK(accumulated_loss == Approx(joined_loss).epsilon(1e-12));
    CHECK(distance(joined, start.weight.value()) > 1e-3);
}

TEST_CASE("training: gradients are clipped, and their norm before that is told") {
    Guess model;  // at 0 the gradient is 2 (0 - 3)
    nn::SGD sgd(model, {.learning_rate = 1});
    nn::Training training(model, sgd, {.steps = 1, .max_norm = 0.5});
    training.run([&](Tape<double>& tape) { return model.loss(tape); });
    CHECK(training.state().gradient_norm == 6);
    CHECK(training.state().loss == 9);
    CHECK(model.value() == Approx(0.5).margin(1e-6));
}

TEST_CASE("training: a loss that isn't finite names the step, and the parameters are those before it") {
    for (const double bad : {not_a_number, std::numeric_limits<double>::infinity()}) {
        Guess model;
        nn::SGD sgd(model, {.learning_rate = 0.1});
        nn::Training training(model, sgd, {.steps = 10, .accumulate = 2});
        int losses = 0;
        double before = 0;
        const auto loss = [&](Tape<double>& tape) -> Var<double> {
            if (losses == 6) before = model.value();
            return ++losses == 8 ? Var<double>(model.loss(tape) * bad)
                                 : model.loss(tape);  // the second of step 3
        };
        CHECK_THROWS_WITH(training.run(loss),
                          Contains("[Training] the loss of step 3 is") && Contains("finite"));
        CHECK(model.value() == before);
        CHECK(training.state().step == 3);
        // The gradient of the first loss of that step would make the next step longer.
        training.run([&](Tape<double>& tape) { return model.loss(tape); });
        CHECK(3 - model.value() == Approx((3 - before) * std::pow(0.8, 7)));
    }
}

TEST_CASE("training: a gradient that isn't finite names the step and the parameter") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0});
    nn::Training training(model, sgd, {.steps = 10});
    std::size_t step = 0;
    CHECK_THROWS_WITH(training.run([&](Tape<double>& tape) {
        return step++ < 2 ? model.loss(tape)
                          : Var<double>(sum(sqrt(tape.watch(model.w))));  // at 0 infinitely steep
    }),
                      Contains("[Training] in step 2: ") && Contains("the gradient of w is not finite"));
    CHECK(model.value() == 0);
}

TEST_CASE("training: options out of range are refused") {
    Guess model;
    nn::SGD sgd(model);
    using Training = nn::Training<Guess, nn::SGD<double>>;
    CHECK_THROWS_WITH(Training(model, sgd, {.accumulate = 0}), Contains("[Training] accumulate is 0"));
    CHECK_THROWS_WITH(Training(model, sgd, {.seconds = -1}), Contains("[Training] seconds is -1"));
    Training unclipped(model, sgd, {.max_norm = 0});
    CHECK_THROWS_AS(unclipped.run([&](Tape<double>& tape) { return model.loss(tape); }),
                    std::invalid_argument);
}

// ---- validation and the curve ------------------------------------------------------------------------------------

TEST_CASE("training: a point of the curve at the start, after every so many steps, and at the end") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0.1});  // each step leaves 0.8 of the distance
    nn::Training training(model, sgd, {.steps = 25, .validate = {.steps = 10}});
    training.run([&](Tape<double>& tape) { return model.loss(tape); },
                 [&](Tape<double>& tape) { return model.loss(tape).item(); });
    const nn::LossCurve& curve = training.state().curve;
    CHECK(curve.step == std::vector<double>{0, 10, 20, 25});
    const auto loss_after = [](double steps) { return 9 * std::pow(0.64, steps); };
    REQUIRE(curve.training.size() == 4);
    CHECK(std::isnan(curve.training[0]));
    for (std::size_t k = 0; k < 4; ++k) {
        CHECK(curve.validation[k] == Approx(loss_after(curve.step[k])));
        if (k == 0) continue;
        // The sum of a geometric series.
        const double first = curve.step[k - 1], count = curve.step[k] - first;
        CHECK(curve.training[k] == Approx(loss_after(first) * (1 - std::pow(0.64, count)) / 0.36 / count));
        CHECK(curve.seconds[k] >= curve.seconds[k - 1]);
    }
}

TEST_CASE("training: points can be recorded between validations, by parts of the run") {
    const auto [end, state] =
        Scripted{{5, 4, 3}, {.steps = 8, .validate = {.parts = 2}, .record = {.parts = 4}}}.run();
    CHECK(state.curve.step == std::vector<double>{0, 2, 4, 6, 8});
    CHECK(std::isnan(state.curve.validation[1]));
    CHECK(state.curve.validation[2] == 4);
    CHECK(std::isnan(state.curve.validation[3]));
    CHECK(state.curve.validation[4] == 3);
    CHECK(state.best == 3);
}

TEST_CASE("training: parts that aren't whole steps are spread over all of them") {
    const auto [end, state] = Scripted{{9, 8, 7, 6}, {.steps = 10, .validate = {.parts = 3}}}.run();
    CHECK(state.curve.step == std::vector<double>{0, 4, 7, 10});
    // More parts than steps: each step.
    const auto [other, each] = Scripted{{9, 8, 7, 6}, {.steps = 3, .validate = {.parts = 100}}}.run();
    CHECK(each.curve.step == std::vector<double>{0, 1, 2, 3});
}

TEST_CASE("training: without a validation there are points of the losses all the same") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0});
    nn::Training training(model, sgd, {.steps = 4, .validate = {.steps = 2}});
    training.run([&](Tape<double>& tape) { return model.loss(tape); });
    const nn::LossCurve& curve = training.state().curve;
    CHECK(curve.step == std::vector<double>{0, 2, 4});
    CHECK(curve.training[2] == 9);
    for (const double validation : curve.validation) CHECK(std::isnan(validation));
    CHECK(std::isnan(training.state().best));
}

TEST_CASE("training: a validation records nothing, in evaluation mode; steps are in training mode") {
    Guess model;
    model.training = false;
    nn::SGD sgd(model, {.learning_rate = 0});
    nn::Training training(model, sgd, {.steps = 2, .validate = {.steps = 1}});
    int modes = 0;
    training.run(
        [&](Tape<double>& tape) {
            modes += model.training && tape.recording();
            return model.loss(tape);
        },
        [&](Tape<double>& tape) {
            modes += !model.training && !tape.recording();
            return 0.0;
        });
    CHECK(modes == 2 + 3);
    CHECK(model.training);
    CHECK_THROWS_AS(nn::Training(model, sgd, {.steps = 1})
                        .run({}, [](Tape<double>&) -> double { throw std::domain_error(""); }),
                    std::domain_error);
    CHECK(model.training);
}

// ---- how it ends -------------------------------------------------------------------------------------------------

TEST_CASE("training: ends when patience runs out, at the step it should, and knows the best") {
    // Best at step 4 (2.0), then no better three times: at 6 equal, at 8 and 10 worse.
    const auto [end, state] =
        Scripted{{9, 3, 2, 2, 2.5, 4, 1}, {.steps = 100, .validate = {.steps = 2}, .patience = 3}}.run();
    CHECK(end == nn::TrainingEnd::patience);
    CHECK(state.step == 10);
    CHECK(state.best == 2);
    CHECK(state.best_step == 4);
    CHECK_FALSE(state.is_best());
    CHECK(state.curve.validation == std::vector<double>{9, 3, 2, 2, 2.5, 4});
}

TEST_CASE("training: patience starts anew with each improvement, and larger may be better") {
    const auto [end, state] =
        Scripted{{1, 0, 2, 0, 3, 0, 0},
                 {.steps = 100, .validate = {.steps = 1}, .larger_is_better = true, .patience = 2}}
            .run();
    CHECK(end == nn::TrainingEnd::patience);
    CHECK(state.step == 6);
    CHECK(state.best == 3);
    CHECK(state.best_step == 4);
}

TEST_CASE("training: NaN is no better than anything, and anything is better than it") {
    const auto [end, state] = Scripted{{not_a_number, 5, not_a_number, not_a_number},
                                       {.steps = 100, .validate = {.steps = 1}, .patience = 2}}
                                  .run();
    CHECK(end == nn::TrainingEnd::patience);
    CHECK(state.best == 5);
    CHECK(state.step == 3);
}

TEST_CASE("training: ends when a validation is better than the goal, in its own direction") {
    const auto [end, state] =
        Scripted{{3, 2, 1, 0.5}, {.steps = 100, .validate = {.steps = 5}, .goal = 1}}.run();
    CHECK(end == nn::TrainingEnd::goal);
    CHECK(state.step == 15);
    const auto [other, accuracy] =
        Scripted{{0.2, 0.9}, {.steps = 100, .validate = {.steps = 5}, .larger_is_better = true, .goal = 0.8}}
            .run();
    CHECK(other == nn::TrainingEnd::goal);
    CHECK(accuracy.step == 5);
}

TEST_CASE("training: ends when it is asked to, with a last validation") {
    std::size_t asked = 0;
    const auto [end, state] = Scripted{
        {3, 2, 1}, {.steps = 100, .validate = {.steps = 5}, .stop = [&] {
                        return ++asked == 8;
                    }}}.run();
    CHECK(end == nn::TrainingEnd::stop);
    CHECK(state.curve.step == std::vector<double>{0, 5, 7});
}

TEST_CASE("training: ends when its time is over") {
    const auto [end, state] = Scripted{std::vector<double>(1000, 1.0),
                                       {.steps = 1'000'000'000, .seconds = 0.05, .validate = {.parts = 5}}}
                                  .run();
    CHECK(end == nn::TrainingEnd::seconds);
    CHECK(state.seconds >= 0.05);
    CHECK(state.part == 1);
    CHECK(state.curve.step.size() >= 2);
    CHECK(state.curve.step.size() <= 7);  // the start, five parts, and the end
}

TEST_CASE("training: no steps, or no time, is a validation and nothing else") {
    for (const nn::TrainingOptions& options :
         {nn::TrainingOptions{.steps = 0}, nn::TrainingOptions{.seconds = 0}}) {
        const auto [end, state] = Scripted{{4}, options}.run();
        CHECK(state.step == 0);
        CHECK(state.curve.validation == std::vector<double>{4});
    }
}

// ---- the observer ------------------------------------------------------------------------------------------------

TEST_CASE(
    "training: the observer is told of the start, each step, each new point, and a last one at the end") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0});
    nn::Training training(model, sgd, {.steps = 6, .validate = {.steps = 4}, .record = {.steps = 2}});
    std::string seen;
    training.run([&](Tape<double>& tape) { return model.loss(tape); }, [](Tape<double>&) { return 1.0; },
                 [&](const nn::TrainingState& now) {
                     seen += std::to_string(now.step);
                     if (now.has_new_validation())
                         seen += now.is_best() ? "!" : "v";
                     else if (now.has_new_point)
                         seen += ".";
                 });
    // At the end what the last point lacks is added.
    CHECK(training.state().curve.step == std::vector<double>{0, 2, 4, 6});
    CHECK(seen == "0!12.34v56.6v");
}
