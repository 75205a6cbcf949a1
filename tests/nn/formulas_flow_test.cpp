// Formulas 13 and 15: how a gradient flows back through time, from one backward pass, and what the gates do.

#include <algorithm>
#include <cmath>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 9, B = 2, D = 3, H = 4;

/// The gradients of L = Σ h_T with regard to every h_t, c_t and x_t, t = 1 ... T.
struct Flow {
    std::vector<Matrix> dh, dc, dx;
};

/// From one backward pass over a retained unrolling.
template <class Cell>
Flow by_backward(const Cell& cell, const Sequence& xs) {
    Tape<double> tape;
    const Var<double> x = tape.variable(xs);
    const auto states = nn::unroll_states(cell, x);
    for (const auto& state : states) {
        for (const Var<double>& var : nn::vars_of(state)) var.retain();
    }
    backward(sum(nn::output_of(states.back())));
    Flow flow;
    for (std::size_t t = 0; t < T; ++t) {
        const auto vars = nn::vars_of(states[t]);
        flow.dh.push_back(vars[0].grad());
        if (vars.size() > 1) flow.dc.push_back(vars[1].grad());
        flow.dx.push_back(step(x.grad(), t));
    }
    return flow;
}

double distance_of(const std::vector<Matrix>& a, const std::vector<Matrix>& b) {
    double largest = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t t = 0; t < a.size(); ++t) largest = std::max(largest, distance(a[t], b[t]));
    return largest;
}

const Matrix ones = xt::ones<double>({B, H});
const Matrix zeros = xt::zeros<double>({B, H});

}  // namespace

TEST_CASE("formula 13: the gradient of the last state by every earlier one, for an RNN") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array{T, B, D});
    std::vector<Matrix> h;
    Matrix before = zeros;
    for (std::size_t t = 0; t < T; ++t) {
        before = xt::tanh(product(step(xs, t), transposed(matrix(cell.w_xh))) +
                          product(before, transposed(matrix(cell.w_hh))) + vector(cell.b_h));
        h.push_back(before);
    }
    Flow expected{std::vector<Matrix>(T), {}, std::vector<Matrix>(T)};
    Matrix dh = ones;
    for (std::size_t t = T; t-- > 0;) {
        const Matrix dz = dh * (1 - h[t] * h[t]);
        expected.dh[t] = dh;
        expected.dx[t] = product(dz, matrix(cell.w_xh));
        dh = product(dz, matrix(cell.w_hh));
    }
    const Flow flow = by_backward(cell, xs);
    CHECK(distance_of(flow.dh, expected.dh) < tolerance);
    CHECK(distance_of(flow.dx, expected.dx) < tolerance);
}

TEST_CASE("formula 13: the gradient of the last state by every earlier h, c and x, for an LSTM") {
    nn::Engine engine(1);
    const nn::LSTMCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array{T, B, D});
    struct Step {
        Matrix i, f, o, g, c_before, c;
    };
    std::vector<Step> steps;
    Matrix h = zeros, c = zeros;
    for (std::size_t t = 0; t < T; ++t) {
        const Matrix xh = xt::concatenate(xt::xtuple(step(xs, t), h), 1);
        const Matrix z = product(xh, transposed(matrix(cell.weight))) + vector(cell.bias);
        Step s{sigma(columns(z, 0, H)),
               sigma(columns(z, H, 2 * H)),
               sigma(columns(z, 2 * H, 3 * H)),
               xt::tanh(columns(z, 3 * H, 4 * H)),
               c,
               c};
        s.c = s.f * s.c_before + s.i * s.g;
        c = s.c;
        h = s.o * xt::tanh(c);
        steps.push_back(s);
    }
    Flow expected{std::vector<Matrix>(T), std::vector<Matrix>(T), std::vector<Matrix>(T)};
    Matrix dh = ones, dc = zeros;
    for (std::size_t t = T; t-- > 0;) {
        const Step& s = steps[t];
        const Matrix tanh_c = xt::tanh(s.c);
        const Matrix through_c = dc + dh * s.o * (1 - tanh_c * tanh_c);
        const Matrix dz_i = through_c * s.g * s.i * (1 - s.i),
                     dz_f = through_c * s.c_before * s.f * (1 - s.f);
        const Matrix dz_o = dh * tanh_c * s.o * (1 - s.o), dz_g = through_c * s.i * (1 - s.g * s.g);
        const Matrix dz = xt::concatenate(xt::xtuple(dz_i, dz_f, dz_o, dz_g), 1);
        const Matrix dxh = product(dz, matrix(cell.weight));
        expected.dh[t] = dh;
        expected.dc[t] = through_c;
        expected.dx[t] = columns(dxh, 0, D);
        dh = columns(dxh, D, D + H);
        dc = through_c * s.f;
    }
    const Flow flow = by_backward(cell, xs);
    CHECK(distance_of(flow.dh, expected.dh) < tolerance);
    CHECK(distance_of(flow.dc, expected.dc) < tolerance);
    CHECK(distance_of(flow.dx, expected.dx) < tolerance);
}

