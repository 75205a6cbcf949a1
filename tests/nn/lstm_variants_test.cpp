// Each variant of the LSTM against its formula written out, against the LSTM where they agree, and by finite differences.

#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Array;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 4, B = 2, D = 3, H = 4;

/// Random in every parameter, also those that start with 0 or 1.
template <class Cell>
Cell randomised(Cell cell, unsigned seed) {
    nn::Engine engine(seed);
    nn::for_each_parameter(cell, [&](auto& p) { nn::normal(p, 0.5, engine); });
    return cell;
}

template <class Cell>
void check_gradients(Cell cell) {
    nn::Engine engine(3);
    const auto run = [&](std::span<const Var<double>> in) {
        const auto [outputs, last] = nn::unroll(cell, in[0], {in[1], in[2]});
        return Var<double>(sum(square(outputs)) + sum(last.h * last.c));
    };
    const std::vector<Array<double>> inputs{random(engine, std::array{T, B, D}),
                                            random(engine, std::array{B, H}),
                                            random(engine, std::array{B, H})};
    gradcheck(run, inputs, {.parameters = nn::parameters(cell)});
    gradgradcheck(run, inputs, {.parameters = nn::parameters(cell)});
}

using numbers::columns;
Matrix gate(const Matrix& z, std::size_t k) { return columns(z, k * H, (k + 1) * H); }

struct Numbers {
    Matrix h, c;
};

/// One step of the cell, and what the formula makes of the same numbers: formula(x, h, c).
template <class Cell, class Formula>
void check_step(const Cell& cell, Formula formula) {
    nn::Engine engine(9);
    const Matrix x = random(engine, std::array{B, D}), h = random(engine, std::array{B, H}),
                 c = random(engine, std::array{B, H});
    Tape<double> tape;
    const auto state = cell(tape.constant(x), {tape.constant(h), tape.constant(c)});
    const Numbers expected = formula(x, h, c);
    CHECK(distance(state.h.value(), expected.h) < tolerance);
    CHECK(distance(state.c.value(), expected.c) < tolerance);
}

/// z = [x, h] Wᵀ + b
template <class Cell>
Matrix affine(const Cell& cell, const Matrix& x, const Matrix& h) {
    const Matrix w = transposed(matrix(cell.weight));
    return product(x, rows(w, 0, D)) + product(h, rows(w, D, D + H)) + vector(cell.bias);
}

/// (x - mean) / √(var + ε), row by row.
Matrix normalised(const Matrix& x, double epsilon) {
    Matrix y = x;
    for (std::size_t row = 0; row < x.shape(0); ++row) {
        double mean = 0, square = 0;
        const auto n = static_cast<double>(x.shape(1));
        for (std::size_t k = 0; k < x.shape(1); ++k) mean += x(row, k) / n;
        for (std::size_t k = 0; k < x.shape(1); ++k) square += (x(row, k) - mean) * (x(row, k) - mean) / n;
        for (std::size_t k = 0; k < x.shape(1); ++k)
            y(row, k) = (x(row, k) - mean) / std::sqrt(square + epsilon);
    }
    return y;
}

}  // namespace

TEST_CASE("lstm variants: a peephole LSTM's gates see c before the step, its output gate c after it") {
    nn::Engine engine(1);
    const auto cell = randomised(nn::PeepholeLSTMCell<double>(D, H, engine), 2);
    check_step(cell, [&](const Matrix& x, const Matrix& h, const Matrix& c) {
        const Matrix z = affine(cell, x, h), p = matrix(cell.peepholes);
        const Matrix i = sigma(gate(z, 0) + rows(p, 0, 1) * c), f = sigma(gate(z, 1) + rows(p, 1, 2) * c);
        const Matrix next = f * c + i * xt::tanh(gate(z, 3));
        const Matrix o = sigma(gate(z, 2) + rows(p, 2, 3) * next);
        return Numbers{o * xt::tanh(next), next};
    });
    check_gradients(cell);
}

