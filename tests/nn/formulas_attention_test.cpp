// Formula 14: scaled dot-product self-attention, its gradients, and what sets it apart from a recurrence.

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

constexpr std::size_t T = 5, B = 3, E = 6;

/// What one head computes, and its gradients: a matrix of the same name for each.
struct Head {
    Matrix q, k, v;  // (T, d), (S, d), (S, n)
    bool causal = false;

    double scale() const { return 1 / std::sqrt(static_cast<double>(q.shape(1))); }
    Matrix weights() const {
        Matrix p = xt::exp(product(q, transposed(k)) * scale());
        for (std::size_t i = 0; i < p.shape(0); ++i) {
            double sum = 0;
            for (std::size_t j = 0; j < p.shape(1); ++j) {
                if (causal && j > i) p(i, j) = 0;
                sum += p(i, j);
            }
            for (std::size_t j = 0; j < p.shape(1); ++j) p(i, j) /= sum;
        }
        return p;
    }
    Matrix output() const { return product(weights(), v); }

    Head gradients(const Matrix& dy) const {
        const Matrix p = weights();
        const Matrix dp = product(dy, transposed(v));
        Matrix ds = xt::zeros<double>(p.shape());
        for (std::size_t i = 0; i < p.shape(0); ++i) {
            double common = 0;
            for (std::size_t j = 0; j < p.shape(1); ++j) common += dp(i, j) * p(i, j);
            for (std::size_t j = 0; j < p.shape(1); ++j) ds(i, j) = p(i, j) * (dp(i, j) - common);
        }
        return {product(ds, k) * scale(), product(transposed(ds), q) * scale(), product(transposed(p), dy)};
    }
};

/// Starting weights and biases that aren't 0.
nn::SelfAttention<double> layer(std::size_t heads, bool causal = false) {
    nn::Engine engine(3);
    nn::SelfAttention<double> attention(E, heads, engine, {.causal = causal});
    nn::for_each_parameter(attention, [&](auto& p) { nn::normal(p, 0.7, engine); });
    return attention;
}

Sequence reversed(const Sequence& xs) {
    Sequence result = xs;
    for (std::size_t t = 0; t < xs.shape(0); ++t)
        for (std::size_t b = 0; b < xs.shape(1); ++b)
            for (std::size_t j = 0; j < xs.shape(2); ++j) result(t, b, j) = xs(xs.shape(0) - 1 - t, b, j);
    return result;
}

Sequence outputs(const nn::SelfAttention<double>& attention, const Sequence& xs, bool with_positions) {
    Tape<double> tape;
    Var<double> x = tape.constant(xs);
    if (with_positions) x = x + unsqueeze(nn::positional_encoding(tape, xs.shape(0), E), 1);
    return attention(x).value();
}

}  // namespace

TEST_CASE("formula 14: a head's output and its gradients by q, k and v are the ones derived by hand") {
    std::mt19937_64 engine(14);
    const Head full{random(engine, std::array{T, E}), random(engine, std::array{T + 2, E}),
                    random(engine, std::array{T + 2, E + 1})};
    const Head causal{random(engine, std::array{T, E}), random(engine, std::array{T, E}),
                      random(engine, std::array{T, E + 1}), true};
    const Matrix dy = random(engine, std::array{T, E + 1});
    for (const Head& head : {full, causal}) {
        Tape<double> tape;
        const Var<double> q = tape.variable(head.q), k = tape.variable(head.k), v = tape.variable(head.v);
        const Var<double> p = nn::attention_weights(q, k, {.causal = head.causal});
        const Var<double> y = nn::scaled_dot_product_attention(q, k, v, {.causal = head.causal});
        backward(y, tape.constant(dy));

        const Head d = head.gradients(dy);
        CHECK(distance(p.value(), head.weights()) < tolerance);
        CHECK(distance(y.value(), head.output()) < tolerance);
        CHECK(distance(q.grad(), d.q) < tolerance);
        CHECK(distance(k.grad(), d.k) < tolerance);
        CHECK(distance(v.grad(), d.v) < tolerance);
    }
}