TEST_CASE("formula 13: the gradient of the last state by every earlier one, for a GRU") {
    nn::Engine engine(1);
    const nn::GRUCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array{T, B, D});
    struct Step {
        Matrix r, z, n, h_n, h_before;
    };
    std::vector<Step> steps;
    Matrix h = zeros;
    for (std::size_t t = 0; t < T; ++t) {
        const Matrix from_x = product(step(xs, t), transposed(matrix(cell.weight_x))) + vector(cell.bias);
        const Matrix from_h = product(h, transposed(matrix(cell.weight_h)));
        Step s{sigma(columns(from_x, 0, H) + columns(from_h, 0, H)),
               sigma(columns(from_x, H, 2 * H) + columns(from_h, H, 2 * H)), zeros,
               columns(from_h, 2 * H, 3 * H) + vector(cell.bias_n), h};
        s.n = xt::tanh(columns(from_x, 2 * H, 3 * H) + s.r * s.h_n);
        h = (1 - s.z) * s.n + s.z * s.h_before;
        steps.push_back(s);
    }
    Flow expected{std::vector<Matrix>(T), {}, std::vector<Matrix>(T)};
    Matrix dh = ones;
    for (std::size_t t = T; t-- > 0;) {
        const Step& s = steps[t];
        const Matrix dz_n = dh * (1 - s.z) * (1 - s.n * s.n);
        const Matrix dz_r = dz_n * s.h_n * s.r * (1 - s.r);
        const Matrix dz_z = dh * (s.h_before - s.n) * s.z * (1 - s.z);
        const Matrix dx = xt::concatenate(xt::xtuple(dz_r, dz_z, dz_n), 1);
        const Matrix dz_h = dz_n * s.r;
        const Matrix dg = xt::concatenate(xt::xtuple(dz_r, dz_z, dz_h), 1);
        expected.dh[t] = dh;
        expected.dx[t] = product(dx, matrix(cell.weight_x));
        dh = dh * s.z + product(dg, matrix(cell.weight_h));
    }
    const Flow flow = by_backward(cell, xs);
    CHECK(distance_of(flow.dh, expected.dh) < tolerance);
    CHECK(distance_of(flow.dx, expected.dx) < tolerance);
}

namespace {

/// An LSTM whose gates are as their biases say, whatever it reads: 1, or 0, to double's last bit.
nn::LSTMCell<double> with_gates(bool writes, bool keeps, bool reads) {
    nn::Engine engine(1);
    nn::LSTMCell<double> cell(D, H, engine);
    constexpr double far = 100;
    for (std::size_t row = 0; row < 3 * H; ++row) {
        for (std::size_t k = 0; k < D + H; ++k) cell.weight.value()(row, k) = 0;
        const bool open = row < H ? writes : row < 2 * H ? keeps : reads;
        cell.bias.value()(row) = open ? far : -far;
    }
    return cell;
}

}  // namespace

TEST_CASE("formula 15: forget erases, input writes, output reads") {
    nn::Engine engine(2);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{B, D}));
    const Matrix old = random(engine, std::array{B, H});
    const Var<double> h = tape.constant(random(engine, std::array{B, H})), c = tape.constant(old);
    const auto next = [&](bool writes, bool keeps, bool reads) {
        return with_gates(writes, keeps, reads)(x, {h, c});
    };
    // Kept: the memory is as it was, and shows only where it is read.
    CHECK(distance(next(false, true, true).c.value(), old) < tolerance);
    CHECK(distance(next(false, true, true).h.value(), Matrix(xt::tanh(old))) < tolerance);
    CHECK(distance(next(false, true, false).h.value(), zeros) < tolerance);
    // Erased.
    CHECK(distance(next(false, false, true).c.value(), zeros) < tolerance);
    // Written: over nothing, and on top of what there was.
    const Matrix written = next(true, false, true).c.value();
    CHECK(norm(written) > 0.1);
    CHECK(distance(next(true, true, true).c.value(), Matrix(old + written)) < tolerance);
}
