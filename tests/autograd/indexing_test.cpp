#include "autograd/indexing.hpp"

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("indexing: rows are taken, and gradients of rows taken several times add up", "[indexing]") {
    for (std::size_t width : {1u, 5u, 16u, 33u}) {
        const auto table = random({6, width}, 1), dy = random({2, 4, width}, 2);
        const xt::xarray<int> indices = {{5, 0, 0, -1}, {2, 2, -6, 5}};
        Tape<double> tape;
        const auto v = tape.variable(table);
        const Var<double> y = take(v, indices);
        REQUIRE(y.shape() == Shape{2, 4, width});
        Numbers expected = xt::zeros<double>({std::size_t(2), std::size_t(4), width});
        Numbers dtable = xt::zeros<double>({std::size_t(6), width});
        for (std::size_t i = 0; i < 2; ++i) {
            for (std::size_t j = 0; j < 4; ++j) {
                const auto row = static_cast<std::size_t>((indices(i, j) + 6) % 6);
                for (std::size_t k = 0; k < width; ++k) {
                    expected(i, j, k) = table(row, k);
                    dtable(row, k) += dy(i, j, k);
                }
            }
        }
        CHECK(difference(y.value(), expected) == 0);
        backward(y, tape.constant(dy));
        CHECK(difference(v.grad(), dtable) < 1e-15);
    }
}

TEST_CASE("indexing: indices may be a list, vector, span or xtensor of any integers", "[indexing]") {
    const auto x = random({4, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Numbers expected = xt::view(x, xt::keep(2, 0));
    const std::vector<std::uint8_t> bytes = {2, 0};
    const std::vector<std::int64_t> wide = {2, -4};
    CHECK(difference(take(v, {2, 0}).value(), expected) == 0);
    CHECK(difference(take(v, bytes).value(), expected) == 0);
    CHECK(difference(take(v, wide).value(), expected) == 0);
    CHECK(difference(take(v, std::span<const std::int64_t>(wide)).value(), expected) == 0);
    CHECK(difference(take(v, xt::xarray<std::size_t>{2, 0}).value(), expected) == 0);
    CHECK(difference(take(v, xt::arange<int>(0, 4)).value(), x) == 0);  // a lazy one
    CHECK(difference(take(2 * v, {2, 0}).value(), Numbers(2 * expected)) == 0);
    CHECK(take(v, std::vector<int>{}).shape() == Shape{0, 3});
    CHECK(take(v, xt::xarray<int>(1)).shape() == Shape{3});
}

TEST_CASE("indexing: take along later axes, of strided values", "[indexing]") {
    const auto x = random({3, 4, 2}, 1);
    Tape<double> tape;
    const auto v = tape.variable(Numbers(xt::transpose(x)));
    const Var<double> y = take(transpose(v, {2, 1, 0}), {3, 1, 1}, 1);
    CHECK(difference(y.value(), Numbers(xt::view(x, xt::all(), xt::keep(3, 1, 1)))) == 0);
    backward(sum(y));
    Numbers dx = xt::zeros_like(x);
    xt::view(dx, xt::all(), 3) = 1;
    xt::view(dx, xt::all(), 1) = 2;
    CHECK(difference(v.grad(), Numbers(xt::transpose(dx))) == 0);
}

TEST_CASE("indexing: one element for each line along an axis", "[indexing]") {
    const auto x = random({3, 5}, 1);
    const xt::xarray<int> columns = {{4, 0}, {2, 2}, {-1, -5}};
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = take_along_axis(v, columns, 1);
    CHECK(difference(y.value(), Numbers{{x(0, 4), x(0, 0)}, {x(1, 2), x(1, 2)}, {x(2, 4), x(2, 0)}}) == 0);
    backward(y, tape.constant(Numbers{{1, 2}, {3, 4}, {5, 6}}));
    Numbers dx = xt::zeros<double>({3, 5});
    dx(0, 4) = 1, dx(0, 0) = 2, dx(1, 2) = 7, dx(2, 4) = 5, dx(2, 0) = 6;
    CHECK(difference(v.grad(), dx) == 0);
    const xt::xarray<int> rows = {{0, 1, 2, -1, -2}};
    CHECK(difference(take_along_axis(v, rows, 0).value(),
                     Numbers{{x(0, 0), x(1, 1), x(2, 2), x(2, 3), x(1, 4)}}) == 0);
    CHECK(difference(take_along_axis(transpose(v), xt::xarray<int>(xt::transpose(columns)), 0).value(),
                     Numbers(xt::transpose(y.value()))) == 0);
}

TEST_CASE("indexing: what is out of range or doesn't fit is refused", "[indexing]") {
    Tape<double> tape;
    const auto v = tape.variable(random({3, 5}, 1));
    CHECK_THROWS_AS(take(v, {3}), IndexError);
    CHECK_THROWS_AS(take(v, {0, -4}), IndexError);
    CHECK_THROWS_AS(take(v, {0}, 2), IndexError);
    CHECK_THROWS_AS(take(v, xt::xarray<std::uint64_t>{~std::uint64_t{0}}), IndexError);
    CHECK_THROWS_WITH(take(v, {3}), Catch::StartsWith("[take]") && Catch::Contains("3"));
    CHECK_THROWS_AS(take_along_axis(v, tensors::column({5, 0, 0}), 1), IndexError);
    CHECK_THROWS_AS(take_along_axis(v, tensors::column({0, 0}), 1), ShapeError);
    CHECK_THROWS_AS(take_along_axis(v, xt::xarray<int>{0, 0, 0}, 1), ShapeError);
}

TEST_CASE("indexing: flip turns axes round", "[indexing]") {
    const auto x = random({3, 4, 5}, 1), dy = random({3, 4, 5}, 2);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(flip(v, {1}).value(), Numbers(xt::flip(x, 1))) == 0);
    CHECK(difference(flip(v, {0, -1}).value(), Numbers(xt::flip(Numbers(xt::flip(x, 0)), 2))) == 0);
    CHECK(difference(flip(flip(v)).value(), x) == 0);
    CHECK(difference(flip(slice(v, 1, 0, 4, 2), {1}).value(),
                     Numbers(xt::view(x, xt::all(), xt::keep(2, 0)))) == 0);
    backward(flip(v, {1}), tape.constant(dy));
    CHECK(difference(v.grad(), Numbers(xt::flip(dy, 1))) == 0);
    CHECK(flip(slice(v, 0, 0, 0)).shape() == Shape{0, 4, 5});
}
