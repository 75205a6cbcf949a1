// Formulas 1 and 3: the recurrent network with its output layer, and back-propagation through time, both worked out
// here with plain matrices (rows are samples).

#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;

namespace {

constexpr std::size_t T = 7, B = 3, D = 4, H = 5, O = 6;

/// h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h), y_t = W_hy h_t + b_y, and L = Σ (y - target)² / (T B O), so that
/// dy_t = 2 (y_t - target_t) / (T B O).
struct Network {
    std::mt19937_64 engine{3};
    xtape::nn::RNNCell<double> cell{D, H, engine};
    xtape::nn::Linear<double> head{H, O, engine};
    Sequence x = random(engine, std::array{T, B, D});
    Sequence target = random(engine, std::array{T, B, O});
    Matrix h0 = random(engine, std::array{B, H}, 0.5);

    Network() {
        cell.b_h.value() = random(engine, std::array{H}, 0.3);
        head.bias.value() = random(engine, std::array{O}, 0.3);
    }

    Matrix W_xh = matrix(cell.w_xh), W_hh = matrix(cell.w_hh), W_hy = matrix(head.weight);
    std::vector<Matrix> h, y, dy;  // h[t] after t steps; y[t] and dy[t] of step t, from 1

    void run_by_hand() {
        const Vector b_h = vector(cell.b_h), b_y = vector(head.bias);
        h = {h0};
        y = dy = {Matrix()};
        for (std::size_t t = 1; t <= T; ++t) {
            h.push_back(xt::tanh(product(h[t - 1], transposed(W_hh)) +
                                 product(step(x, t - 1), transposed(W_xh)) + b_h));
            y.push_back(product(h[t], transposed(W_hy)) + b_y);
            dy.push_back(2 * (y[t] - step(target, t - 1)) / double(T * B * O));
        }
    }
};

/// Row `sample` of a, as a column.
Matrix column(const Matrix& a, std::size_t sample) {
    Matrix result = xt::zeros<double>(std::array{a.shape(1), std::size_t{1}});
    for (std::size_t i = 0; i < a.shape(1); ++i) result(i, 0) = a(sample, i);
    return result;
}

}  // namespace

TEST_CASE("formula 1: a recurrent network's states and outputs are the ones of the definition") {
    Network n;
    n.run_by_hand();
    Tape<double> tape;
    const auto [outputs, last] = unroll(n.cell, tape.constant(n.x), tape.constant(n.h0));
    const Var<double> y = n.head(outputs);
    CHECK(outputs.shape() == xtape::Shape{T, B, H});
    CHECK(y.shape() == xtape::Shape{T, B, O});
    for (std::size_t t = 1; t <= T; ++t) {
        const auto at = static_cast<std::ptrdiff_t>(t - 1);
        CHECK(distance(outputs[at].value(), n.h[t]) < tolerance);
        CHECK(distance(y[at].value(), n.y[t]) < tolerance);
    }
    CHECK(distance(last.value(), n.h[T]) < tolerance);
}

TEST_CASE("formula 3: one backward pass gives the recursive form of BPTT, for all five parameters") {
    Network n;
    n.run_by_hand();
    Tape<double> tape;
    const Var<double> x = tape.variable(n.x);
    const Var<double> h0 = tape.variable(n.h0);
    backward(xtape::nn::mse(n.head(unroll(n.cell, x, h0).outputs), tape.constant(n.target)));

    Matrix dW_xh = xt::zeros_like(n.W_xh), dW_hh = xt::zeros_like(n.W_hh), dW_hy = xt::zeros_like(n.W_hy);
    Vector db_h = xt::zeros<double>(std::array{H}), db_y = xt::zeros<double>(std::array{O});
    Matrix dh = product(n.dy[T], n.W_hy);
    for (std::size_t t = T; t >= 1; --t) {
        const Matrix dz = dh * (1 - n.h[t] * n.h[t]);
        dW_xh += product(transposed(dz), step(n.x, t - 1));
        dW_hh += product(transposed(dz), n.h[t - 1]);
        db_h += column_sums(dz);
        dW_hy += product(transposed(n.dy[t]), n.h[t]);
        db_y += column_sums(n.dy[t]);
        const Matrix dx = product(dz, n.W_xh);
        CHECK(distance(step(Sequence(x.grad()), t - 1), dx) < tolerance);
        dh = product(dz, n.W_hh);
        if (t > 1) dh += product(n.dy[t - 1], n.W_hy);
    }
    CHECK(distance(n.cell.w_xh.grad(), dW_xh) < tolerance);
    CHECK(distance(n.cell.w_hh.grad(), dW_hh) < tolerance);
    CHECK(distance(n.cell.b_h.grad(), db_h) < tolerance);
    CHECK(distance(n.head.weight.grad(), dW_hy) < tolerance);
    CHECK(distance(n.head.bias.grad(), db_y) < tolerance);
    CHECK(distance(h0.grad(), dh) < tolerance);
}

TEST_CASE("formula 3: one backward pass gives the double sum over t and k of products of Jacobians") {
    Network n;
    n.run_by_hand();
    Tape<double> tape;
    backward(xtape::nn::mse(n.head(unroll(n.cell, tape.constant(n.x), tape.constant(n.h0)).outputs),
                            tape.constant(n.target)));

    Matrix dW_hh = xt::zeros_like(n.W_hh);
    for (std::size_t sample = 0; sample < B; ++sample) {
        for (std::size_t t = 1; t <= T; ++t) {
            const Matrix dL_dh =
                transposed(product(transposed(n.W_hy), column(n.dy[t], sample)));  // ∂L_t/∂h_t, a row
            Matrix dh_dh = xt::eye<double>(H);                                     // ∂h_t/∂h_k
            for (std::size_t k = t; k >= 1; --k) {
                const Matrix slope = 1 - column(n.h[k], sample) * column(n.h[k], sample);
                // ∂h_k/∂W_hh with h_{k-1} held fixed: row i of W_hh moves only element i, by slope_i h_{k-1}.
                const Matrix dL_dz = transposed(product(dL_dh, dh_dh)) * slope;
                dW_hh += product(dL_dz, transposed(column(n.h[k - 1], sample)));
                const Matrix jacobian = slope * n.W_hh;  // ∂h_k/∂h_{k-1} = diag(slope) W_hh
                dh_dh = product(dh_dh, jacobian);
            }
        }
    }
    CHECK(distance(n.cell.w_hh.grad(), dW_hh) < tolerance);
}
