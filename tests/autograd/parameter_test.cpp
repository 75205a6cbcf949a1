#include "autograd/parameter.hpp"

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("parameter: has a name, a value to be assigned and a gradient that starts as zeros",
          "[parameter]") {
    Parameter<double> p(Shape{2, 3}, "weight");
    CHECK(p.name() == "weight");
    CHECK(p.shape() == Shape{2, 3});
    CHECK(p.size() == 6);
    CHECK(difference(p.value(), Numbers(xt::zeros<double>({2, 3}))) == 0);
    p.value() = random({2, 3}, 1);
    CHECK(difference(p.value(), random({2, 3}, 1)) == 0);
    CHECK(p.data()[4] == random({2, 3}, 1)(1, 1));
    CHECK(!p.has_grad());
    CHECK(difference(p.grad(), Numbers(xt::zeros<double>({2, 3}))) == 0);
    p.rename("other");
    CHECK(p.name() == "other");
}

TEST_CASE("parameter: zero_grad empties the gradient", "[parameter]") {
    Parameter<double> p(random({3}, 1));
    p.grad() = xt::ones<double>({3});
    CHECK(p.has_grad());
    p.zero_grad();
    CHECK(!p.has_grad());
    CHECK(difference(p.grad(), Numbers(xt::zeros<double>({3}))) == 0);
}

TEST_CASE("parameter: copies share nothing", "[parameter]") {
    Parameter<double> p(random({3}, 1), "p");
    p.grad() = xt::ones<double>({3});
    Parameter<double> q = p;
    CHECK(q.name() == "p");
    q.value().fill(5);
    q.grad().fill(7);
    CHECK(difference(p.value(), random({3}, 1)) == 0);
    CHECK(difference(p.grad(), Numbers(xt::ones<double>({3}))) == 0);
    Parameter<double> fresh(random({2}, 2));
    const Parameter<double> without_grad = fresh;
    CHECK(!without_grad.has_grad());
    p = q;
    q.value().fill(0);
    CHECK(p.value()(0) == 5);
    const double* memory = p.data();
    const Parameter<double> moved = std::move(p);
    CHECK(moved.data() == memory);
}

TEST_CASE("parameter: while it is frozen it has no gradient, and a tape takes it for a constant",
          "[parameter]") {
    Parameter<double> p(random({3}, 1)), q(random({3}, 2));
    p.grad() = xt::ones<double>({3});
    p.freeze();
    CHECK(p.is_frozen());
    CHECK(!p.has_grad());
    Tape<double> tape;
    const Var<double> frozen = tape.watch(p);
    CHECK(!frozen.needs_gradient());
    CHECK(frozen.index() == tape.watch(p).index());
    backward(sum(frozen * tape.watch(q)));
    CHECK(!p.has_grad());
    CHECK(difference(q.grad(), random({3}, 1)) == 0);
    CHECK(difference(p.grad(), Numbers(xt::zeros<double>({3}))) == 0);  // looking at it makes none
    CHECK(!p.has_grad());
    CHECK(Parameter<double>(p).is_frozen());

    tape.clear();
    p.unfreeze();
    CHECK(!p.is_frozen());
    backward(sum(tape.watch(p) * tape.watch(q)));
    CHECK(difference(p.grad(), random({3}, 2)) == 0);
}

TEST_CASE("parameter: a matrix that is frozen gets no gradient from products, and hands on their inputs'",
          "[parameter]") {
    Parameter<double> w(random({3, 4}, 1));
    w.freeze();
    Tape<double> tape;
    const Var<double> x = tape.variable(random({2, 3}, 2));
    backward(sum(matmul(x, tape.watch(w))));
    CHECK(!w.has_grad());
    for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t k = 0; k < 3; ++k) {
            double row = 0;
            for (std::size_t j = 0; j < 4; ++j) row += w.value()(k, j);
            CHECK(x.grad()(i, k) == Approx(row));
        }
    }
}

TEST_CASE("parameter: tied ones are one tensor, with one value and one gradient", "[parameter]") {
    Parameter<double> a(random({3}, 1), "a"), b(random({3}, 2), "b");
    CHECK(!a.is_tied());
    tie(b, a);
    CHECK(a.is_tied());
    CHECK(b.is_tied());
    CHECK(b.name() == "b");
    CHECK(difference(b.value(), random({3}, 1)) == 0);
    a.value().fill(2);
    CHECK(b.value()(1) == 2);
    Tape<double> tape;
    const Var<double> x = tape.watch(a), y = tape.watch(b);
    CHECK(x.index() == y.index());
    backward(sum(x * y));
    CHECK(difference(a.grad(), Numbers(4 * xt::ones<double>({3}))) == 0);
    CHECK(b.data() == a.data());
    b.zero_grad();
    CHECK(!a.has_grad());
    b = Parameter<double>(random({3}, 3), "c");
    CHECK(difference(a.value(), random({3}, 3)) == 0);
    CHECK(a.is_tied());
}

TEST_CASE("parameter: a copy of a tied one is tied to nothing, a moved one still is", "[parameter]") {
    Parameter<double> a(random({3}, 1)), b(Shape{3});
    tie(b, a);
    Parameter<double> copy = b;
    CHECK(!copy.is_tied());
    copy.value().fill(7);
    CHECK(a.value()(0) != 7);
    const Parameter<double> moved = std::move(b);
    CHECK(moved.is_tied());
    CHECK(moved.data() == a.data());
    Parameter<double> other(Shape{3, 1});
    CHECK_THROWS_WITH(tie(other, a),
                      Catch::Contains("[tie]") && Catch::Contains("(3, 1)") && Catch::Contains("(3,)"));
}
