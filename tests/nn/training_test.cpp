#include "nn/training.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"
#include "tests/temporary_directory.hpp"

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

TEST_CASE("training: releases the values that led to a loss") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0});
    nn::Training training(model, sgd, {.steps = 2});
    Var<double> seen;
    std::size_t refused = 0;
    training.run(
        [&](Tape<double>& tape) {
            seen = model.loss(tape);
            return seen;
        },
        {},
        [&](const nn::TrainingState& now) {
            if (now.step == 0) return;
            CHECK_THROWS_WITH(seen.item(), Contains("release"));
            ++refused;
        });
    CHECK(refused == 2);
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

TEST_CASE("training: a step whose gradient isn't finite can be left out") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0.1});
    nn::Training training(model, sgd, {.steps = 4, .non_finite = nn::NonFinite::leave});
    std::size_t step = 0;
    training.run([&](Tape<double>& tape) {
        return step++ == 0 ? Var<double>(sum(sqrt(tape.watch(model.w)))) : model.loss(tape);
    });
    CHECK(training.state().left_out == 1);
    CHECK(3 - model.value() == Approx(3 * std::pow(0.8, 3)));
}

TEST_CASE("training: options out of range are refused") {
    Guess model;
    nn::SGD sgd(model);
    using Training = nn::Training<Guess, nn::SGD<double>>;
    CHECK_THROWS_WITH(Training(model, sgd, {.accumulate = 0}), Contains("[Training] accumulate is 0"));
    CHECK_THROWS_WITH(Training(model, sgd, {.seconds = -1}), Contains("[Training] seconds is -1"));
    CHECK_THROWS_WITH(Training(model, sgd, {.max_norm = 0}), Contains("[Training] max_norm is 0"));
    CHECK_THROWS_AS(Training(model, sgd, {.max_norm = std::nan("")}), std::invalid_argument);
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

TEST_CASE("training: a validation records nothing, in evaluation mode, and steps are in training mode") {
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
    CHECK(state.since_best == 3);
    CHECK(state.curve.validation == std::vector<double>{9, 3, 2, 2, 2.5, 4});
}

TEST_CASE("training: a goal or a patience needs a validation, and a loss the tape of the training") {
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0.1});
    const auto loss = [&](Tape<double>& tape) { return model.loss(tape); };
    CHECK_THROWS_WITH(nn::Training(model, sgd, {.steps = 5, .patience = 1}).run(loss),
                      Contains("patience without a validation"));
    CHECK_THROWS_AS(nn::Training(model, sgd, {.steps = 5, .goal = 0}).run(loss), std::invalid_argument);
    Tape<double> other;
    CHECK_THROWS_AS(
        nn::Training(model, sgd, {.steps = 5}).run([&](Tape<double>&) { return model.loss(other); }),
        xtape::TapeError);
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
                         seen += now.has_new_best() ? "!" : "v";
                     else if (now.has_new_point)
                         seen += ".";
                 });
    // At the end what the last point lacks is added.
    CHECK(training.state().curve.step == std::vector<double>{0, 2, 4, 6});
    CHECK(seen == "0!12.34v56.6v");
}

// ---- checkpoints -------------------------------------------------------------------------------------------------

namespace {

using Bits = std::vector<std::uint64_t>;

/// A run with everything that changes on the way: dropout, shuffled batches, a state carried from step to step, and a
/// learning rate that depends on validations.
struct Run {
    static constexpr std::size_t N = 10, T = 3, D = 2, H = 3, steps = 14;

    struct Model {
        using value_type = float;
        Model(nn::Engine& engine, nn::Engine& of_dropout)
            : cell(D, H, engine), dropout(0.3, of_dropout), head(H, 1, engine) {}
        template <class F>
        void visit(F&& f) {
            f("cell", cell);
            f("dropout", dropout);
            f("head", head);
        }
        nn::GRUCell<float> cell;
        nn::Dropout dropout;
        nn::Linear<float> head;
    };

    /// What the seed decides is overwritten when a run is resumed.
    explicit Run(std::uint64_t seed) : start(seed), drops(seed), model(start, drops) {
        nn::Engine numbers(17);
        const Sequence drawn = random(numbers, std::array{T, N, D});
        xs = xt::cast<float>(drawn);
    }

    Var<float> loss(Tape<float>& tape) {
        const auto rows = nn::batch_of(xs, batches.next(), 1);  // always of 5
        const Var<float> inputs = tape.constant(rows);
        const auto last = nn::unroll(model.cell, inputs, carried).outputs[-1];
        return nn::mse(model.head(model.dropout(last)),
                       tape.constant(xt::xtensor<float, 2>(xt::view(rows, 0, xt::all(), xt::range(0, 1)))));
    }
    double validate(Tape<float>& tape) const {
        const auto outputs = nn::unroll(model.cell, tape.constant(xs)).outputs;
        return mean(square(model.head(model.dropout(outputs)))).item();
    }

