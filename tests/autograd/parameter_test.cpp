#include "autograd/parameter.hpp"

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