TEST_CASE("lstm variants: a peephole LSTM starts as an LSTM") {
    nn::Engine engine(1), same(1);
    const nn::PeepholeLSTMCell<double> peephole(D, H, engine);
    const nn::LSTMCell<double> lstm(D, H, same);
    Tape<double> tape;
    const Var<double> xs = tape.constant(random(engine, std::array{T, B, D}));
    CHECK(distance(nn::unroll(peephole, xs).outputs.value(), nn::unroll(lstm, xs).outputs.value()) <
          tolerance);
}

TEST_CASE("lstm variants: coupled gates write as much as they forget") {
    nn::Engine engine(1);
    const auto cell = randomised(nn::CoupledLSTMCell<double>(D, H, engine), 2);
    check_step(cell, [&](const Matrix& x, const Matrix& h, const Matrix& c) {
        const Matrix z = affine(cell, x, h);
        const Matrix f = sigma(gate(z, 0));
        const Matrix next = f * c + (1 - f) * xt::tanh(gate(z, 2));
        return Numbers{sigma(gate(z, 1)) * xt::tanh(next), next};
    });
    check_gradients(cell);
    CHECK(nn::parameter_count(cell) == 3 * H * (D + H) + 3 * H);
}

TEST_CASE("lstm variants: a layer-norm LSTM normalises both products and the cell state that it shows") {
    nn::Engine engine(1);
    const double epsilon = 0.01;
    const auto cell = randomised(nn::LayerNormLSTMCell<double>(D, H, engine, epsilon), 2);
    check_step(cell, [&](const Matrix& x, const Matrix& h, const Matrix& c) {
        const Matrix w = transposed(matrix(cell.weight));
        const Matrix z = normalised(product(x, rows(w, 0, D)), epsilon) * vector(cell.norm_x.gain) +
                         normalised(product(h, rows(w, D, D + H)), epsilon) * vector(cell.norm_h.gain) +
                         vector(cell.bias);
        const Matrix next = sigma(gate(z, 1)) * c + sigma(gate(z, 0)) * xt::tanh(gate(z, 3));
        const Matrix shown = normalised(next, epsilon) * vector(cell.norm_c.gain) + vector(cell.norm_c.bias);
        return Numbers{sigma(gate(z, 2)) * xt::tanh(shown), next};
    });
    check_gradients(cell);
}

TEST_CASE("lstm variants: a layer-norm LSTM doesn't see how large its input is") {
    nn::Engine engine(1);
    const nn::LayerNormLSTMCell<double> cell(D, H, engine, 0);
    Tape<double> tape;
    const Sequence xs = random(engine, std::array{T, B, D});
    const auto outputs_of = [&](double scale) {
        const Sequence scaled = scale * xs;
        const Matrix h = xt::ones<double>(std::array{B, H}) * xt::arange<double>(1, H + 1);
        return Sequence(
            nn::unroll(cell, tape.constant(scaled), {tape.constant(h), tape.constant(h)}).outputs.value());
    };
    CHECK(distance(outputs_of(1), outputs_of(1000)) < tolerance);
}

TEST_CASE("layer norm: is the formula, over the last axis of any input") {
    nn::Engine engine(1);
    auto norm = randomised(nn::LayerNorm<double>(H, {.epsilon = 0.1}), 2);
    Tape<double> tape;
    const Matrix x = random(engine, std::array{B, H});
    const Matrix expected = normalised(x, 0.1) * vector(norm.gain) + vector(norm.bias);
    CHECK(distance(norm(tape.constant(x)).value(), expected) < tolerance);
    const Var<double> stacked = xtape::stack({tape.constant(x), tape.constant(x)});
    CHECK(distance(norm(stacked)[1].value(), expected) < tolerance);
    xtape::gradcheck([&](auto in) { return norm(in[0]); }, {x}, {.parameters = nn::parameters(norm)});
    xtape::gradgradcheck([&](auto in) { return norm(in[0]); }, {x}, {.parameters = nn::parameters(norm)});

    const nn::LayerNorm<double> fresh(H), without(H, {.bias = false});
    CHECK(distance(fresh(tape.constant(x)).value(), normalised(x, 1e-5)) < tolerance);
    CHECK(distance(without(tape.constant(x)).value(), normalised(x, 1e-5)) < tolerance);
    CHECK(nn::parameter_count(fresh) == 2 * H);
    CHECK(nn::parameter_count(without) == H);
}

