#include "autograd/replay.hpp"

#include "autograd/autograd.hpp"
#include "tests/catch.hpp"

using namespace xtape;

namespace {

Array<double> filled(const Shape& shape, double first) {
    Array<double> result(shape);
    for (std::size_t i = 0; i < result.size(); ++i) result.data()[i] = first + 0.1 * static_cast<double>(i);
    return result;
}

/// Notes a computation on numbers, does it again on others, and compares with what it gives when it is run on those.
template <class F>
void check_again(const F& computation) {
    Array<double> a = filled({3, 8}, 0.3), b = filled({8, 4}, -0.7), row = filled({4}, 0.2);
    Tape<double> tape;
    const auto borrow = [&](Array<double>& x) { return tape.borrow(x.shape(), x.data()); };
    const Var<double> x = borrow(a), w = borrow(b), r = borrow(row);
    Replay<double> replay;
    const Var<double> y = replay.note(tape, [&] { return Var<double>(computation(x, w, r)); });
    REQUIRE(replay.is_complete());
    CHECK(tape.log() == nullptr);
    for (double first : {2.0, -1.5}) {
        // b stays: it may have been packed.
        a.view() = filled(a.shape(), first).view();
        row.view() = filled(row.shape(), 3 * first).view();
        replay.run();
        const xt::xarray<double> again = y.value();
        Tape<double> other;
        const xt::xarray<double> expected =
            Var<double>(computation(other.constant(a), other.constant(b), other.constant(row))).value();
        CHECK(xt::allclose(again, expected, 1e-12, 1e-14));  // a packed matrix gives other bits
    }
}

}  // namespace

TEST_CASE("replay: statements, products and views are done again on new numbers") {
    check_again([](auto x, auto, auto) { return tanh(x) * 2 + x; });
    check_again([](auto x, auto w, auto r) { return matmul(x, w) + r; });
    check_again([](auto x, auto w, auto r) {
        const auto [left, right] = split<2>(matmul(x, w) + r);
        return sigmoid(left) * tanh(right) + slice(r, 0, 0, 2);
    });
    check_again([](auto x, auto w, auto r) { return matmul(tanh(x), w) + matmul(sigmoid(x), w) * r; });
    check_again([](auto x, auto w, auto) { return transpose(matmul(x, w)) * 3; });
}

TEST_CASE("replay: sums, means and concatenated matrices are done again on new numbers") {
    check_again([](auto x, auto, auto) { return sum(square(x)) + x; });
    check_again([](auto x, auto, auto r) {
        return sum(x, {1}, true) * r + mean(slice(x, 1, 0, 4), {0}, true) * sum(r);
    });
    check_again([](auto x, auto, auto) { return mean(slice(x, 1, 1, 7, 2), {-1}) + sum(transpose(x), {0}); });
    check_again([](auto x, auto w, auto r) {
        const Var<double> y = matmul(x, w) + r;
        return concatenate<double>({y, x, slice(x, 1, 2, 3)}, 1);
    });
    check_again([](auto x, auto, auto) {
        return concatenate<double>({slice(x, 1, 2, 6), slice(x, 1, 0, 4)}, 0) * 2;
    });
}

TEST_CASE("replay: matrices on the right of products are seen as they are now, computed ones too") {
    // Used several times each, as what is worth packing.
    check_again([](auto x, auto, auto) { return matmul(transpose(x), x) + matmul(tanh(transpose(x)), x); });
    check_again([](auto x, auto w, auto r) {
        const Var<double> v = tanh(w) * r;
        return matmul(x, v) + matmul(tanh(x), v) + matmul(sigmoid(x), v);
    });
}

TEST_CASE("replay: a computation that threw, or unrolled a sequence, isn't complete") {
    Tape<double> tape;
    const Var<double> x = tape.constant(filled({5, 2, 3}, 1));
    Replay<double> replay;
    replay.note(tape, [&] { return Var<double>(x + 1); });
    REQUIRE(replay.is_complete());
    CHECK_THROWS_AS(replay.note(tape, [&]() -> Var<double> { throw std::runtime_error("no"); }),
                    std::runtime_error);
    CHECK_FALSE(replay.is_complete());
    replay.note(tape, [&] {
        Steps<double> steps(tape, 5, false);
        return Var<double>(x * 2);
    });
    CHECK_FALSE(replay.is_complete());
}

TEST_CASE("replay: goes back and forth between two places that were exchanged") {
    // x and y change places: from x to y and from there to x.
    const auto step = [](const Array<double>& from) {
        Tape<double> tape;
        return Array<double>(Var<double>(sin(tape.constant(from)) + 1).value());
    };
    Array<double> x = filled({5}, 0.3);
    Tape<double> tape;
    Replay<double> there;
    const Var<double> y =
        there.note(tape, [&] { return Var<double>(sin(tape.borrow(x.shape(), x.data())) + 1); });
    Replay<double> back = there;
    back.exchange(x.data(), const_cast<double*>(&y.value()(0)), 5);
    Array<double> expected = step(x);
    CHECK((y.value() == expected.view()));
    for (int k = 0; k < 3; ++k) {
        back.run();
        expected = step(expected);
        CHECK((x.view() == expected.view()));
        there.run();
        expected = step(expected);
        CHECK((y.value() == expected.view()));
    }
}

TEST_CASE("replay: nothing is recorded, so no gradient can be asked for") {
    Tape<double> tape;
    const Var<double> x = tape.variable(2.0);
    Replay<double> replay;
    const Var<double> y = replay.note(tape, [&] { return Var<double>(x * x); });
    CHECK_FALSE(tape.node(y).needs_gradient);
    CHECK(tape.recording());
    CHECK_THROWS_AS(backward(y), GradientError);
}

TEST_CASE("replay: what notes no calls makes it incomplete") {
    Tape<double> tape;
    const Var<double> x = tape.constant(filled({2, 3}, 1));
    Replay<double> replay;
    CHECK_FALSE(replay.is_complete());
    replay.note(tape, [&] { return softmax(x); });
    CHECK_FALSE(replay.is_complete());
    replay.note(tape, [&] { return Var<double>(x + 1); });
    CHECK(replay.is_complete());
    replay.note(tape, [&] { return cumsum(x, 0); });
    CHECK_FALSE(replay.is_complete());
    CHECK_THROWS_AS(replay.note(tape, [&]() -> Var<double> { throw std::runtime_error("no"); }),
                    std::runtime_error);
    CHECK(tape.log() == nullptr);
}
