#include "nn/attention.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using Catch::Contains;
using xtape::Array;
using xtape::Shape;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 4, B = 2, E = 6;

nn::SelfAttention<double> layer(std::size_t heads, bool causal = false) {
    nn::Engine engine(7);
    nn::SelfAttention<double> attention(E, heads, engine, {.causal = causal});
    nn::for_each_parameter(attention, [&](auto& p) { nn::normal(p, 0.5, engine); });
    return attention;
}

bool is_finite(const xt::xarray<double>& x) {
    for (const double element : x)
        if (!std::isfinite(element)) return false;
    return true;
}

}  // namespace

TEST_CASE("attention: all derivatives of every form are those of finite differences") {
    std::mt19937_64 engine(5);
    const auto input = [&](std::size_t rows, std::size_t size) {
        return Array<double>(random(engine, std::array{B, rows, size}));
    };
    const auto full = [](std::span<const Var<double>> x) {
        return nn::scaled_dot_product_attention(x[0], x[1], x[2]);
    };
    const auto causal = [](std::span<const Var<double>> x) {
        return nn::scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true});
    };
    const std::vector<Array<double>> square{input(T, 3), input(T, 3), input(T, 2)};
    const std::vector<Array<double>> oblong{input(T, 3), input(T + 1, 3), input(T + 1, 2)};
    const Array<double> shared(
        random(engine, std::array{std::size_t(1), T, std::size_t(3)}));  // by all sequences
    for (const auto& check : {&xtape::gradcheck, &xtape::gradgradcheck}) {
        check(full, oblong, {});
        check(full, {square[0], shared, square[2]}, {});
        check(causal, square, {});
    }
}

TEST_CASE("self-attention: all derivatives are those of finite differences") {
    std::mt19937_64 engine(6);
    for (const bool causal : {false, true}) {
        nn::SelfAttention<double> attention = layer(3, causal);
        const auto run = [&](std::span<const Var<double>> x) { return attention(x[0]); };
        const std::vector<Array<double>> inputs{random(engine, std::array{std::size_t(3), B, E})};
        xtape::GradcheckOptions options;
        options.parameters = nn::parameters(attention);
        xtape::gradcheck(run, inputs, options);
        xtape::gradgradcheck(run, inputs, options);
    }
}

TEST_CASE("self-attention: outputs, weights and every gradient are those of PyTorch's MultiheadAttention") {
    const Golden golden("attention.txt");
    for (const std::string name : {"full", "causal"}) {
        INFO(name);
        nn::SelfAttention<double> attention = layer(2, name == "causal");
        std::size_t parameters = 0;
        nn::for_each_parameter(attention, [&](const std::string& parameter, auto& p) {
            p.value() = golden(name + "/" + parameter);
            ++parameters;
        });
        CHECK(parameters == 4);
        Tape<double> tape;
        const Var<double> x = tape.variable(golden(name + "/x"));
        const Var<double> y = attention(x);
        backward(y, tape.constant(golden(name + "/seed")));

        CHECK(distance(y.value(), golden(name + "/outputs")) < tolerance);
        CHECK(distance(attention.weights(x).value(), golden(name + "/weights")) < tolerance);
        CHECK(distance(x.grad(), golden(name + "/x/grad")) < tolerance);
        nn::for_each_parameter(attention, [&](const std::string& parameter, auto& p) {
            INFO(parameter);
            CHECK(distance(p.grad(), golden(name + "/" + parameter + "/grad")) < tolerance);
        });
    }
}

TEST_CASE("self-attention: in float it computes what it does in double") {
    nn::Engine one(9), two(9);
    const nn::SelfAttention<double> in_double(E, 2, one, {.causal = true});
    const nn::SelfAttention<float> in_float(E, 2, two, {.causal = true});
    const Sequence xs = random(one, std::array{T, B, E});
    Tape<double> doubles;
    Tape<float> floats;
    const Var<double> x = doubles.constant(xs);
    const Var<float> y = in_float(floats.constant(xt::cast<float>(xs)));
    const double error = distance(xt::xarray<double>(y.value()), in_double(x).value());
    CHECK(error < 1e-5);
    CHECK(error > 0);
}

