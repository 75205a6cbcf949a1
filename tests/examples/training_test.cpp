#include "examples/training.hpp"

#include <cmath>

#include "examples/long_memory.hpp"
#include "tests/catch.hpp"

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

LearningCurve learn(const TrainingOptions& options) {
    Guess model;
    const Interrupt interrupt;
    return train(
        "guess", model, options, interrupt, [&](Tape<float>& tape) { return model.loss(tape); },
        [&](Tape<float>& tape) { return model.loss(tape).item(); });
}

}  // namespace

TEST_CASE("training: a point at the start, after every so many steps, and at the end") {
    const LearningCurve curve = learn({.steps = 25, .steps_between_tests = 10});
    CHECK(curve.step == std::vector<double>{0, 10, 20, 25});
    REQUIRE(curve.test.size() == 4);
    REQUIRE(curve.train.size() == 4);
    CHECK(curve.test[0] == Approx(9));
    CHECK(std::isnan(curve.train[0]));
    // The mean over the steps since the last point lies between that point and this one.
    for (std::size_t k = 1; k < 4; ++k) {
        CHECK(curve.train[k] < curve.test[k - 1] + 1e-5);
        CHECK(curve.train[k] > curve.test[k]);
    }
}

TEST_CASE("training: ends when the test is below the goal") {
    const LearningCurve curve =
        learn({.steps = 100000, .learning_rate = 0.1, .steps_between_tests = 5, .goal = 0.01});
    CHECK(curve.test.back() < 0.01);
    CHECK(curve.test[curve.test.size() - 2] >= 0.01);
    CHECK(curve.step.back() < 1000);
}

TEST_CASE("training: the learning rate falls along a cosine if asked to") {
    // As long as the gradient hardly changes, Adam moves by the learning rate: 0.001 · 100 steps, and half of it (and
    // a hundredth) on the average of a falling cosine.
    const double constant = std::sqrt(learn({.steps = 100, .learning_rate = 1e-3}).test.back());
    const double falling =
        std::sqrt(learn({.steps = 100, .learning_rate = 1e-3, .anneal = true}).test.back());
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
