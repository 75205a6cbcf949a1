#include "nn/loss.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "nn/initialize.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 3, B = 2, C = 5;
const xt::xtensor<int, 2> classes{{0, 4}, {2, 2}, {1, 0}};

}  // namespace

TEST_CASE("cross entropy: is -log softmax at the class, with gradient softmax - 1 there") {
    std::mt19937_64 engine(1);
    const Sequence logits = random(engine, std::array{T, B, C}, 3);
    for (nn::Reduction reduction : {nn::Reduction::mean, nn::Reduction::sum}) {
        const double samples = reduction == nn::Reduction::mean ? double(T * B) : 1;
        Tape<double> tape;
        const Var<double> x = tape.variable(logits);
        const Var<double> loss = nn::cross_entropy(x, classes, reduction);
        backward(loss);
        double expected = 0;
        Sequence gradient = xt::zeros_like(logits);
        for (std::size_t t = 0; t < T; ++t)
            for (std::size_t b = 0; b < B; ++b) {
                const auto target = static_cast<std::size_t>(classes(t, b));
                double total = 0;
                for (std::size_t c = 0; c < C; ++c) total += std::exp(logits(t, b, c));
                expected += std::log(total) - logits(t, b, target);
                for (std::size_t c = 0; c < C; ++c)
                    gradient(t, b, c) = (std::exp(logits(t, b, c)) / total - (c == target ? 1 : 0)) / samples;
            }
        CHECK(loss.item() == Approx(expected / samples).epsilon(1e-12));
        CHECK(distance(x.grad(), gradient) < tolerance);
    }
}

TEST_CASE("cross entropy: classes may be a tensor or any row of integers") {
    std::mt19937_64 engine(1);
    Tape<double> tape;
    const Var<double> logits = tape.constant(random(engine, std::array{T, B, C}));
    const double expected = nn::cross_entropy(logits, classes).item();
    CHECK(nn::cross_entropy(logits, std::vector<std::uint8_t>{0, 4, 2, 2, 1, 0}).item() == expected);
    CHECK(nn::cross_entropy(logits, xt::xarray<long>(classes)).item() == expected);
    CHECK(nn::cross_entropy(logits, std::array{0, 4, 2, 2, 1, 0}).item() == expected);
    CHECK(nn::cross_entropy(logits, classes + 0).item() == expected);
    const Var<double> one = logits[1][0];
    CHECK(nn::cross_entropy(one, std::array{2}).item() ==
          nn::cross_entropy(reshape(one, {1, -1}), std::array{2}).item());
}

TEST_CASE("cross entropy: neither overflows nor loses a certain answer") {
    Tape<double> tape;
    const Var<double> x = tape.variable(Matrix{{1e4, 0, -1e4}, {0, 1e4, 0}});
    const Var<double> loss = nn::cross_entropy(x, std::array{1, 1}, nn::Reduction::sum);
    CHECK(loss.item() == 1e4);
    backward(loss);
    CHECK(distance(x.grad(), Matrix{{1, -1, 0}, {0, 0, 0}}) == 0);
}

TEST_CASE("cross entropy: a wrong number of classes, or a class out of range, is refused") {
    Tape<double> tape;
    const Var<double> x = tape.variable(Matrix{{1, 2, 3}, {4, 5, 6}});
    CHECK_THROWS_WITH(nn::cross_entropy(x, std::array{1, 2, 0}),
                      Catch::Contains("[cross_entropy]") && Catch::Contains("(2, 3)"));
    CHECK_THROWS_AS(nn::cross_entropy(x, std::array{1, 3}), xtape::IndexError);
    CHECK_THROWS_AS(nn::cross_entropy(tape.constant(1.0), std::array{0}), xtape::ShapeError);
}

