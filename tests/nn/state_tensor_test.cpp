#include "nn/state_tensor.hpp"

#include <vector>

#include "tests/catch.hpp"

using xtape::Parameter;
using xtape::Shape;
using xtape::ShapeError;
using xtape::nn::StateTensor;

namespace {

/// 0, 1, 2, ...
Parameter<float> counted(const Shape& shape) {
    Parameter<float> parameter(shape);
    for (std::size_t k = 0; k < parameter.size(); ++k) parameter.data()[k] = static_cast<float>(k);
    return parameter;
}

std::vector<float> elements(const StateTensor<float>& tensor) {
    std::vector<float> result;
    for (const auto& piece : tensor.pieces()) {
        const float* const from = piece.parameter->data() + piece.begin;
        result.insert(result.end(), from, from + piece.size);
    }
    return result;
}

using Numbers = std::vector<float>;

}  // namespace

TEST_CASE("state tensor: a whole parameter is one piece") {
    Parameter<float> p = counted({2, 3}), scalar = counted({}), empty = counted({0, 3});
    CHECK(StateTensor(p).shape() == Shape{2, 3});
    CHECK(StateTensor(p).pieces().size() == 1);
    CHECK(elements(StateTensor(p)) == Numbers{0, 1, 2, 3, 4, 5});
    CHECK(elements(StateTensor(scalar)) == Numbers{0});
    CHECK(elements(StateTensor(empty)).empty());
}

TEST_CASE("state tensor: blocks of rows come in the order that is asked for") {
    Parameter<float> p = counted({4, 2}), b = counted({6});
    const StateTensor swapped = StateTensor(p).blocks(2, {1, 0});
    CHECK(swapped.shape() == Shape{4, 2});
    CHECK(elements(swapped) == Numbers{4, 5, 6, 7, 0, 1, 2, 3});
    const StateTensor some = StateTensor(b).blocks(3, {2, 0});
    CHECK(some.shape() == Shape{4});
    CHECK(elements(some) == Numbers{4, 5, 0, 1});
}

TEST_CASE("state tensor: columns are taken from every row, before or after blocks") {
    Parameter<float> p = counted({4, 3});
    const StateTensor left = StateTensor(p).columns(0, 2);
    CHECK(left.shape() == Shape{4, 2});
    CHECK(elements(left) == Numbers{0, 1, 3, 4, 6, 7, 9, 10});
    const Numbers swapped{7, 8, 10, 11, 1, 2, 4, 5};
    CHECK(elements(StateTensor(p).blocks(2, {1, 0}).columns(1, 3)) == swapped);
    CHECK(elements(StateTensor(p).columns(1, 3).blocks(2, {1, 0})) == swapped);
    CHECK(elements(StateTensor(p).columns(1, 3).columns(1, 2)) == Numbers{2, 5, 8, 11});
    CHECK(StateTensor(p).columns(1, 1).shape() == Shape{4, 0});
}

TEST_CASE("state tensor: then puts rows of another parameter below, and added marks those before it alone") {
    Parameter<float> p = counted({2, 3}), q = counted({1, 3});
    const StateTensor both = StateTensor(p).added().then(StateTensor(q));
    CHECK(both.shape() == Shape{3, 3});
    CHECK(elements(both) == Numbers{0, 1, 2, 3, 4, 5, 0, 1, 2});
    REQUIRE(both.pieces().size() == 2);
    CHECK(both.pieces()[0].is_added);
    CHECK_FALSE(both.pieces()[1].is_added);
}

TEST_CASE("state tensor: what a parameter hasn't is refused, with its shape") {
    Parameter<float> p = counted({4, 3}), scalar = counted({}), b = counted({4});
    const auto message =
        "[StateTensor] 3 blocks of a tensor of shape (4, 3): expected a number that divides its rows, "
        "and blocks below it";
    CHECK_THROWS_WITH(StateTensor(p).blocks(3, {0}), message);
    CHECK_THROWS_AS(StateTensor(p).blocks(2, {0, 2}), ShapeError);
    CHECK_THROWS_AS(StateTensor(p).blocks(0, {}), ShapeError);
    CHECK_THROWS_AS(StateTensor(scalar).blocks(1, {0}), ShapeError);
    CHECK_THROWS_WITH(
        StateTensor(p).columns(1, 4),
        "[StateTensor] columns 1 to 4 of a tensor of shape (4, 3): expected a matrix that has them");
    CHECK_THROWS_AS(StateTensor(p).columns(2, 1), ShapeError);
    CHECK_THROWS_AS(StateTensor(b).columns(0, 1), ShapeError);
    CHECK_THROWS_WITH(
        StateTensor(p).then(StateTensor(b)),
        "[StateTensor] rows of shape (4, 3), then of shape (4,): expected shapes that differ in the "
        "first axis alone");
    CHECK_THROWS_AS(StateTensor(scalar).then(StateTensor(scalar)), ShapeError);
}
