#include "autograd/views.hpp"

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

namespace {

/// Whether y shows x's own memory.
bool shares_memory(const Var<double>& y, const Var<double>& x) {
    const double* first = x.value().data();
    return y.value().data() >= first && y.value().data() < first + x.size();
}

}  // namespace

TEST_CASE("views: slices count as NumPy's", "[views]") {
    const auto x = random({5, 6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(slice(v, 0, 1, 4).value(), Numbers(xt::view(x, xt::range(1, 4)))) == 0);
    CHECK(difference(slice(v, 1, 1, 6, 2).value(), Numbers(xt::view(x, xt::all(), xt::range(1, 6, 2)))) == 0);
    CHECK(difference(slice(v, -1, -3, -1).value(), Numbers(xt::view(x, xt::all(), xt::range(3, 5)))) == 0);
    CHECK(difference(slice(v, 0, 3).value(), Numbers(xt::view(x, xt::range(3, 5)))) == 0);
    CHECK(slice(v, 0, -100, 100).shape() == Shape{5, 6});
    CHECK(slice(v, 0, 4, 2).shape() == Shape{0, 6});
    CHECK(slice(v, 0, 9, 12).shape() == Shape{0, 6});
    CHECK(slice(v, 0, 0, 5, 7).shape() == Shape{1, 6});
    CHECK(shares_memory(slice(v, 1, 2, 4), v));
    CHECK_THROWS_AS(slice(v, 0, 0, 5, 0), IndexError);
    CHECK_THROWS_AS(slice(v, 0, 4, 0, -1), IndexError);
    CHECK_THROWS_AS(slice(v, 2, 0, 1), IndexError);
}

TEST_CASE("views: a position of an axis, counted from either end", "[views]") {
    const auto x = random({3, 4, 5}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(v[1].value(), Numbers(xt::view(x, 1))) == 0);
    CHECK(difference(v[-1].value(), Numbers(xt::view(x, 2))) == 0);
    CHECK(difference(select(v, 1, 2).value(), Numbers(xt::view(x, xt::all(), 2))) == 0);
    CHECK(difference(select(v, -1, -5).value(), Numbers(xt::view(x, xt::all(), xt::all(), 0))) == 0);
    CHECK(v[0][1][2].item() == x(0, 1, 2));
    CHECK(shares_memory(select(v, 1, 2), v));
    CHECK_THROWS_AS(v[3], IndexError);
    CHECK_THROWS_AS(v[-4], IndexError);
    CHECK_THROWS_AS(tape.variable(1)[0], IndexError);
}

TEST_CASE("views: equal parts of an axis", "[views]") {
    const auto x = random({2, 8}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const auto [a, b, c, d] = split<4>(v);
    CHECK(difference(c.value(), Numbers(xt::view(x, xt::all(), xt::range(4, 6)))) == 0);
    CHECK(shares_memory(d, v));
    const auto rows = split(v, std::size_t(2), 0);
    REQUIRE(rows.size() == 2);
    CHECK(difference(rows[1].value(), Numbers(xt::view(x, xt::range(1, 2)))) == 0);
    CHECK_THROWS_AS(split<3>(v), ShapeError);
    CHECK_THROWS_AS(split(v, std::size_t(0), 0), ShapeError);
    backward(Var<double>(sum(a * b) + sum(square(d))));
    Numbers dx = xt::zeros<double>({2, 8});
    xt::view(dx, xt::all(), xt::range(0, 2)) = xt::view(x, xt::all(), xt::range(2, 4));
    xt::view(dx, xt::all(), xt::range(2, 4)) = xt::view(x, xt::all(), xt::range(0, 2));
    xt::view(dx, xt::all(), xt::range(6, 8)) = 2 * xt::view(x, xt::all(), xt::range(6, 8));
    CHECK(difference(v.grad(), dx) == 0);
}

TEST_CASE("views: a reshape shares memory where strides can say it, and copies elsewhere", "[views]") {
    const auto x = random({4, 6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    Numbers flat = x;
    flat.reshape({3, 8});
    CHECK(difference(reshape(v, {3, -1}).value(), flat) == 0);
    CHECK(shares_memory(reshape(v, {3, 8}), v));
    CHECK(shares_memory(reshape(slice(v, 1, 0, 4), {4, 2, 2}), v));
    const Var<double> turned = reshape(transpose(v), {3, 8});
    Numbers expected = xt::transpose(x);
    expected.reshape({3, 8});
    CHECK(difference(turned.value(), expected) == 0);
    CHECK(!shares_memory(turned, v));
    CHECK(reshape(v, {24}).shape() == Shape{24});
    CHECK(reshape(sum(v), {1, 1, 1}).shape() == Shape{1, 1, 1});
    CHECK(reshape(slice(v, 0, 0, 0), {-1, 6}).shape() == Shape{0, 6});
    CHECK_THROWS_AS(reshape(v, {5, -1}), ShapeError);
    CHECK_THROWS_AS(reshape(v, {-1, -1}), ShapeError);
    CHECK_THROWS_AS(reshape(v, {23}), ShapeError);
    CHECK_THROWS_AS(reshape(v, {-2, 12}), ShapeError);
    CHECK_THROWS_AS(reshape(slice(v, 0, 0, 0), {0, -1}), ShapeError);
    const auto dy = random({3, 8}, 2);
    backward(turned, tape.constant(dy));
    Numbers back = dy;
    back.reshape({6, 4});
    CHECK(difference(v.grad(), Numbers(xt::transpose(back))) == 0);
}

TEST_CASE("views: axes are exchanged, dropped and added", "[views]") {
    const auto x = random({2, 1, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(transpose(v).value(), Numbers(xt::transpose(x, {0, 2, 1}))) == 0);
    CHECK(difference(transpose(v, {2, 0, 1}).value(), Numbers(xt::transpose(x, {2, 0, 1}))) == 0);
    CHECK(difference(transpose(v, {-1, 0, 1}).value(), Numbers(xt::transpose(x, {2, 0, 1}))) == 0);
    CHECK(transpose(tape.variable(random({3}, 1))).shape() == Shape{3});
    CHECK(squeeze(v).shape() == Shape{2, 3});
    CHECK(squeeze(v, {1}).shape() == Shape{2, 3});
    CHECK(unsqueeze(v, 0).shape() == Shape{1, 2, 1, 3});
    CHECK(unsqueeze(v, -1).shape() == Shape{2, 1, 3, 1});
    CHECK(shares_memory(squeeze(transpose(v)), v));
    CHECK_THROWS_AS(transpose(v, {0, 1}), ShapeError);
    CHECK_THROWS_AS(transpose(v, {0, 1, 1}), IndexError);
    CHECK_THROWS_AS(squeeze(v, {0}), ShapeError);
    CHECK_THROWS_AS(unsqueeze(v, 4), IndexError);
}

TEST_CASE("views: broadcasting repeats without copying, and sums the gradient", "[views]") {
    const auto x = random({3, 1}, 1), dy = random({2, 3, 4}, 2);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = broadcast_to(v, {2, 3, 4});
    CHECK(difference(y.value(), Numbers(xt::broadcast(x, {2, 3, 4}))) == 0);
    CHECK(shares_memory(y, v));
    backward(y, tape.constant(dy));
    CHECK(difference(v.grad(), Numbers(xt::view(Numbers(xt::sum(dy, {0, 2})), xt::all(), xt::newaxis()))) <
          1e-15);
    CHECK(broadcast_to(v, {3, 1}).index() == v.index());
    CHECK(broadcast_to(tape.variable(2), {2, 2}).value()(1, 1) == 2);
    CHECK_THROWS_AS(broadcast_to(v, {3}), ShapeError);
    CHECK_THROWS_AS(broadcast_to(v, {4, 4}), ShapeError);
}

TEST_CASE("views: views of views of views show and receive the right elements", "[views]") {
    const auto x = random({4, 6, 5}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    // y[i, j] = x[2 + j, 1 + 2 i, 3]
    const Var<double> y = transpose(slice(select(slice(v, 0, 2, 4), 2, 3), 1, 1, 6, 2));
    REQUIRE(y.shape() == Shape{3, 2});
    const auto dy = random({3, 2}, 2);
    Numbers dx = xt::zeros_like(x);
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 2; ++j) {
            CHECK(y.value()(i, j) == x(2 + j, 1 + 2 * i, 3));
            dx(2 + j, 1 + 2 * i, 3) = dy(i, j);
        }
    }
    backward(y, tape.constant(dy));
    CHECK(difference(v.grad(), dx) == 0);
}

TEST_CASE("views: values of views come out as xtensors that can be copied and computed with", "[views]") {
    const auto x = random({4, 6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Numbers columns = slice(v, 1, 1, 6, 3).value();
    CHECK(columns(2, 1) == x(2, 4));
    const Numbers doubled = 2 * slice(v, 0, 1, 4, 2).value();
    CHECK(doubled(1, 5) == 2 * x(3, 5));
    CHECK(xt::sum(select(v, 1, 3).value())() == Approx(xt::sum(xt::view(x, xt::all(), 3))()));
    CHECK(slice(v, 0, 2, 2).value().size() == 0);
}

TEST_CASE("views: views of expressions are views of their values", "[views]") {
    const auto x = random({2, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(transpose(2 * v).value(), Numbers(2 * xt::transpose(x))) == 0);
    CHECK(difference(slice(v + v, 0, 1).value(), Numbers(2 * xt::view(x, xt::range(1, 2)))) == 0);
    CHECK(difference(split<3>(2 * v)[1].value(), Numbers(2 * xt::view(x, xt::all(), xt::range(1, 2)))) == 0);
}