TEST_CASE("mse: is the mean square of the difference, with gradient twice it over n") {
    std::mt19937_64 engine(1);
    const Matrix y = random(engine, std::array{T, C}), target = random(engine, std::array{T, C});
    Tape<double> tape;
    const Var<double> y_at = tape.variable(y), target_at = tape.variable(target);
    const Var<double> loss = nn::mse(y_at, target_at);
    backward(loss);
    const double n = double(T * C);
    CHECK(loss.item() == Approx(norm(Matrix(y - target)) * norm(Matrix(y - target)) / n).epsilon(1e-12));
    CHECK(distance(y_at.grad(), Matrix(2 * (y - target) / n)) < tolerance);
    CHECK(distance(target_at.grad(), Matrix(-2 * (y - target) / n)) < tolerance);
    CHECK(nn::mse(y_at, target_at, nn::Reduction::sum).item() == Approx(loss.item() * n).epsilon(1e-12));
    CHECK_THROWS_WITH(nn::mse(y_at, transpose(target_at)),
                      Catch::Contains("[mse]") && Catch::Contains("(3, 5)") && Catch::Contains("(5, 3)"));
}

TEST_CASE("loss: with a mask only its samples count, whatever the others hold") {
    constexpr std::size_t steps = 3, samples = 2, class_count = 4;
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    nn::Engine engine(1);
    Sequence logits = random(engine, std::array{steps, samples, class_count});
    xt::xarray<int> labels = {{0, 3}, {2, 1}, {1, 9}};
    const std::vector<std::size_t> lengths{3, 2};
    for (std::size_t k = 0; k < class_count; ++k) logits(2, 1, k) = nan;
    const auto mask = nn::length_mask(lengths, steps);
    Tape<double> tape;
    const Var<double> x = tape.variable(logits);
    for (const auto reduction : {nn::Reduction::mean, nn::Reduction::sum}) {
        const Var<double> loss = nn::cross_entropy(x, labels, mask, reduction);
        double expected = 0;
        for (std::size_t t = 0; t < steps; ++t) {
            for (std::size_t b = 0; b < samples; ++b) {
                if (t >= lengths[b]) continue;
                double total = 0;
                for (std::size_t k = 0; k < class_count; ++k) total += std::exp(logits(t, b, k));
                expected += std::log(total) - logits(t, b, static_cast<std::size_t>(labels(t, b)));
            }
        }
        if (reduction == nn::Reduction::mean) expected /= 5;
        CHECK(std::abs(loss.item() - expected) < 1e-12);
    }
    backward(nn::cross_entropy(x, labels, mask));
    for (std::size_t k = 0; k < class_count; ++k) CHECK(x.grad()(2, 1, k) == 0);

    const Sequence targets = random(engine, std::array{steps, samples, class_count});
    double squares = 0;
    for (std::size_t t = 0; t < steps; ++t) {
        for (std::size_t b = 0; b < samples; ++b) {
            for (std::size_t k = 0; t < lengths[b] && k < class_count; ++k)
                squares += std::pow(logits(t, b, k) - targets(t, b, k), 2);
        }
    }
    const Var<double> y = tape.constant(targets);
    CHECK(std::abs(nn::mse(x, y, mask, nn::Reduction::sum).item() - squares) < 1e-12);
    CHECK(std::abs(nn::mse(x, y, mask).item() - squares / 20) < 1e-12);
}

TEST_CASE("loss: a mask of another shape, or that lets nothing pass, is refused") {
    Tape<double> tape;
    const Var<double> x = tape.constant(Sequence(xt::zeros<double>({3, 2, 4})));
    const xt::xarray<int> labels = xt::zeros<int>({3, 2});
    const std::vector<std::size_t> two{1, 2}, three{1, 2, 3}, long_ones{4, 1};
    CHECK_THROWS_AS(nn::cross_entropy(x, labels, nn::length_mask(three, 3)), ShapeError);
    CHECK_THROWS_AS(nn::mse(x, x, nn::length_mask(two, 2)), ShapeError);
    CHECK_THROWS_AS(nn::length_mask(long_ones, 3), ShapeError);
    const xt::xarray<bool> nothing = xt::zeros<bool>({3, 2});
    CHECK_THROWS_AS(nn::cross_entropy(x, labels, nothing), ShapeError);
    CHECK_THROWS_AS(nn::mse(x, x, nothing), ShapeError);
}
