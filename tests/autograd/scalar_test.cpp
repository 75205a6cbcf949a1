#include "autograd/scalar.hpp"

#include <cmath>
#include <limits>

#include "tests/catch.hpp"

using xtape::Scalar;

TEMPLATE_TEST_CASE("scalar: arithmetic takes constants on either side", "[scalar]", float, double,
                   long double) {
    const Scalar<TestType> x = 3;
    CHECK((1 - x * x / 2 + -x).value == TestType(-6.5));
}

TEMPLATE_TEST_CASE("scalar: a condition chooses, and counts as 1 or 0", "[scalar]", float, double,
                   long double) {
    const Scalar<TestType> x = 3;
    CHECK(where(x > 2 && !(x == 4), x, -1).value == 3);
    CHECK(where(x < 2 || x != 3, x, -1).value == -1);
    CHECK(Scalar<TestType>(x >= 3).value == 1);
    CHECK(Scalar<TestType>(x <= 2).value == 0);
}

TEMPLATE_TEST_CASE("scalar: minimum and maximum give NaN if either number is NaN", "[scalar]", float, double,
                   long double) {
    const Scalar<TestType> missing = std::numeric_limits<TestType>::quiet_NaN();
    CHECK(std::isnan(minimum(missing, 1).value));
    CHECK(std::isnan(minimum(1, missing).value));
    CHECK(std::isnan(maximum(missing, 1).value));
    CHECK(std::isnan(maximum(1, missing).value));
    CHECK(minimum(Scalar<TestType>(1), 2).value == 1);
    CHECK(maximum(Scalar<TestType>(1), 2).value == 2);
}

TEST_CASE("scalar: sigmoid neither overflows nor loses its tails", "[scalar]") {
    using S = Scalar<double>;
    CHECK(sigmoid(S(0)).value == 0.5);
    CHECK(sigmoid(S(1)).value == Approx(0.73105857863000487925).epsilon(1e-15));
    CHECK(sigmoid(S(-1e4)).value == 0);
    CHECK(sigmoid(S(1e4)).value == 1);
    CHECK(sigmoid(S(-700)).value ==
          Approx(std::exp(-700.0)).epsilon(1e-15));  // e^x / (1 + e^x), where 1 + e^x is 1
}

TEST_CASE("scalar: softplus is x for large x and exp(x) for very negative x", "[scalar]") {
    using S = Scalar<double>;
    CHECK(softplus(S(0)).value == Approx(0.69314718055994530942).epsilon(1e-15));
    CHECK(softplus(S(1e4)).value == 1e4);
    CHECK(softplus(S(-700)).value == Approx(std::exp(-700.0)).epsilon(1e-15));
}