    /// Until its end, or until `stop_after` steps are done, or until a loss throws after so many steps.
    void train(const std::string& file, bool resume, std::size_t stop_after = 1000,
               std::size_t throw_after = 1000) {
        nn::Adam adam(model, {.learning_rate = 1e-2, .amsgrad = true});
        nn::Training training(model, adam,
                              {.steps = steps,
                               .accumulate = 2,
                               .max_norm = 0.5,
                               .validate = {.steps = 3},
                               .record = {.steps = 2},
                               .stop = [&] { return done >= stop_after; },
                               .checkpoint = file,
                               .save = {.steps = 1}},
                              [&](auto& f) {
                                  f("batches", batches);
                                  f("drops", drops);
                                  f("carried", carried);
                                  f("plateau", plateau);
                              });
        if (resume) REQUIRE(training.resume());
        training.run(
            [&](Tape<float>& tape) {
                if (training.state().step == throw_after) throw std::domain_error("power failure");
                return loss(tape);
            },
            [&](Tape<float>& tape) { return validate(tape); },
            [&](const nn::TrainingState& now) {
                done = now.step;
                if (now.has_new_validation()) adam.set_learning_rate(plateau(now.validation));
            });
        const nn::TrainingState& state = training.state();
        for (const std::vector<double>* const column :
             {&state.curve.step, &state.curve.training, &state.curve.validation})
            for (const double number : *column) bits.push_back(std::bit_cast<std::uint64_t>(number));
        nn::for_each_parameter(model, [&](const xtape::Parameter<float>& parameter) {
            for (std::size_t k = 0; k < parameter.size(); ++k)
                bits.push_back(std::bit_cast<std::uint32_t>(parameter.data()[k]));
        });
        for (const double number :
             {state.best, state.smooth_loss, state.loss, adam.learning_rate(),
              static_cast<double>(state.best_step), static_cast<double>(state.since_best)})
            bits.push_back(std::bit_cast<std::uint64_t>(number));
        bits.push_back(drops());
        bits.push_back(batches.next()[0]);
    }

    nn::Engine start, drops;
    Model model;
    nn::Batches batches{N, {.size = 5, .seed = 3}};
    nn::CarriedState<Var<float>> carried;
    nn::ReduceLROnPlateau plateau{{.learning_rate = 1e-2, .factor = 0.5, .patience = 0, .threshold = 0.05}};
    xt::xtensor<float, 3> xs;
    std::size_t done = 0;
    Bits bits;  // what came of it
};

}  // namespace

TEST_CASE("training: stopped after any step and resumed, a run is the unbroken one bit by bit") {
    const TemporaryDirectory directory;
    Run unbroken(1);
    unbroken.train(directory / "unbroken.safetensors", false);
    REQUIRE(unbroken.plateau.learning_rate() < 1e-2);  // so that it matters
    for (std::size_t step = 0; step <= Run::steps; ++step) {
        CAPTURE(step);
        const std::string file = directory / "run.safetensors";
        Run stopped(1), resumed(2);
        stopped.train(file, false, step);
        CHECK(stopped.done == step);
        CHECK((stopped.bits == unbroken.bits) == (step == Run::steps));
        resumed.train(file, true);
        CHECK(resumed.bits == unbroken.bits);
    }
}

TEST_CASE(
    "training: killed after any step, a run goes on from its checkpoint, and is the unbroken one bit by "
    "bit") {
    const TemporaryDirectory directory;
    Run unbroken(1);
    unbroken.train(directory / "unbroken.safetensors", false);
    for (std::size_t step = 1; step < Run::steps; ++step) {
        CAPTURE(step);
        const std::string file = directory / "run.safetensors";
        Run killed(1), resumed(2);
        CHECK_THROWS_AS(killed.train(file, false, 1000, step), std::domain_error);
        resumed.train(file, true);
        CHECK(resumed.bits == unbroken.bits);
    }
}

TEST_CASE("training: a run that is over ends again for the same reason, without a step") {
    const TemporaryDirectory directory;
    const nn::TrainingOptions options{
        .steps = 100, .validate = {.steps = 2}, .patience = 2, .checkpoint = directory / "run.safetensors"};
    for (int run = 0; run < 2; ++run) {
        Guess model;
        nn::SGD sgd(model, {.learning_rate = 0});
        nn::Training training(model, sgd, options);
        CHECK(training.resume() == (run == 1));
        int losses = 0;
        const nn::TrainingEnd end = training.run(
            [&](Tape<double>& tape) {
                ++losses;
                return model.loss(tape);
            },
            [](Tape<double>&) { return 1.0; });
        CHECK(end == nn::TrainingEnd::patience);
        CHECK(losses == (run == 0 ? 4 : 0));
        CHECK(training.state().step == 4);
        CHECK(training.state().curve.step == std::vector<double>{0, 2, 4});
    }
}

TEST_CASE("training: the checkpoint of another model is refused, and nothing has changed") {
    const TemporaryDirectory directory;
    const std::string file = directory / "run.safetensors";
    Guess model;
    nn::SGD sgd(model, {.learning_rate = 0.1});
    nn::Training training(model, sgd, {.steps = 1, .checkpoint = file});
    training.run([&](Tape<double>& tape) { return model.loss(tape); });

    nn::Engine engine(1);
    nn::Linear<double> other(2, 1, engine);
    const xt::xarray<double> before = other.weight.value();
    nn::SGD of_other(other);
    nn::Training fails(other, of_other, {.checkpoint = file});
    CHECK_THROWS_WITH(fails.resume(), Contains(file) && Contains("model.weight") && Contains("model.w"));
    CHECK((before == other.weight.value()));
    CHECK(fails.state().step == 0);
}
