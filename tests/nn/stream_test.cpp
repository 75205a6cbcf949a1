#include "nn/stream.hpp"

#include <array>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Parameter;
using xtape::Shape;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t D = 6, H = 10;

/// The outputs of a cell that is unrolled over all inputs at once.
template <class T, class Cell>
xt::xarray<T> unrolled(const Cell& cell, const xt::xarray<T>& xs) {
    Tape<T> tape;
    const xtape::NoRecording values_only(tape);
    return nn::unroll(cell, tape.constant(xs)).outputs.value();
}

/// Feeds the inputs one by one and compares each output.
template <class T, class Cell>
void check_stream(const Cell& cell, std::size_t batch, std::size_t steps) {
    INFO("batch " << batch << ", " << steps << " steps");
    nn::Engine engine(4);
    const xt::xarray<T> xs = xt::cast<T>(random(engine, std::array{steps, batch, D}));
    const xt::xarray<T> expected = unrolled<T>(cell, xs);
    Tape<T> tape;
    nn::Stream stream(tape, cell);
    double worst = 0;
    for (std::size_t t = 0; t < steps; ++t) {
        // A view whose data begins elsewhere.
        const auto h = t % 2 == 0 ? stream(xt::view(xs, t, xt::all(), xt::all()))
                                  : stream(xt::xtensor<T, 2, xt::layout_type::column_major>(xt::view(xs, t)));
        REQUIRE(h.shape().size() == 2);
        for (std::size_t i = 0; i < batch; ++i)
            for (std::size_t j = 0; j < H; ++j)
                worst = std::max(
                    worst, std::abs(static_cast<double>(h(i, j)) - static_cast<double>(expected(t, i, j))));
    }
    CHECK(worst < (sizeof(T) == 4 ? 1e-5 : 1e-13));
}

/// Counts how often it is run.
struct Counting {
    Parameter<double> weight{Shape{D, H}};
    mutable std::size_t runs = 0;

    Var<double> initial_state(Tape<double>& tape, std::size_t batch) const {
        return nn::zeros(tape, Shape{batch, H});
    }
};
struct Promised : Counting {
    auto on(Tape<double>& tape) const {
        return nn::every_step(
            [this, w = tape.watch(weight)](const Var<double>& x, const Var<double>& h) -> Var<double> {
                ++runs;
                return tanh(matmul(x, w) + 0.5 * h);
            });
    }
};
struct Free : Counting {
    Var<double> operator()(const Var<double>& x, const Var<double>& h) const {
        ++runs;
        return tanh(matmul(x, x.tape().watch(weight)) + 0.5 * h);
    }
};
/// With an op that notes no calls.
struct WithSoftmax : Counting {
    auto on(Tape<double>& tape) const {
        return nn::every_step(
            [this, w = tape.watch(weight)](const Var<double>& x, const Var<double>& h) -> Var<double> {
                ++runs;
                return softmax(matmul(x, w) + h);
            });
    }
};
/// A state that is the right operand of a product, beside the input: what is packed for speed must not be kept.
struct RightOperand : Counting {
    Var<double> initial_state(Tape<double>& tape, std::size_t batch) const {
        const Var<double> zero = nn::zeros(tape, Shape{D, H});
        return Var<double>(zero + 0.1 * static_cast<double>(batch));
    }
    Var<double> operator()(const Var<double>& x, const Var<double>& h) const {
        const Var<double> w = x.tape().watch(weight);
        return tanh(h + matmul(transpose(x), matmul(x, h)) + matmul(transpose(x), matmul(x, h * w)));
    }
};
struct PromisedRightOperand : RightOperand {
    auto on(Tape<double>& tape) const {
        return nn::every_step(
            [w = tape.watch(weight)](const Var<double>& x, const Var<double>& h) -> Var<double> {
                return tanh(h + matmul(transpose(x), matmul(x, h)) + matmul(transpose(x), matmul(x, h * w)));
            });
    }
};
/// A state of which one part is handed on as it came, and the parts change places.
struct Swapping : Counting {
    struct State {
        Var<double> h, before;
    };
    State initial_state(Tape<double>& tape, std::size_t batch) const {
        return {nn::zeros(tape, Shape{batch, H}), nn::zeros(tape, Shape{batch, H})};
    }
    auto on(Tape<double>& tape) const {
        return nn::every_step([w = tape.watch(weight)](const Var<double>& x, const State& s) -> State {
            return {Var<double>(tanh(matmul(x, w) + 0.5 * s.before)), s.h};
        });
    }
};

