// Every cell by finite differences, first and second order, and what happens to wrong shapes.

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Array;
using xtape::GradcheckOptions;
using xtape::Parameter;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 3, B = 2, D = 4, H = 3;

/// All that a state holds, in one number for each sample: (B, 1).
template <class State>
Var<double> mixed(const State& state) {
    return sum(square(concatenate(nn::vars_of(state), 1) + 0.5), {1}, true);
}

template <class Cell>
void check(Cell cell) {
    nn::Engine engine(21);
    nn::for_each_parameter(cell, [&](auto& p) { nn::normal(p, 0.5, engine); });
    GradcheckOptions options;
    options.parameters = nn::parameters(cell);
    std::vector<Array<double>> inputs{random(engine, std::array{T, B, D}), random(engine, std::array{B, H})};
    using State = typename Cell::State;
    const auto run = [&](std::span<const Var<double>> x) {
        State state;
        if constexpr (xtape::is_var<State>)
            state = x[1];
        else
            state = {slice(x[1], 1, 0, static_cast<std::ptrdiff_t>(cell.output_size())), x[1] * x[1]};
        const auto [outputs, last] = nn::unroll(cell, x[0], state);
        return Var<double>(outputs * mixed(last));
    };
    gradcheck(run, inputs, options);
    gradgradcheck(run, inputs, options);
}

}  // namespace

TEST_CASE("cells: all derivatives of an unrolled RNN are those of finite differences") {
    nn::Engine engine(1);
    check(nn::RNNCell<double>(D, H, engine));
    check(nn::RNNCell<double>(D, H, engine, nn::Activation::relu));
}

TEST_CASE("cells: all derivatives of an unrolled LSTM are those of finite differences") {
    nn::Engine engine(1);
    check(nn::LSTMCell<double>(D, H, engine));
}

TEST_CASE("cells: all derivatives of both unrolled GRUs are those of finite differences") {
    nn::Engine engine(1);
    check(nn::GRUCell<double>(D, H, engine, nn::Reset::after_product));
    check(nn::GRUCell<double>(D, H, engine, nn::Reset::before_product));
}

TEST_CASE("cells: all derivatives of a projected LSTM are those of finite differences") {
    nn::Engine engine(1);
    check(nn::LSTMCell<double>(D, H, engine, {.projection_size = 2}));
}

TEST_CASE("cells: without a bias they have all derivatives but its own, and the values of a bias of zeros") {
    nn::Engine engine(1);
    const auto compare = [&](auto without, auto with) {
        check(without);
        const Sequence xs = random(engine, std::array{T, B, D});
        auto bias_free = nn::parameters(without);
        std::size_t k = 0;
        nn::for_each_parameter(with, [&](auto& p) {
            if (p.shape().size() == 1)
                nn::constant(p, 0);
            else
                p = *bias_free.at(k++);
        });
        CHECK(k == bias_free.size());
        Tape<double> tape;
        const Var<double> x = tape.constant(xs);
        CHECK(distance(nn::unroll(without, x).outputs.value(), nn::unroll(with, x).outputs.value()) <
              tolerance);
    };
    using RNN = nn::RNNCell<double>;
    using LSTM = nn::LSTMCell<double>;
    using GRU = nn::GRUCell<double>;
    compare(RNN(D, H, engine, {.bias = false}), RNN(D, H, engine));
    compare(LSTM(D, H, engine, {.bias = false}), LSTM(D, H, engine));
    compare(GRU(D, H, engine, {.bias = false}), GRU(D, H, engine));
    const auto before = nn::Reset::before_product;
    compare(GRU(D, H, engine, {.reset = before, .bias = false}), GRU(D, H, engine, before));
}

TEST_CASE("cells: an input or a state of another shape is refused, with the cell's name and the shapes") {
    nn::Engine engine(1);
    Tape<double> tape;
    const nn::RNNCell<double> rnn(D, H, engine);
    const nn::LSTMCell<double> lstm(D, H, engine);
    const nn::GRUCell<double> gru(D, H, engine);
    const auto x = nn::zeros(tape, {B, D}), h = nn::zeros(tape, {B, H}), wide = nn::zeros(tape, {B, H + 1}),
               longer = nn::zeros(tape, {B + 1, H}), flat = nn::zeros(tape, {D});
    using Catch::Contains;
    CHECK_THROWS_WITH(rnn(h, h), Contains("[RNNCell]") && Contains("(2, 3)") && Contains("(B, 4)"));
    CHECK_THROWS_WITH(rnn(x, wide), Contains("[RNNCell]") && Contains("(2, 4)") && Contains("(B, 3)"));
    CHECK_THROWS_AS(rnn(x, longer), xtape::ShapeError);
    CHECK_THROWS_AS(rnn(flat, h), xtape::ShapeError);
    CHECK_THROWS_WITH(lstm(h, {h, h}), Contains("[LSTMCell]"));
    CHECK_THROWS_AS(lstm(x, {h, wide}), xtape::ShapeError);
    CHECK_THROWS_AS(lstm(x, {longer, h}), xtape::ShapeError);
    CHECK_THROWS_WITH(gru(x, wide), Contains("[GRUCell]"));
    const nn::LSTMCell<double> projected(D, H, engine, {.projection_size = 2});
    CHECK_THROWS_WITH(projected(x, {h, h}), Contains("[LSTMCell]") && Contains("(B, 2)"));
    CHECK_THROWS_AS(projected(x, {nn::zeros(tape, {B, 2}), wide}), xtape::ShapeError);
}

TEST_CASE("linear: a layer is x Wᵀ + b over the last axis") {
    nn::Engine engine(1);
    nn::Linear<double> linear(D, H, engine);
    linear.bias.value() = random(engine, std::array{H});
    Tape<double> tape;
    const Sequence x = random(engine, std::array{T, B, D});
    const Var<double> y = linear(tape.constant(x));
    CHECK(y.shape() == xtape::Shape{T, B, H});
    for (std::size_t t = 0; t < T; ++t) {
        const Matrix expected = product(step(x, t), transposed(matrix(linear.weight))) + vector(linear.bias);
        CHECK(distance(step(Sequence(y.value()), t), expected) < tolerance);
    }
    CHECK(linear(tape.constant(Vector(xt::ones<double>(std::array{D})))).shape() == xtape::Shape{H});
    CHECK_THROWS_WITH(linear(nn::zeros(tape, {B, H})),
                      Catch::Contains("[Linear]") && Catch::Contains("(2, 3)"));
}

TEST_CASE("linear: without a bias it is the product alone") {
    nn::Engine engine(5);
    nn::Linear<double> linear(2, 3, engine, {.bias = false});
    CHECK(nn::parameter_count(linear) == 6);
    Tape<double> tape;
    const Var<double> y = linear(tape.constant(xt::xarray<double>{{1, 2}, {-3, 0.5}}));
    const auto w = linear.weight.value();
    for (std::size_t j = 0; j < 3; ++j) {
        CHECK(y.value()(0, j) == Approx(w(j, 0) + 2 * w(j, 1)));
        CHECK(y.value()(1, j) == Approx(-3 * w(j, 0) + 0.5 * w(j, 1)));
    }
    backward(sum(y));
    CHECK(linear.weight.grad()(0, 0) == -2);
    CHECK(linear.weight.grad()(2, 1) == 2.5);
}
