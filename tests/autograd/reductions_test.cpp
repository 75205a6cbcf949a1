#include "autograd/reductions.hpp"

#include <cmath>
#include <limits>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

/// x, and the same tensor as a view with other strides.
template <class F>
void each_layout(Tape<double>& tape, const Numbers& x, F f) {
    f(tape.variable(x));
    f(transpose(tape.variable(Numbers(xt::transpose(x, {2, 0, 1}))), {1, 2, 0}));
    f(slice(tape.variable(Numbers(xt::repeat(x, 2, 2))), 2, 0, 10000, 2));
}

}  // namespace

TEST_CASE("reductions: sum, mean, var, max and min over every choice of axes", "[reductions]") {
    const auto x = random({4, 3, 37}, 1);
    const std::vector<std::vector<std::ptrdiff_t>> choices = {{0},    {1},    {2},    {-1},
                                                              {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}};
    for (const auto& chosen : choices) {
        CAPTURE(chosen);
        Tape<double> tape;
        each_layout(tape, x, [&](const Var<double>& v) {
            Axes axes;
            for (std::ptrdiff_t axis : chosen) axes.push_back(axis);
            CHECK(difference(sum(v, axes).value(), Numbers(xt::sum(x, chosen))) < 1e-13);
            CHECK(difference(mean(v, axes).value(), Numbers(xt::mean(x, chosen))) < 1e-14);
            CHECK(difference(max(v, axes).value(), Numbers(xt::amax(x, chosen))) == 0);
            CHECK(difference(min(v, axes).value(), Numbers(xt::amin(x, chosen))) == 0);
            CHECK(difference(sum(v, axes, true).value(), Numbers(xt::sum(x, chosen, xt::keep_dims))) < 1e-13);
            CHECK(difference(max(v, axes, true).value(), Numbers(xt::amax(x, chosen, xt::keep_dims))) == 0);
            const Numbers center = xt::mean(x, chosen, xt::keep_dims);
            const Numbers squares = xt::sum(Numbers(xt::square(x - center)), chosen);
            const double n = 444.0 / static_cast<double>(squares.size());
            CHECK(difference(var(v, axes).value(), Numbers(squares / n)) < 1e-14);
            CHECK(difference(var(v, axes, false, 1).value(), Numbers(squares / (n - 1))) < 1e-14);
        });
    }
    Tape<double> tape;
    CHECK(sum(tape.variable(x)).item() == Approx(xt::sum(x)()));
    CHECK(mean(tape.variable(x)).rank() == 0);
    CHECK(mean(tape.variable(x), {}, true).shape() == Shape{1, 1, 1});
    CHECK(max(tape.variable(2.5)).item() == 2.5);
}