TEST_CASE("layer norm: another size, a size of 0 and a negative epsilon are refused") {
    Tape<double> tape;
    const nn::LayerNorm<double> norm(H);
    CHECK_THROWS_WITH(norm(nn::zeros(tape, {B, D})),
                      Catch::Contains("[LayerNorm]") && Catch::Contains("(2, 3)"));
    CHECK_THROWS_AS(norm(nn::zeros(tape, {})), xtape::ShapeError);
    CHECK_THROWS_AS(nn::LayerNorm<double>(0), std::invalid_argument);
    CHECK_THROWS_AS(nn::LayerNorm<double>(H, {.epsilon = -1}), std::invalid_argument);
}

TEST_CASE("lstm variants: an input or a state of another shape is refused, with the cell's name") {
    nn::Engine engine(1);
    Tape<double> tape;
    const auto x = nn::zeros(tape, {B, D}), h = nn::zeros(tape, {B, H}), wide = nn::zeros(tape, {B, H + 1});
    using Catch::Contains;
    CHECK_THROWS_WITH(nn::PeepholeLSTMCell<double>(D, H, engine)(h, {h, h}), Contains("[PeepholeLSTMCell]"));
    CHECK_THROWS_WITH(nn::CoupledLSTMCell<double>(D, H, engine)(x, {h, wide}), Contains("[CoupledLSTMCell]"));
    CHECK_THROWS_WITH(nn::LayerNormLSTMCell<double>(D, H, engine)(x, {wide, h}),
                      Contains("[LayerNormLSTMCell]"));
}

namespace {

/// What unroll repeats against what it records step by step, bit by bit.
template <class Cell>
void check_repeated(Cell cell) {
    nn::Engine engine(4);
    const Sequence xs = random(engine, std::array{std::size_t{30}, B, D});
    const auto run = [&](bool promised) {
        nn::zero_grad(cell);
        Tape<double> tape;
        const Var<double> x = tape.variable(xs);
        const auto start = cell.initial_state(tape, B);
        using State = typename Cell::State;
        const auto step = [inner = cell.on(tape)](const Var<double>& in, const State& s) -> State {
            return inner(in, s);
        };
        const auto [outputs, last] = promised ? nn::unroll(cell, x, start) : nn::unroll(step, x, start);
        backward(sum(square(outputs)));
        std::vector<xt::xarray<double>> results{outputs.value(), x.grad()};
        nn::for_each_parameter(cell, [&](auto& p) { results.emplace_back(p.grad()); });
        return results;
    };
    CHECK((run(true) == run(false)));
}

}  // namespace

TEST_CASE("lstm variants: repeated steps are the recorded ones, bit by bit") {
    nn::Engine engine(1);
    check_repeated(randomised(nn::PeepholeLSTMCell<double>(D, H, engine), 2));
    check_repeated(randomised(nn::CoupledLSTMCell<double>(D, H, engine), 2));
    check_repeated(randomised(nn::LayerNormLSTMCell<double>(D, H, engine), 2));
    check_repeated(randomised(nn::LSTMCell<double>(D, H, engine, {.projection_size = 2}), 2));
    check_repeated(randomised(nn::LSTMCell<double>(D, H, engine, {.bias = false}), 2));
    check_repeated(randomised(nn::GRUCell<double>(D, H, engine, {.bias = false}), 2));
}