/// A state that is the same value twice: there is one place to find the next one, but two to bring it to.
struct Twice : Counting {
    struct State {
        Var<double> h, c, again;
    };
    State initial_state(Tape<double>& tape, std::size_t batch) const {
        const Var<double> zero = nn::zeros(tape, Shape{batch, H});
        return {zero, zero, zero};
    }
    auto on(Tape<double>& tape) const {
        return nn::every_step([w = tape.watch(weight)](const Var<double>& x, const State& s) -> State {
            const Var<double> h = tanh(matmul(x, w) + 0.5 * s.h - 0.25 * s.again + s.c);
            const Var<double> c = 0.5 * s.c - 0.3 * h;
            return {h, c, h};
        });
    }
};
/// A state that is a part of what was computed in one piece.
struct Halves : Counting {
    auto on(Tape<double>& tape) const {
        return nn::every_step([w = tape.watch(weight)](const Var<double>& x,
                                                       const Var<double>& h) -> Var<double> {
            const Var<double> from_x = matmul(x, w);
            return xtape::split<2>(Var<double>(tanh(xtape::concatenate<double>({from_x, h}, 1) * 0.5)))[1];
        });
    }
};

template <class Cell>
Cell with_weights() {
    Cell cell;
    nn::Engine engine(8);
    nn::normal(cell.weight, 0.5, engine);
    return cell;
}

}  // namespace

TEST_CASE("stream: gives what unrolling over the whole sequence gives, for every cell") {
    nn::Engine engine(2);
    for (std::size_t batch : {1u, 3u}) {
        for (std::size_t steps : {1u, 2u, 3u, 600u}) {
            check_stream<double>(nn::LSTMCell<double>(D, H, engine), batch, steps);
            check_stream<float>(nn::LSTMCell<float>(D, H, engine), batch, steps);
            check_stream<double>(nn::RNNCell<double>(D, H, engine), batch, steps);
            check_stream<double>(nn::GRUCell<double>(D, H, engine, nn::Reset::before_product), batch, steps);
            check_stream<double>(nn::GRUCell<double>(D, H, engine, nn::Reset::after_product), batch, steps);
            check_stream<double>(with_weights<Promised>(), batch, steps);
            check_stream<double>(with_weights<Free>(), batch, steps);
            check_stream<double>(with_weights<WithSoftmax>(), batch, steps);
            check_stream<double>(with_weights<Swapping>(), batch, steps);
            check_stream<double>(with_weights<Twice>(), batch, steps);
            check_stream<double>(with_weights<Halves>(), batch, steps);
        }
    }
}

TEST_CASE("stream: a state may be a matrix on the right of a product") {
    const auto last = [](const auto& cell, bool streamed) {
        nn::Engine engine(4);
        const xt::xarray<double> xs = xt::cast<double>(random(engine, std::array<std::size_t, 3>{40, 3, D}));
        Tape<double> tape;
        if (!streamed) {
            const xtape::NoRecording values_only(tape);
            return xt::xarray<double>(nn::unroll_states(cell, tape.constant(xs)).back().value());
        }
        nn::Stream stream(tape, cell);
        xt::xarray<double> result;
        for (std::size_t t = 0; t < 40; ++t) result = stream(xt::xarray<double>(xt::view(xs, t)));
        return result;
    };
    const auto check = [&](const auto& cell) {
        CHECK(xt::allclose(last(cell, true), last(cell, false), 1e-10, 1e-12));
    };
    check(with_weights<RightOperand>());
    check(with_weights<PromisedRightOperand>());
}

TEST_CASE("stream: a step that promises to be alike is run twice and then repeated, others each time") {
    const xt::xarray<double> x = xt::ones<double>({std::size_t{1}, D});
    const auto runs = [&](const auto& cell) {
        Tape<double> tape;
        nn::Stream stream(tape, cell);
        for (int step = 0; step < 50; ++step) stream(x);
        return cell.runs;
    };
    CHECK(runs(with_weights<Promised>()) == 2);
    CHECK(runs(with_weights<Free>()) == 50);
    CHECK(runs(with_weights<WithSoftmax>()) == 50);
}

TEST_CASE("stream: a stream without end takes no more memory") {
    const auto capacity = [](const auto& cell, int steps) {
        const xt::xarray<double> x = xt::ones<double>({std::size_t{2}, D});
        Tape<double> tape;
        nn::Stream stream(tape, cell);
        for (int step = 0; step < steps; ++step) stream(x);
        return tape.capacity();
    };
    for (int steps : {2000, 20000}) {
        CHECK(capacity(with_weights<Promised>(), steps) == capacity(with_weights<Promised>(), 1000));
        CHECK(capacity(with_weights<Free>(), steps) == capacity(with_weights<Free>(), 1000));
    }
}