TEST_CASE("reductions: expressions are reduced as their values", "[reductions]") {
    const auto x = random({3, 4}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(sum(v * 2).item() == Approx(2 * xt::sum(x)()));
    CHECK(difference(max(-v, {0}).value(), Numbers(-xt::amin(x, {0}))) == 0);
    const Var<double> product = matmul(v, transpose(v));
    CHECK(difference(mean(matmul(v, transpose(v)), {1}).value(), mean(product, {1}).value()) < 1e-15);
}

TEST_CASE("reductions: long sums of floats keep their accuracy", "[reductions]") {
    // Added up one after the other, a million times 0.1f is off by 1 %.
    const double exact = 1e6 * static_cast<double>(0.1F);
    Tape<float> tape;
    const auto row = tape.constant(xt::xarray<float>(0.1F * xt::ones<float>({1000000})));
    const auto column = tape.constant(xt::xarray<float>(0.1F * xt::ones<float>({1000000, 3})));
    CHECK(sum(row).item() == Approx(exact).epsilon(1e-6));
    CHECK(mean(row).item() == Approx(0.1).epsilon(1e-6));
    const Var<float> columns = sum(column, {0});
    for (std::size_t j = 0; j < 3; ++j) CHECK(columns.value()(j) == Approx(exact).epsilon(1e-5));
    CHECK(sum(slice(column, 1, 1, 2)).item() == Approx(exact).epsilon(1e-5));
    CHECK(sum(slice(row, 0, 0, 1000000, 2)).item() == Approx(exact / 2).epsilon(1e-5));
}

TEST_CASE("reductions: a variance does not drown in a large mean", "[reductions]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>{1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16});
    CHECK(var(x, {}, false, 1).item() == 30);
    CHECK(var(x).item() == 22.5);
    CHECK(std::isnan(var(x, {}, false, 4).item()));
    CHECK(std::isnan(var(x, {}, false, 5).item()));
}

TEST_CASE("reductions: equal extremes share the gradient evenly", "[reductions]") {
    Tape<double> tape;
    const auto x = tape.variable(
        xt::xarray<double>{{1.0, 3.0, 3.0, 2.0}, {5.0, 5.0, 5.0, 5.0}, {0.0, -1.0, -1.0, -2.0}});
    backward(max(x, {1}), tape.constant(xt::xarray<double>{6.0, 8.0, 1.0}));
    CHECK(difference(x.grad(), xt::xarray<double>{
                                   {0.0, 3.0, 3.0, 0.0}, {2.0, 2.0, 2.0, 2.0}, {1.0, 0.0, 0.0, 0.0}}) == 0);
    const auto z = tape.variable(xt::xarray<double>{2.0, 1.0, 1.0});
    backward(min(z));
    CHECK(difference(z.grad(), xt::xarray<double>{0.0, 0.5, 0.5}) == 0);
}

TEST_CASE("reductions: NaN passes through max and min, wherever it stands", "[reductions]") {
    for (std::size_t size : {1u, 7u, 8u, 40u}) {
        for (std::size_t place = 0; place < size; ++place) {
            Numbers x = random({size}, 1);
            x(place) = std::nan("");
            Tape<double> tape;
            const auto v = tape.variable(x);
            CHECK(std::isnan(max(v).item()));
            CHECK(std::isnan(min(v).item()));
            backward(max(v));
            CHECK(v.grad()(place) == 1);
            CHECK(xt::sum(v.grad())() == 1);
        }
    }
    Tape<double> tape;
    CHECK(max(tape.variable(xt::xarray<double>{-inf, -inf})).item() == -inf);
    CHECK(min(tape.variable(xt::xarray<double>{inf, 1.0})).item() == 1);
}

TEST_CASE("reductions: of nothing the sum is 0, the mean NaN, and an extreme is refused", "[reductions]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>(xt::zeros<double>({3, 0})));
    CHECK(difference(sum(x, {1}).value(), Numbers(xt::zeros<double>({3}))) == 0);
    CHECK(std::isnan(mean(x).item()));
    CHECK(std::isnan(var(x).item()));
    CHECK_THROWS_AS(max(x, {1}), ShapeError);
    CHECK_THROWS_AS(min(x), ShapeError);
    CHECK(max(x, {0}).shape() == Shape{0});
    CHECK_THROWS_WITH(max(x), Catch::StartsWith("[max]") && Catch::Contains("(3, 0)"));
    backward(sum(x));
    CHECK(x.grad().size() == 0);
}

TEST_CASE("reductions: axes that don't exist, or are named twice, are refused", "[reductions]") {
    Tape<double> tape;
    const auto x = tape.variable(random({2, 3}, 1));
    CHECK_THROWS_AS(sum(x, {2}), IndexError);
    CHECK_THROWS_AS(mean(x, {-3}), IndexError);
    CHECK_THROWS_AS(max(x, {0, -2}), IndexError);
    CHECK_THROWS_AS(softmax(x, {5}), IndexError);
    CHECK_THROWS_AS(sum_to(x, {2}), ShapeError);
}

TEST_CASE("reductions: sum_to takes broadcasting back", "[reductions]") {
    const auto x = random({4, 2, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(sum_to(v, {2, 3}).value(), Numbers(xt::sum(x, {0}))) < 1e-15);
    CHECK(difference(sum_to(v, {1, 3}).value(), Numbers(xt::view(xt::sum(x, {0, 1}), xt::newaxis()))) <
          1e-15);
    CHECK(sum_to(v, {}).item() == Approx(xt::sum(x)()));
    CHECK(sum_to(v, {4, 2, 3}).index() == v.index());
}

TEST_CASE("reductions: gradients of sums and means reach tensors, views of them, and what is used twice",
          "[reductions]") {
    const auto x = random({3, 4, 5}, 1);
    for (const Axes& axes : {Axes{2}, Axes{1}, Axes{0}, Axes{0, 2}, Axes{1, 2}, Axes{}}) {
        const auto both = [&](const Var<double>& v) -> Var<double> {
            return square(sum(v, axes)) + square(mean(v, axes));
        };
        gradcheck([&](std::span<const Var<double>> in) { return both(in[0]); }, {x});
        gradcheck([&](std::span<const Var<double>> in) { return both(slice(in[0], 1, 1, 3)); }, {x});
        gradcheck([&](std::span<const Var<double>> in) { return both(transpose(in[0], {2, 0, 1})); }, {x});
    }
}