TEST_CASE("self-attention: a single position takes all of itself, and its query and key receive nothing") {
    for (const bool causal : {false, true}) {
        nn::SelfAttention<double> attention = layer(2, causal);
        std::mt19937_64 engine(8);
        const Sequence xs = random(engine, std::array{std::size_t(1), B, E});
        Tape<double> tape;
        const Var<double> y = attention(tape.constant(xs));
        backward(sum(y));

        const Matrix w_v = rows(matrix(attention.in_proj_weight), 2 * E, 3 * E);
        const Vector b_v = xt::view(vector(attention.in_proj_bias), xt::range(2 * E, 3 * E));
        const Matrix v = product(step(xs, 0), transposed(w_v)) + b_v;
        const Matrix by_hand =
            product(v, transposed(matrix(attention.out_proj.weight))) + vector(attention.out_proj.bias);
        CHECK(distance(matrix(y[0]), by_hand) < tolerance);
        const Matrix dw = attention.in_proj_weight.grad();
        CHECK(norm(rows(dw, 0, 2 * E)) == 0);
        CHECK(norm(rows(dw, 2 * E, 3 * E)) > 0.1);
    }
}

TEST_CASE("attention: extreme scores choose one key, and nothing overflows") {
    for (const bool causal : {false, true}) {
        Tape<double> tape;
        const Var<double> q = tape.variable(Matrix{{1000}, {-1000}});
        const Var<double> k = tape.variable(Matrix{{1}, {-1}});  // scores of ±1000
        const Var<double> v = tape.variable(Matrix{{3}, {5}});
        const Var<double> y = nn::scaled_dot_product_attention(q, k, v, {.causal = causal});
        backward(sum(y));
        CHECK(distance(y.value(), Matrix{{3}, {5}}) == 0);
        CHECK(distance(v.grad(), Matrix{{1}, {1}}) == 0);
        CHECK(distance(q.grad(), Matrix{{0}, {0}}) == 0);
        CHECK(distance(k.grad(), Matrix{{0}, {0}}) == 0);
    }
    nn::SelfAttention<double> attention = layer(2);
    std::mt19937_64 engine(8);
    Tape<double> tape;
    const Var<double> x = tape.variable(random(engine, std::array{T, B, E}, 1e4));
    const Var<double> y = attention(x);
    backward(sum(y));
    CHECK(is_finite(y.value()));
    CHECK(is_finite(x.grad()));
    CHECK(is_finite(attention.in_proj_weight.grad()));
}

TEST_CASE("attention: shapes that don't fit are errors that name them") {
    Tape<double> tape;
    const auto of = [&](const Shape& shape) { return nn::zeros(tape, shape); };
    const auto attend = [&](const Shape& q, const Shape& k, const Shape& v, bool causal = false) {
        return nn::scaled_dot_product_attention(of(q), of(k), of(v), {.causal = causal});
    };
    CHECK_THROWS_WITH(
        attend({3, 4}, {5, 6}, {5, 2}),
        "[attention] queries of shape (3, 4) and keys of shape (5, 6): expected (..., T, d) and "
        "(..., S, d) with at least one key");
    CHECK_THROWS_WITH(attend({3, 4}, {5, 4}, {6, 2}),
                      "[attention] keys of shape (5, 4) and values of shape (6, 2): expected (..., S, d) and "
                      "(..., S, n)");
    CHECK_THROWS_WITH(attend({3, 4}, {5, 4}, {5, 2}, true), Contains("as many queries as keys"));
    CHECK_THROWS_AS(attend({4}, {5, 4}, {5, 2}), ShapeError);
    CHECK_THROWS_AS(attend({3, 4}, {4}, {5, 2}), ShapeError);
    CHECK_THROWS_AS(attend({3, 4}, {5, 4}, {5}), ShapeError);
    CHECK_THROWS_AS(attend({3, 4}, {0, 4}, {0, 2}), ShapeError);
    CHECK_THROWS_AS(attend({3, 0}, {5, 0}, {5, 2}), ShapeError);
    CHECK_THROWS_AS(attend({2, 3, 4}, {3, 5, 4}, {3, 5, 2}), ShapeError);
    CHECK(attend({2, 3, 4}, {5, 4}, {2, 5, 7}).shape() == Shape{2, 3, 7});
}

