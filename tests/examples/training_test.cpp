#include "examples/training.hpp"

#include <cmath>

#include "examples/long_memory.hpp"
#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

/// Finds the number 3.
struct Guess {
    xtape::Parameter<float> number{xtape::Shape{1}, "number"};
    template <class F>
    void visit(F&& f) {
        f("number", number);
    }
    Var<float> loss(Tape<float>& tape) const { return sum(square(tape.watch(number) - 3)); }
};

LearningCurve learn(TrainingOptions options, const TemporaryDirectory& directory) {
    options.picture = directory / "guess.svg";
    Learning learning(
        options, {.title = "Guess", .test = "error", .test_is_loss = true, .levels = {{"by saying 0", 9}}});
    Guess model;
    const LearningCurve curve = learning.train(
        "guess", model, [&](Tape<float>& tape) { return model.loss(tape); },
        [&](Tape<float>& tape) { return model.loss(tape).item(); });
    CHECK(learning.report("A caption.") == 0);
    return curve;
}

}  // namespace

TEST_CASE(
    "training: a point at the start, after every so many steps, and at the end, in the log and in the "
    "picture") {
    const TemporaryDirectory directory;
    const LearningCurve curve = learn({.steps = 25, .steps_between_tests = 10}, directory);
    CHECK(curve.points.step == std::vector<double>{0, 10, 20, 25});
    CHECK(curve.steps() == 25);
    CHECK(curve.points.validation[0] == Approx(9));
    CHECK(curve.test() < 9);
    const std::string log = contents_of(directory / "guess.csv");
    CHECK_THAT(log, Catch::StartsWith("run,step,seconds,training loss,error,by saying 0\nguess,0,"));
    CHECK(column(log, "step") == curve.points.step);
    CHECK(column(log, "error") == curve.points.validation);
    CHECK(column(log, "training loss").size() == 3);
    CHECK_THAT(contents_of(directory / "guess.svg"), Catch::Contains("A caption.") &&
                                                         Catch::Contains("guess, training") &&
                                                         Catch::Contains("by saying 0 (9)"));
}

TEST_CASE("training: the log has what is done so far") {
    const TemporaryDirectory directory;
    Learning learning({.steps = 4, .steps_between_tests = 2, .picture = directory / "guess.svg"},
                      {.title = "Guess", .test = "error"});
    Guess model;
    std::vector<std::size_t> rows;
    learning.train(
        "guess", model,
        [&](Tape<float>& tape) {
            rows.push_back(lines(contents_of(directory / "guess.csv")) - 1);
            return model.loss(tape);
        },
        [&](Tape<float>& tape) { return model.loss(tape).item(); });
    CHECK(rows == std::vector<std::size_t>{1, 1, 2, 2});
}

TEST_CASE("training: ends when the test is below the goal") {
    const TemporaryDirectory directory;
    const LearningCurve curve =
        learn({.steps = 100000, .learning_rate = 0.1, .steps_between_tests = 5, .goal = 0.01}, directory);
    CHECK(curve.test() < 0.01);
    CHECK(curve.points.validation[curve.points.validation.size() - 2] >= 0.01);
    CHECK(curve.steps() < 1000);
}

TEST_CASE("training: the learning rate falls along a cosine if asked to") {
    // As long as the gradient hardly changes, Adam moves by the learning rate: 0.001 · 100 steps, and half of it (and
    // a hundredth) on the average of a falling cosine.
    const TemporaryDirectory directory;
    const double constant = std::sqrt(learn({.steps = 100, .learning_rate = 1e-3}, directory).test());
    const double falling =
        std::sqrt(learn({.steps = 100, .learning_rate = 1e-3, .anneal = true}, directory).test());
    CHECK(3 - constant == Approx(0.1).epsilon(0.02));
    CHECK(3 - falling == Approx(0.051).epsilon(0.04));
}

TEST_CASE("long memory: gates start such that units remember for 1 to T steps") {
    nn::Engine engine(1);
    const std::size_t H = 200, T = 50;
    nn::LSTMCell<double> lstm(3, H, engine);
    remember_for(T, lstm, engine);
    nn::GRUCell<double> gru(3, H, engine);
    remember_for(T, gru, engine);
    double longest = 0;
    for (std::size_t k = 0; k < H; ++k) {
        // f = 1 - 1/(1 + e^b), so a unit forgets a (1 + e^b)-th in each step.
        const double lstm_time = 1 + std::exp(lstm.bias.data()[H + k]),
                     gru_time = 1 + std::exp(gru.bias.data()[H + k]);
        longest = std::max({longest, lstm_time, gru_time});
        CHECK(lstm_time >= 2);
        CHECK(lstm_time <= T);
        CHECK(gru_time >= 2);
        CHECK(gru_time <= T);
        CHECK(lstm.bias.data()[k] == -lstm.bias.data()[H + k]);
        CHECK(lstm.bias.data()[2 * H + k] == 0);
        CHECK(gru.bias.data()[k] == 0);
    }
    CHECK(longest > 0.9 * T);
}
