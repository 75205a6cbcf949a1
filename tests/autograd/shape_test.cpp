#include "autograd/shape.hpp"

#include "autograd/error.hpp"
#include "tests/catch.hpp"

using namespace xtape;

TEST_CASE("shape: a shape is printed as NumPy prints it", "[shape]") {
    CHECK(to_string(Shape{}) == "()");
    CHECK(to_string(Shape{3}) == "(3,)");
    CHECK(to_string(Shape{16, 4, 64}) == "(16, 4, 64)");
}

TEST_CASE("shape: axes can be inserted and erased, up to eight of them", "[shape]") {
    Shape shape{2, 3};
    shape.insert(0, 7);
    shape.insert(3, 9);
    CHECK(shape == Shape{7, 2, 3, 9});
    shape.erase(1);
    CHECK(shape == Shape{7, 3, 9});
    shape.set(1, 5);
    CHECK(shape == Shape{7, 5, 9});
    CHECK(shape != Shape{7, 5});
    CHECK(element_count(shape) == 315);
    CHECK(element_count(Shape{}) == 1);
    CHECK(element_count(Shape{4, 0}) == 0);
    Shape full = Shape::filled(8, 1);
    CHECK_THROWS_AS(full.push_back(1), ShapeError);
    CHECK_THROWS_AS(full.insert(0, 1), ShapeError);
}

TEST_CASE("shape: shapes broadcast from the last axis on", "[shape]") {
    CHECK(broadcast_shapes("op", {2, 3}, {2, 3}) == Shape{2, 3});
    CHECK(broadcast_shapes("op", {2, 3}, {3}) == Shape{2, 3});
    CHECK(broadcast_shapes("op", {3}, {2, 1}) == Shape{2, 3});
    CHECK(broadcast_shapes("op", {5, 1, 4}, {2, 1}) == Shape{5, 2, 4});
    CHECK(broadcast_shapes("op", {}, {2, 3}) == Shape{2, 3});
    CHECK(broadcast_shapes("op", {0, 3}, {1, 3}) == Shape{0, 3});
    CHECK_THROWS_AS(broadcast_shapes("op", {2, 3}, {2}), ShapeError);
    CHECK_THROWS_AS(broadcast_shapes("op", {0}, {2}), ShapeError);
    CHECK_THROWS_WITH(broadcast_shapes("op", {2, 3}, {4, 1, 2}),
                      Catch::StartsWith("[op]") && Catch::Contains("(2, 3)") && Catch::Contains("(4, 1, 2)"));
    CHECK(broadcasts_to({3}, {2, 3}));
    CHECK(broadcasts_to({2, 1}, {4, 2, 3}));
    CHECK(!broadcasts_to({2, 3}, {3}));
    CHECK(!broadcasts_to({2}, {3}));
}

TEST_CASE("shape: axes count from either end and are each named once", "[shape]") {
    CHECK(resolve_axis("op", 1, 3) == 1);
    CHECK(resolve_axis("op", -1, 3) == 2);
    CHECK_THROWS_AS(resolve_axis("op", 3, 3), IndexError);
    CHECK_THROWS_AS(resolve_axis("op", -4, 3), IndexError);
    CHECK_THROWS_AS(resolve_axis("op", 0, 0), IndexError);
    const auto axes = resolve_axes("op", {-1, 0}, 3);
    REQUIRE(axes.size() == 2);
    CHECK(axes[0] == 0);
    CHECK(axes[1] == 2);
    CHECK(resolve_axes("op", {}, 3).size() == 3);
    CHECK_THROWS_AS(resolve_axes("op", {2, -1}, 3), IndexError);
    CHECK(reduced_shape({2, 3, 4}, axes, false) == Shape{3});
    CHECK(reduced_shape({2, 3, 4}, axes, true) == Shape{1, 3, 1});
}

TEST_CASE("shape: dense strides are row-major, and only they are dense", "[shape]") {
    CHECK(dense_strides({2, 3, 4}) == Strides{12, 4, 1});
    CHECK(is_dense({2, 3, 4}, {12, 4, 1}));
    CHECK(is_dense({2, 1, 4}, {4, 99, 1}));  // the stride of a single element doesn't matter
    CHECK(!is_dense({2, 3}, {1, 2}));
    CHECK(!is_dense({2, 3}, {6, 2}));
    CHECK(!is_dense({2, 3}, {0, 1}));
    CHECK(is_dense({0, 3}, {7, 7}));
    CHECK(broadcast_strides({3, 1}, {1, 1}, {2, 3, 4}) == Strides{0, 1, 0});
}

TEST_CASE("shape: a reshape of strided elements is strided where that is possible", "[shape]") {
    CHECK(reshaped_strides({2, 6}, {6, 1}, {3, 4}) == Strides{4, 1});
    CHECK(reshaped_strides({2, 6}, {12, 2}, {2, 3, 2}) == Strides{12, 4, 2});
    CHECK(reshaped_strides({2, 6}, {12, 2}, {12}) == Strides{2});  // rows follow one another
    CHECK(!reshaped_strides({2, 6}, {13, 2}, {12}));
    CHECK(!reshaped_strides({3, 4}, {1, 3}, {12}));
    CHECK(reshaped_strides({3, 4}, {1, 3}, {3, 2, 2}) == Strides{1, 6, 3});
    CHECK(reshaped_strides({3, 4}, {0, 1}, {3, 2, 2}) == Strides{0, 2, 1});
    CHECK(!reshaped_strides({3, 4}, {0, 1}, {12}));
    CHECK(reshaped_strides({4, 1}, {5, 3}, {1, 4}).value()[1] == 5);
}