TEST_CASE("formula 14: all gradients of a layer of one head are the ones derived by hand") {
    for (const bool causal : {false, true}) {
        nn::SelfAttention<double> attention = layer(1, causal);
        std::mt19937_64 engine(15);
        const Matrix x = random(engine, std::array{T, E});
        const Matrix dz = random(engine, std::array{T, E});
        const auto as_sequence = [](const Matrix& m) {
            return Sequence(xt::reshape_view(m, std::array<std::size_t, 3>{T, 1, E}));
        };
        Tape<double> tape;
        const Var<double> input = tape.variable(as_sequence(x));
        const Var<double> z = attention(input);
        backward(z, tape.constant(as_sequence(dz)));

        const Matrix w_in = matrix(attention.in_proj_weight), w_out = matrix(attention.out_proj.weight);
        const Matrix qkv = product(x, transposed(w_in)) + vector(attention.in_proj_bias);
        const Head head{columns(qkv, 0, E), columns(qkv, E, 2 * E), columns(qkv, 2 * E, 3 * E), causal};
        const Matrix y = head.output();
        const Head d = head.gradients(product(dz, w_out));
        const Matrix dqkv = xt::concatenate(xt::xtuple(d.q, d.k, d.v), 1);

        const Matrix by_hand = product(y, transposed(w_out)) + vector(attention.out_proj.bias);
        CHECK(distance(z.value(), as_sequence(by_hand)) < tolerance);
        CHECK(distance(attention.out_proj.weight.grad(), product(transposed(dz), y)) < tolerance);
        CHECK(distance(attention.out_proj.bias.grad(), column_sums(dz)) < tolerance);
        CHECK(distance(attention.in_proj_weight.grad(), product(transposed(dqkv), x)) < tolerance);
        CHECK(distance(attention.in_proj_bias.grad(), column_sums(dqkv)) < tolerance);
        CHECK(distance(input.grad(), as_sequence(product(dqkv, w_in))) < tolerance);
    }
}

TEST_CASE("formula 14: without positions attention is blind to order, with them it is not") {
    const auto attention = layer(2);
    std::mt19937_64 engine(16);
    const Sequence xs = random(engine, std::array{T, B, E});
    CHECK(distance(outputs(attention, reversed(xs), false), reversed(outputs(attention, xs, false))) < 1e-12);
    CHECK(distance(outputs(attention, reversed(xs), true), reversed(outputs(attention, xs, true))) > 0.1);
}

TEST_CASE("formula 14: a causal output depends on every input up to its own, and on none after it") {
    const auto attention = layer(2, true);
    std::mt19937_64 engine(17);
    Tape<double> tape;
    const Var<double> xs = tape.variable(random(engine, std::array{T, B, E}));
    const Var<double> ys = attention(xs);
    for (std::ptrdiff_t i = 0; i < std::ptrdiff_t(T); ++i) {
        const Var<double> dx = grad(sum(ys[i]), {xs})[0];
        for (std::ptrdiff_t j = 0; j < std::ptrdiff_t(T); ++j) {
            if (j > i)
                CHECK(norm(dx[j].value()) == 0);
            else
                CHECK(norm(dx[j].value()) > 1e-3);
        }
    }
}

TEST_CASE(
    "formula 14: attention's products grow with the square of the steps, a recurrence's with the steps") {
    nn::Engine engine(1);
    const nn::SelfAttention<double> attention(E, 2, engine);
    const nn::RNNCell<double> cell(E, E, engine);
    for (const std::size_t steps : {1u, 5u, 10u, 20u}) {
        const Sequence xs = random(engine, std::array{steps, B, E});
        Tape<double> tape;
        attention(tape.constant(xs));
        CHECK(multiplications(tape, "batched_matmul") == 2 * B * steps * steps * E);  // q kᵀ and P v
        CHECK(multiplications(tape) == 2 * B * steps * steps * E + 4 * B * steps * E * E);
        tape.clear();
        nn::unroll(cell, tape.constant(xs));
        CHECK(multiplications(tape) == 2 * B * steps * E * E);
    }
}
