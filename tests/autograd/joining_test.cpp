#include "autograd/joining.hpp"

#include <stdexcept>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("joining: tensors of different lengths follow one another along any axis", "[joining]") {
    for (std::size_t axis : {0u, 1u, 2u}) {
        std::vector<std::size_t> first = {2, 3, 4}, second = first, nothing = first;
        second[axis] = 5;
        nothing[axis] = 0;
        const auto a = random(first, 1), b = random(second, 2);
        Tape<double> tape;
        const auto va = tape.variable(a), vb = tape.variable(b);
        const auto none = tape.variable(Numbers(xt::zeros<double>(nothing)));
        const Var<double> y = concatenate({va, none, vb, va}, static_cast<std::ptrdiff_t>(axis));
        const Numbers expected = xt::concatenate(xt::xtuple(a, b, a), axis);
        CHECK(difference(y.value(), expected) == 0);
        // Σ y²: each part receives 2 a for each time that it was used.
        backward(sum(square(y)));
        CHECK(difference(va.grad(), Numbers(4 * a)) < 1e-15);
        CHECK(difference(vb.grad(), Numbers(2 * b)) < 1e-15);
        CHECK(none.grad().size() == 0);
    }
}

TEST_CASE("joining: a stack has a new axis", "[joining]") {
    const auto a = random({2, 3}, 1), b = random({2, 3}, 2);
    for (std::ptrdiff_t axis : {0, 1, 2, -1, -3}) {
        Tape<double> tape;
        const auto va = tape.variable(a), vb = tape.variable(b);
        const Var<double> y = stack({va, vb}, axis);
        const auto at = static_cast<std::size_t>(axis < 0 ? axis + 3 : axis);
        CHECK(difference(y.value(), Numbers(xt::stack(xt::xtuple(a, b), at))) == 0);
        const Numbers dy = random({y.shape()[0], y.shape()[1], y.shape()[2]}, 3);
        backward(y, tape.constant(dy));
        for (std::size_t i = 0; i < 2; ++i) {
            for (std::size_t j = 0; j < 3; ++j) {
                const auto element = [&](std::size_t k) {
                    return at == 0 ? dy(k, i, j) : at == 1 ? dy(i, k, j) : dy(i, j, k);
                };
                CHECK(va.grad()(i, j) == element(0));
                CHECK(vb.grad()(i, j) == element(1));
            }
        }
    }
}

TEST_CASE("joining: vectors, arrays and views are joined alike", "[joining]") {
    const auto x = random({2, 6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(concatenate(split<3>(v), 1).value(), x) == 0);
    CHECK(difference(concatenate(split(v, std::size_t(2), 0), 0).value(), x) == 0);
    std::vector<Var<double>> steps;
    for (std::ptrdiff_t t = 0; t < 6; ++t) steps.push_back(select(v, 1, t));
    CHECK(difference(stack(steps).value(), Numbers(xt::transpose(x))) == 0);
    CHECK(stack({tape.variable(1), tape.variable(2)}).shape() == Shape{2});
}

TEST_CASE("joining: a hundred thousand steps can be stacked", "[joining]") {
    Tape<float> tape;
    const auto x = tape.variable(2.0);
    const std::vector<Var<float>> steps(100000, x);
    const Var<float> y = stack(steps);
    CHECK(y.shape() == Shape{100000});
    backward(sum(y));
    CHECK(x.grad()() == 100000);
}

TEST_CASE("joining: what doesn't fit together is refused, with both shapes", "[joining]") {
    Tape<double> tape;
    const auto a = tape.variable(random({2, 3}, 1)), b = tape.variable(random({2, 4}, 2));
    const auto c = tape.variable(random({3}, 3));
    CHECK_THROWS_AS(concatenate({a, b}, 0), ShapeError);
    CHECK_THROWS_AS(concatenate({a, c}, 0), ShapeError);
    CHECK_THROWS_AS(concatenate({c, a}, 0), ShapeError);
    CHECK_THROWS_AS(concatenate({a, b}, 2), IndexError);
    CHECK_THROWS_AS(concatenate({tape.variable(1)}), IndexError);
    CHECK_THROWS_AS(stack({a, b}), ShapeError);
    CHECK_THROWS_AS(stack({a, a}, 3), IndexError);
    CHECK_THROWS_AS(stack(std::vector<Var<double>>{}), ShapeError);
    CHECK_THROWS_AS(concatenate(std::vector<Var<double>>{}), ShapeError);
    CHECK_THROWS_WITH(concatenate({a, b}, 0), Catch::StartsWith("[concatenate]") &&
                                                  Catch::Contains("(2, 3)") && Catch::Contains("(2, 4)"));
}

TEST_CASE("joining: padding surrounds with a constant", "[joining]") {
    const auto x = random({2, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = pad(v, {{1, 0}, {0, 2}}, 7);
    Numbers expected = 7 * xt::ones<double>({3, 5});
    xt::view(expected, xt::range(1, 3), xt::range(0, 3)) = x;
    CHECK(difference(y.value(), expected) == 0);
    CHECK(pad(v, {{1, 1}}).shape() == Shape{4, 5});
    const auto dy = random({3, 5}, 2);
    backward(y, tape.constant(dy));
    CHECK(difference(v.grad(), Numbers(xt::view(dy, xt::range(1, 3), xt::range(0, 3)))) == 0);
    CHECK_THROWS_AS(pad(v, {{1, 1}, {1, 1}, {1, 1}}), ShapeError);
}

TEST_CASE("joining: repeat gives each element several times in a row", "[joining]") {
    const auto x = random({2, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(repeat(v, 3, 0).value(), Numbers(xt::repeat(x, 3, 0))) == 0);
    const Var<double> y = repeat(v, 2, -1);
    CHECK(difference(y.value(), Numbers(xt::repeat(x, 2, 1))) == 0);
    const auto dy = random({2, 6}, 2);
    backward(y, tape.constant(dy));
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) CHECK(v.grad()(i, j) == dy(i, 2 * j) + dy(i, 2 * j + 1));
    CHECK(repeat(v, 0, 0).shape() == Shape{0, 3});
}

TEST_CASE("joining: steps that are stacked and used on receive both gradients", "[joining]") {
    // A state that is kept for a stack, put into the next state and, the second one, stacked twice.
    const auto run = [](const Var<double>& x, bool retained) {
        std::vector<Var<double>> states = {tanh(x)};
        for (int t = 0; t < 4; ++t) states.push_back(sin(states.back() * 2) + x);
        states.push_back(states[1]);
        if (retained) states[2].retain();
        const Var<double> all = stack(states);
        return concatenate({all, stack({all[3], all[0]}), stack({states[1], states[5]})}, 0);
    };
    const auto x = random({3, 2}, 1);
    for (bool retained : {false, true}) {
        CHECK_NOTHROW(gradcheck([&](auto inputs) { return run(inputs[0], retained); }, {x}));
        CHECK_NOTHROW(gradgradcheck([&](auto inputs) { return run(inputs[0], retained); }, {x}));
    }
    // Twice the same sweep, and one that is left in the middle: nothing of a gradient stays in what was lent.
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> loss = sum(run(v, false));
    backward(loss);
    const Numbers once = v.grad();
    bool fail = true;
    v.on_gradient([&](Var<double>) {
        if (fail) throw std::runtime_error("stop");
    });
    CHECK_THROWS_AS(backward(loss), std::runtime_error);
    fail = false;
    backward(loss);
    CHECK(difference(v.grad(), Numbers(2 * once)) < 1e-14);
}