TEST_CASE("stream: reset forgets the state, refresh sees new weights and keeps it") {
    auto cell = with_weights<Promised>();
    const xt::xarray<double> x = xt::ones<double>({std::size_t{1}, D});
    Tape<double> tape;
    nn::Stream stream(tape, cell);
    const xt::xarray<double> first = stream(x);
    for (int step = 0; step < 5; ++step) stream(x);
    stream.reset();
    CHECK((xt::xarray<double>(stream(x)) == first));
    CHECK_THROWS_AS(stream(xt::xarray<double>(xt::ones<double>({std::size_t{3}, D}))), ShapeError);
    const xt::xarray<double> before = stream(x);
    cell.weight.value().fill(0.0);
    stream.refresh();
    const xt::xarray<double> expected = xt::tanh(0.5 * before);
    CHECK(xt::allclose(stream(x), expected));
}

TEST_CASE("stream: refresh keeps the state wherever the last step has left it") {
    nn::Engine engine(2);
    const nn::LSTMCell<double> cell(D, H, engine);
    const xt::xarray<double> x = xt::ones<double>({std::size_t{2}, D});
    Tape<double> other_tape;
    nn::Stream expected(other_tape, cell);
    std::vector<xt::xarray<double>> outputs;
    for (int step = 0; step < 12; ++step) outputs.emplace_back(expected(x));
    for (std::size_t steps = 1; steps <= 6; ++steps) {
        Tape<double> tape;
        nn::Stream stream(tape, cell);
        for (std::size_t step = 0; step < 12; ++step) {
            if (step == steps || step == steps + 3) stream.refresh();
            CHECK(xt::allclose(stream(x), outputs[step], 1e-12, 1e-14));
        }
    }
}

TEST_CASE("stream: an output may be the next input, before and after it lies elsewhere") {
    nn::Engine engine(2);
    const nn::RNNCell<double> cell(D, D, engine);
    xt::xarray<double> x = xt::ones<double>({std::size_t{2}, D}), h = xt::zeros<double>({std::size_t{2}, D});
    Tape<double> tape;
    nn::Stream stream(tape, cell);
    auto y = stream(x);
    for (int step = 0; step < 8; ++step) {
        Tape<double> other;
        h = cell(other.constant(x), other.constant(h)).value();
        CHECK(xt::allclose(y, h, 1e-12, 1e-14));
        x = h;
        if (step == 5) stream.refresh();
        y = stream(y);
    }
}

TEST_CASE("stream: a bias that the product begins with is added once in each step") {
    nn::Engine engine(3);
    constexpr std::size_t wide = 32;  // whole vectors
    nn::LSTMCell<float> lstm(wide, wide, engine);
    nn::GRUCell<float> gru(wide, wide, engine, nn::Reset::after_product);
    const auto check = [&](auto& cell) {
        nn::normal(cell.bias, 0.7, engine);
        const xt::xarray<float> xs = xt::cast<float>(random(engine, std::array<std::size_t, 3>{9, 1, wide}));
        const xt::xarray<float> expected = unrolled<float>(cell, xs);
        Tape<float> tape;
        nn::Stream stream(tape, cell);
        for (std::size_t t = 0; t < 9; ++t)
            CHECK(xt::allclose(stream(xt::view(xs, t)), xt::view(expected, t), 1e-5, 1e-6));
    };
    check(lstm);
    check(gru);
}

TEST_CASE("stream: an input that doesn't fit throws, and the stream goes on from where it was") {
    nn::Engine engine(2);
    const nn::LSTMCell<double> cell(D, H, engine);
    const xt::xarray<double> x = xt::ones<double>({std::size_t{2}, D});
    Tape<double> tape, other_tape;
    nn::Stream stream(tape, cell), expected(other_tape, cell);
    for (int step = 0; step < 4; ++step) {
        CHECK(xt::allclose(stream(x), expected(x)));
        CHECK_THROWS_AS(stream(xt::xarray<double>(xt::ones<double>({std::size_t{2}, D + 1}))), ShapeError);
        CHECK_THROWS_AS(stream(xt::xarray<double>(xt::ones<double>({std::size_t{3}, D}))), ShapeError);
        CHECK_THROWS_AS(stream(xt::xarray<double>(1.0)), ShapeError);
    }
}
