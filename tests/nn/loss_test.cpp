#include "nn/loss.hpp"

#include <cmath>
#include <vector>

#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
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