TEST_CASE("self-attention: inputs and numbers of heads that don't fit are errors that say what does") {
    nn::Engine engine(1);
    using Attention = nn::SelfAttention<double>;
    CHECK_THROWS_WITH(
        Attention(6, 4, engine),
        "[SelfAttention] an embedding of 6 in 4 heads: expected a number of heads that divides it");
    CHECK_THROWS_AS(Attention(6, 0, engine), ShapeError);
    CHECK_THROWS_AS(Attention(0, 1, engine), ShapeError);

    const Attention attention(6, 3, engine);
    Tape<double> tape;
    CHECK_THROWS_WITH(
        attention(nn::zeros(tape, {4, 2, 5})),
        "[SelfAttention] an input of shape (4, 2, 5): expected (T, B, 6) with at least one step");
    CHECK_THROWS_AS(attention(nn::zeros(tape, {4, 6})), ShapeError);
    CHECK_THROWS_AS(attention(nn::zeros(tape, {0, 2, 6})), ShapeError);
    CHECK_THROWS_AS(attention.weights(nn::zeros(tape, {0, 2, 6})), ShapeError);
}

TEST_CASE("self-attention: weights start normal with deviation 1/√E, biases with 0") {
    nn::Engine engine(2);
    const nn::SelfAttention<double> attention(64, 4, engine);
    const auto deviation = [](const auto& p) {
        return norm(p.value()) / std::sqrt(static_cast<double>(p.size()));
    };
    CHECK(deviation(attention.in_proj_weight) == Approx(1 / 8.0).epsilon(0.03));
    CHECK(deviation(attention.out_proj.weight) == Approx(1 / 8.0).epsilon(0.05));
    CHECK(deviation(attention.in_proj_bias) == 0);
    CHECK(deviation(attention.out_proj.bias) == 0);
}

TEST_CASE("positional encoding: sines and cosines of falling frequency, also for an odd size") {
    Tape<double> tape;
    const Var<double> even = nn::positional_encoding(tape, 3, 4);
    const double w = 0.01;  // 10000^(-2/4)
    CHECK(distance(even.value(), Matrix{{0, 1, 0, 1},
                                        {std::sin(1.0), std::cos(1.0), std::sin(w), std::cos(w)},
                                        {std::sin(2.0), std::cos(2.0), std::sin(2 * w), std::cos(2 * w)}}) <
          1e-15);
    CHECK_FALSE(even.needs_gradient());
    const Var<double> odd = nn::positional_encoding(tape, 2, 3);
    CHECK(distance(odd.value(),
                   Matrix{{0, 1, 0}, {std::sin(1.0), std::cos(1.0), std::sin(std::pow(10000.0, -2 / 3.0))}}) <
          1e-15);
}

TEST_CASE("positional encoding: the scalar product of two rows depends on their distance alone") {
    Tape<double> tape;
    const Matrix p = matrix(nn::positional_encoding(tape, 200, 16));
    const Matrix products = product(p, transposed(p));
    for (std::size_t t = 0; t < 200; ++t) {
        CHECK(products(t, t) == Approx(8));
        if (t + 30 < 200) CHECK(products(t, t + 30) == Approx(products(0, 30)).margin(1e-9));
    }
    CHECK(products(0, 1) < 7.9);
}
