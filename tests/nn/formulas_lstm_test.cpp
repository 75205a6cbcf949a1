// Formulas 5 to 7: the LSTM cell, its gradients, and the path along its cell state.

#include <cmath>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;

namespace {

constexpr std::size_t T = 6, B = 3, D = 4, H = 5;
using Cell = xtape::nn::LSTMCell<double>;

struct Gates {
    Matrix i, f, o, g;
};

/// i, f, o = σ(·), g = tanh(·) of W [x; h] + b.
Gates gates(const Cell& cell, const Matrix& x, const Matrix& h) {
    const Matrix xh = xt::concatenate(xt::xtuple(x, h), 1);
    const Matrix z = product(xh, transposed(matrix(cell.weight))) + vector(cell.bias);
    return {sigma(columns(z, 0, H)), sigma(columns(z, H, 2 * H)), sigma(columns(z, 2 * H, 3 * H)),
            xt::tanh(columns(z, 3 * H, 4 * H))};
}

struct Step {
    std::mt19937_64 engine{5};
    Cell cell{D, H, engine};
    Matrix x = random(engine, std::array{B, D}), h = random(engine, std::array{B, H}, 0.5),
           c = random(engine, std::array{B, H});
};

}  // namespace

TEST_CASE("formula 5: an LSTM's new cell and hidden state are the ones of the definition") {
    Step s;
    const auto [i, f, o, g] = gates(s.cell, s.x, s.h);
    const Matrix c = f * s.c + i * g;
    const Matrix h = o * xt::tanh(c);

    Tape<double> tape;
    const auto next = s.cell(tape.constant(s.x), {tape.constant(s.h), tape.constant(s.c)});
    CHECK(distance(next.c.value(), c) < tolerance);
    CHECK(distance(next.h.value(), h) < tolerance);
}

TEST_CASE("formula 5: an LSTM's weight is 4H by D+H and the forget rows of its bias start at 1") {
    Step s;
    CHECK(s.cell.weight.shape() == xtape::Shape{4 * H, D + H});
    for (std::size_t row = 0; row < 4 * H; ++row)
        CHECK(s.cell.bias.value()(row) == (row >= H && row < 2 * H ? 1.0 : 0.0));
}

TEST_CASE("formula 6: an LSTM cell's five gradients are the ones derived by hand") {
    Step s;
    const Matrix dh = random(s.engine, std::array{B, H});
    const Matrix dc_next = random(s.engine, std::array{B, H});

    Tape<double> tape;
    const Var<double> x = tape.variable(s.x), h = tape.variable(s.h), c = tape.variable(s.c);
    const auto next = s.cell(x, {h, c});
    backward(sum(next.h * tape.constant(dh)) + sum(next.c * tape.constant(dc_next)));

    const auto [i, f, o, g] = gates(s.cell, s.x, s.h);
    const Matrix tanh_c = xt::tanh(f * s.c + i * g);
    const Matrix d_o = dh * tanh_c;
    const Matrix dc = dc_next + dh * o * (1 - tanh_c * tanh_c);
    const Matrix df = dc * s.c, di = dc * g, dg = dc * i, dc_prev = dc * f;
    const Matrix zi = di * i * (1 - i), zf = df * f * (1 - f), zo = d_o * o * (1 - o), zg = dg * (1 - g * g);
    const Matrix dgates = xt::concatenate(xt::xtuple(zi, zf, zo, zg), 1);
    const Matrix xh = xt::concatenate(xt::xtuple(s.x, s.h), 1);
    const Matrix dxh = product(dgates, matrix(s.cell.weight));

    CHECK(distance(s.cell.weight.grad(), product(transposed(dgates), xh)) < tolerance);
    CHECK(distance(s.cell.bias.grad(), column_sums(dgates)) < tolerance);
    CHECK(distance(x.grad(), columns(dxh, 0, D)) < tolerance);
    CHECK(distance(h.grad(), columns(dxh, D, D + H)) < tolerance);
    CHECK(distance(c.grad(), dc_prev) < tolerance);
}

TEST_CASE(
    "formula 7: with the hidden states held fixed, the gradient along the cell path is the product of the "
    "forget gates") {
    Step s;
    const Sequence xs = random(s.engine, std::array{T, B, D});
    const Matrix dc = random(s.engine, std::array{B, H});

    Tape<double> tape;
    const auto step_of_tape = s.cell.on(tape);
    Cell::State state{tape.constant(s.h), tape.constant(s.c)};
    Matrix h = s.h, c = s.c, path = xt::ones<double>(std::array{B, H});
    Var<double> c_1;
    for (std::size_t t = 0; t < T; ++t) {
        const Var<double> x = tape.constant(step(xs, t));
        state = step_of_tape(x, {stop_gradient(state.h), state.c});
        const auto [i, f, o, g] = gates(s.cell, step(xs, t), h);
        c = f * c + i * g;
        h = o * xt::tanh(c);
        if (t == 0)
            c_1 = state.c;
        else
            path *= f;
    }
    const auto dc_1 = grad(state.c, {c_1}, {.seed = tape.constant(dc)});
    CHECK(distance(dc_1[0].value(), Matrix(dc * path)) < tolerance);
}

TEST_CASE("formula 7: where the forget gates are 1 the gradient travels any number of steps unchanged") {
    Step s;
    for (std::size_t row = H; row < 2 * H; ++row) s.cell.bias.value()(row) = 1e3;
    const Matrix dc = random(s.engine, std::array{B, H});
    Tape<double> tape;
    const Var<double> c_0 = tape.variable(s.c);
    Cell::State state{tape.constant(s.h), c_0};
    for (int t = 0; t < 200; ++t) state = s.cell(tape.constant(s.x), {stop_gradient(state.h), state.c});
    CHECK(distance(grad(state.c, {c_0}, {.seed = tape.constant(dc)})[0].value(), dc) == 0);
}

TEST_CASE("formula 7: a forget gate without input is σ(1) with the usual bias, and 1/2 with none") {
    Step s;
    Tape<double> tape;
    const auto forget_gate = [&] {
        // With x = h = 0 the candidate is 0, so that c = 1 becomes f.
        const auto zero_x = xtape::nn::zeros(tape, {B, D}), zero_h = xtape::nn::zeros(tape, {B, H});
        return Matrix(
            s.cell(zero_x, {zero_h, tape.constant(Matrix(xt::ones<double>(std::array{B, H})))}).c.value());
    };
    CHECK(distance(forget_gate(), Matrix(0.73105857863000487925 * xt::ones<double>(std::array{B, H}))) <
          1e-15);
    for (std::size_t row = H; row < 2 * H; ++row) s.cell.bias.value()(row) = 0;
    tape.clear();
    CHECK(distance(forget_gate(), Matrix(0.5 * xt::ones<double>(std::array{B, H}))) == 0);
}
