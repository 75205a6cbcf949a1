#include "nn/probability_loss.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "nn/engine.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::gradcheck;
using xtape::gradgradcheck;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double anything = std::numeric_limits<double>::quiet_NaN();
constexpr nn::Reduction reductions[] = {nn::Reduction::mean, nn::Reduction::sum, nn::Reduction::none};

}  // namespace

TEST_CASE("bce with logits: is -p log σ(x) - (1 - p) log σ(-x), with gradient σ(x) - p") {
    nn::Engine engine(1);
    const std::array<std::size_t, 2> shape{3, 4};
    const Matrix x = random(engine, shape, 2), p = sigma(random(engine, shape)), s = sigma(x);
    const Matrix losses = -p * xt::log(s) - (1 - p) * xt::log(1 - s);
    Tape<double> tape;
    const Var<double> at = tape.variable(x);
    const Var<double> y = nn::bce_with_logits(at, tape.constant(p), nn::Reduction::none);
    CHECK(distance(y.value(), losses) < 1e-14);
    backward(sum(y));
    CHECK(distance(at.grad(), Matrix(s - p)) < 1e-14);
}

TEST_CASE("bce with logits: is exact in both tails") {
    const Vector x{1000, -1000, 1000, -1000, 0, 40}, p{1, 0, 0, 1, 1, 1};
    Tape<double> tape;
    const Var<double> at = tape.variable(x);
    const Var<double> y = nn::bce_with_logits(at, tape.constant(p), nn::Reduction::none);
    backward(sum(y));
    CHECK((xt::view(y.value(), xt::range(0, 4)) == Vector{0, 0, 1000, 1000}));
    CHECK((xt::view(at.grad(), xt::range(0, 5)) == Vector{0, 0, 1, -1, -0.5}));
    CHECK(y.value()(5) == Approx(std::exp(-40.0)).epsilon(1e-14));
    CHECK(at.grad()(5) == Approx(-std::exp(-40.0)).epsilon(1e-14));
}

TEST_CASE("bce with logits: positive weights multiply the loss of a 1, one for all or one for each column") {
    const Matrix x{{0, 0}, {0, 0}}, p{{1, 1}, {0, 0.5}};
    Tape<double> tape;
    const Var<double> at = tape.variable(x), to = tape.constant(p);
    const double ln2 = std::log(2.0);
    const auto losses = [&](std::vector<double> w) {
        return Matrix(
            nn::bce_with_logits(at, to, {.reduction = nn::Reduction::none, .pos_weight = w}).value());
    };
    CHECK(distance(losses({3}), Matrix(ln2 * Matrix{{3, 3}, {1, 2}})) < 1e-15);
    CHECK(distance(losses({3, 5}), Matrix(ln2 * Matrix{{3, 5}, {1, 3}})) < 1e-15);
    backward(nn::bce_with_logits(at, to, {.reduction = nn::Reduction::sum, .pos_weight = {3, 5}}));
    CHECK(distance(at.grad(), Matrix{{-1.5, -2.5}, {0.5, -1}}) < 1e-15);
    const Var<double> number = tape.constant(0.0), one = tape.constant(1.0);
    CHECK(nn::bce_with_logits(number, one, {.pos_weight = {3}}).item() == Approx(3 * ln2));
}

TEST_CASE("kl divergence: is Σ p (log p - log q), and -p is its gradient") {
    const Vector p{0.5, 0.25, 0.25, 0}, log_q = xt::log(Vector{0.25, 0.25, 0.5, 1e-300});
    Tape<double> tape;
    const Var<double> at = tape.variable(log_q);
    const Var<double> loss = nn::kl_div(at, tape.constant(p), nn::Reduction::sum);
    CHECK(loss.item() == Approx(0.5 * std::log(2.0) - 0.25 * std::log(2.0)));
    backward(loss);
    CHECK(distance(at.grad(), Vector(-p)) == 0);
}

TEST_CASE("kl divergence: what neither thinks possible costs nothing") {
    Tape<double> tape;
    const Var<double> log_q = tape.variable(Vector{0, -infinity});
    const Var<double> loss = nn::kl_div(log_q, tape.constant(Vector{1, 0}));
    CHECK(loss.item() == 0);
    backward(loss);
    CHECK((log_q.grad() == Vector{-0.5, 0}));
}

TEST_CASE("probability losses: gradients of both operands agree with differences, and those of gradients") {
    nn::Engine engine(1);
    const std::array<std::size_t, 2> shape{3, 2};
    const Matrix x = random(engine, shape), p = sigma(random(engine, shape));
    for (nn::Reduction reduction : reductions) {
        const auto bce = [&](auto in) {
            return nn::bce_with_logits(in[0], in[1], {.reduction = reduction, .pos_weight = {3, 0.5}});
        };
        const auto kl = [&](auto in) { return nn::kl_div(in[0], in[1], reduction); };
        gradcheck(bce, {x, p});
        gradgradcheck(bce, {x, p});
        gradcheck(kl, {x, p});
        gradgradcheck(kl, {x, p});
    }
}

TEST_CASE("probability losses: with a mask only its elements count, positive weights as well") {
    const Matrix x{{0, anything}, {0, 0}, {anything, anything}}, p{{1, 1}, {anything, 1}, {0, 0}};
    const xt::xarray<bool> mask{{true, false}, {false, true}, {false, false}};
    const double ln2 = std::log(2.0);
    Tape<double> tape;
    const Var<double> at = tape.variable(x), to = tape.constant(p);
    CHECK(nn::bce_with_logits(at, to, mask).item() == Approx(ln2));
    CHECK(nn::bce_with_logits(at, to, mask, {.pos_weight = {3, 5}}).item() == Approx(4 * ln2));
    const Var<double> losses = nn::bce_with_logits(at, to, mask, nn::Reduction::none);
    backward(sum(losses));
    CHECK(distance(losses.value(), Matrix{{ln2, 0}, {0, ln2}, {0, 0}}) < 1e-15);
    CHECK((at.grad() == Matrix{{-0.5, 0}, {0, -0.5}, {0, 0}}));
    CHECK(nn::kl_div(at, to, mask, nn::Reduction::sum).item() == 0);  // 1 (log 1 - 0), twice
}

TEST_CASE("probability losses: other shapes and numbers of weights are refused") {
    Tape<double> tape;
    const Var<double> x = tape.constant(Matrix(xt::zeros<double>({2, 3}))), z = transpose(x);
    CHECK_THROWS_WITH(nn::bce_with_logits(x, z),
                      Catch::Contains("[bce_with_logits] shape (2, 3)") && Catch::Contains("(3, 2)"));
    CHECK_THROWS_AS(nn::kl_div(x, z), xtape::ShapeError);
    CHECK_THROWS_WITH(nn::bce_with_logits(x, x, {.pos_weight = {1, 2}}),
                      Catch::Contains("2 positive weights") && Catch::Contains("(2, 3)"));
    const xt::xarray<bool> nothing = xt::zeros<bool>({2, 3});
    CHECK_THROWS_AS(nn::kl_div(x, x, nothing), xtape::ShapeError);
}
