#include "nn/truncated_bptt.hpp"

#include <stdexcept>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t B = 2, D = 3, H = 4;

Sequence steps_of(const Sequence& xs, std::size_t begin, std::size_t end) {
    return xt::view(xs, xt::range(begin, end), xt::all(), xt::all());
}

}  // namespace

TEST_CASE("truncated BPTT: the gradient goes back k2 steps from the losses of the last k1") {
    constexpr std::size_t k1 = 3, k2 = 9, windows = 6;
    nn::Engine engine(1);
    nn::LSTMCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array{windows * k1, B, D});
    Tape<double> tape, whole;
    nn::TruncatedBPTT<double, nn::LSTMCell<double>> stream(cell, {.k1 = k1, .k2 = k2});
    for (std::size_t w = 0; w < windows; ++w) {
        tape.clear();
        nn::zero_grad(cell);
        const auto [outputs, state] = stream.window(tape, steps_of(xs, w * k1, (w + 1) * k1));
        backward(sum(square(outputs)));
        const xt::xarray<double> gradient = cell.weight.grad(), values = outputs.value();

        // All steps from the first one on, with the gradient cut k2 steps before the end.
        whole.clear();
        nn::zero_grad(cell);
        const std::size_t end = (w + 1) * k1, cut = end > k2 ? end - k2 : 0;
        auto from = cell.initial_state(whole, B);
        if (cut > 0) {
            const auto before = nn::unroll(cell, whole.constant(steps_of(xs, 0, cut)), from).state;
            from = {stop_gradient(before.h), stop_gradient(before.c)};
        }
        const Var<double> all = nn::unroll(cell, whole.constant(steps_of(xs, cut, end)), from).outputs;
        const Var<double> last = slice(all, 0, -static_cast<std::ptrdiff_t>(k1));
        backward(sum(square(last)));
        CHECK(distance(values, last.value()) < tolerance);
        CHECK(distance(gradient, cell.weight.grad()) < tolerance);
    }
}

TEST_CASE("truncated BPTT: with k1 = k2 each step is computed once, and the stream is one sequence") {
    nn::Engine engine(1);
    nn::RNNCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array<std::size_t, 3>{12, B, D});
    Tape<double> tape, whole;
    const xt::xarray<double> expected = nn::unroll(cell, whole.constant(xs)).outputs.value();
    nn::TruncatedBPTT stream(cell, {.k1 = 4, .k2 = 4});
    for (int round = 0; round < 2; ++round) {
        for (std::size_t begin = 0; begin < 12; begin += 4) {
            tape.clear();
            const auto result = stream.window(tape, steps_of(xs, begin, begin + 4));
            CHECK(distance(result.outputs.value(), steps_of(expected, begin, begin + 4)) < tolerance);
        }
        stream.forget();
    }
}

TEST_CASE("truncated BPTT: memory stays as it is over ten thousand windows") {
    nn::Engine engine(1);
    nn::GRUCell<float> cell(D, H, engine);
    nn::SGD optimizer(cell, {.learning_rate = 1e-3});
    const xt::xtensor<float, 3> xs = xt::cast<float>(random(engine, std::array<std::size_t, 3>{5, B, D}));
    Tape<float> tape;
    nn::TruncatedBPTT<float, nn::GRUCell<float>> stream(cell, {.k1 = 5, .k2 = 15});
    std::size_t settled = 0;
    for (int window = 0; window < 10'000; ++window) {
        tape.clear();
        nn::zero_grad(cell);
        backward(sum(square(stream.window(tape, xs).outputs)));
        optimizer.step();
        if (window == 10) settled = tape.capacity();
    }
    CHECK(tape.capacity() == settled);
}

TEST_CASE("truncated BPTT: what doesn't fit is refused") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    using Stream = nn::TruncatedBPTT<double, nn::RNNCell<double>>;
    CHECK_THROWS_AS(Stream(cell, {.k1 = 0, .k2 = 0}), std::invalid_argument);
    CHECK_THROWS_AS(Stream(cell, {.k1 = 4, .k2 = 2}), std::invalid_argument);
    CHECK_THROWS_AS(Stream(cell, {.k1 = 4, .k2 = 6}), std::invalid_argument);
    Stream stream(cell, {.k1 = 4, .k2 = 4});
    Tape<double> tape;
    CHECK_THROWS_AS(stream.window(tape, random(engine, std::array<std::size_t, 3>{3, B, D})), ShapeError);
    stream.window(tape, random(engine, std::array<std::size_t, 3>{4, B, D}));
    CHECK_THROWS_AS(stream.window(tape, random(engine, std::array<std::size_t, 3>{4, B + 1, D})), ShapeError);
}

TEST_CASE("truncated BPTT: a window that throws leaves the stream where it was") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    using Stream = nn::TruncatedBPTT<double, nn::RNNCell<double>>;
    Stream stream(cell, {.k1 = 2, .k2 = 4}), other(cell, {.k1 = 2, .k2 = 4});
    Tape<double> tape;
    for (int k = 0; k < 5; ++k) {
        const Sequence xs = random(engine, std::array<std::size_t, 3>{2, B, D});
        tape.clear();
        CHECK_THROWS_AS(stream.window(tape, random(engine, std::array<std::size_t, 3>{2, B, D + 1})),
                        ShapeError);
        const Var<double> outputs = stream.window(tape, xs).outputs;
        CHECK(distance(outputs.value(), other.window(tape, xs).outputs.value()) < tolerance);
    }
}
