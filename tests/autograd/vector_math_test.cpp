#include "autograd/vector_math.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using xtape::Pack;

namespace {

// The reference is the C library's long double, which carries 11 bits more than double. Where a platform's
// long double is a double, its own error of up to 1 ulp is part of what is measured.

long double reference_sigmoid(long double x) {
    const long double e = std::exp(-std::abs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
long double reference_sigmoid_slope(long double x) {
    const long double e = std::exp(-std::abs(x));
    return e / ((1 + e) * (1 + e));
}
long double reference_softplus(long double x) {
    return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x)));
}

/// |got - expected| in units of the last place of `expected` as a T; infinite if only one of them is finite.
template <class T>
double ulps(T got, long double expected) {
    const T rounded = static_cast<T>(expected);
    if (std::isnan(rounded) && std::isnan(got)) return 0;
    if (std::isinf(rounded) && got == rounded) return 0;
    if (!std::isfinite(rounded) || !std::isfinite(got)) return std::numeric_limits<double>::infinity();
    using Limits = std::numeric_limits<T>;
    const int exponent =
        rounded == 0 ? Limits::min_exponent : std::max(std::ilogb(rounded) + 1, Limits::min_exponent);
    return static_cast<double>(std::abs(static_cast<long double>(got) - expected) /
                               std::ldexp(1.0L, exponent - Limits::digits));
}

template <class T>
using Function = Pack<T> (*)(const Pack<T>&);

/// A function, its reference, the range that is measured, and the largest error seen there, in ulps.
template <class T>
struct Row {
    std::string name;
    Function<T> function;
    long double (*reference)(long double);
    double low, high;
    double bound;
};

template <class T>
std::vector<Row<T>> table() {
    using P = Pack<T>;
    constexpr bool is_float = std::is_same_v<T, float>;
    constexpr double lowest = is_float ? -104 : -746;  // exp is 0 below
    constexpr double highest = is_float ? 89 : 710;    // and infinite above
    constexpr double far = is_float ? 8000 : 1e6;      // angles reduced by our own code
    constexpr double huge = is_float ? 1e30 : 1e300;
    return {
        {"exp", [](const P& x) { return exp(x); }, std::exp, lowest, highest, 1.1},
        {"expm1", [](const P& x) { return expm1(x); }, std::expm1, lowest, highest, 2.4},
        {"tanh", [](const P& x) { return tanh(x); }, std::tanh, -25, 25, 2.6},
        {"sigmoid", [](const P& x) { return sigmoid(x); }, reference_sigmoid, lowest, -lowest, 2.8},
        {"sigmoid's slope", [](const P& x) { return sigmoid(x) * sigmoid(-x); }, reference_sigmoid_slope,
         lowest, -lowest, 4.5},
        {"softplus", [](const P& x) { return softplus(x); }, reference_softplus, lowest, -lowest, 1.7},
        {"log", [](const P& x) { return log(x); }, std::log, 0, huge, 1},
        {"log1p", [](const P& x) { return log1p(x); }, std::log1p, -1, huge, 1},
        {"sin", [](const P& x) { return sin(x); }, std::sin, -far, far, 2.4},
        {"sin beyond", [](const P& x) { return sin(x); }, std::sin, -huge, huge, 2.4},
        {"cos", [](const P& x) { return cos(x); }, std::cos, -far, far, 2.4},
        {"cos beyond", [](const P& x) { return cos(x); }, std::cos, -huge, huge, 2.4},
        {"erf", [](const P& x) { return erf(x); }, std::erf, -7, 7, 2.5},
    };
}

/// Points between low and high: half of them evenly spread, the others of all magnitudes.
template <class T>
std::vector<T> samples(double low, double high, std::size_t count) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> even(low, high);
    std::uniform_real_distribution<double> magnitude(-60, std::log2(std::max(std::abs(low), std::abs(high))));
    std::vector<T> points{0, T(-0.0), T(low), T(high)};
    while (points.size() < count) {
        double x = even(random);
        if (points.size() % 2 == 0) x = std::copysign(std::exp2(magnitude(random)), x);
        if (low <= x && x <= high) points.push_back(static_cast<T>(x));
    }
    return points;
}

template <class T>
std::vector<T> evaluate(Function<T> function, const std::vector<T>& x, std::size_t offset = 0) {
    std::vector<T> y(x.size());
    for (std::size_t i = 0; i < x.size();) {
        const std::size_t n = std::min(Pack<T>::size - (i == 0 ? offset : 0), x.size() - i);
        function(Pack<T>::load_first(x.data() + i, n)).store_first(y.data() + i, n);
        i += n;
    }
    return y;
}

}  // namespace

TEMPLATE_TEST_CASE("vector math: every function keeps to its bound of error", "[vector_math]", float,
                   double) {
    for (const Row<TestType>& row : table<TestType>()) {
        const auto x = samples<TestType>(row.low, row.high, 100000);
        const auto y = evaluate(row.function, x);
        double worst = 0;
        TestType worst_x = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double error = ulps(y[i], row.reference(static_cast<long double>(x[i])));
            if (error > worst) worst = error, worst_x = x[i];
        }
        CAPTURE(row.name, worst_x);
        CHECK(worst <= row.bound);
    }
}

TEMPLATE_TEST_CASE("vector math: special values give what the C library gives", "[vector_math]", float,
                   double) {
    using Limits = std::numeric_limits<TestType>;
    for (const Row<TestType>& row : table<TestType>())
        for (const TestType magnitude :
             {TestType(0), Limits::denorm_min(), Limits::min(), TestType(1), TestType(1e4), Limits::max(),
              Limits::infinity(), Limits::quiet_NaN()})
            for (const TestType x : {magnitude, -magnitude}) {
                const TestType y = evaluate<TestType>(row.function, {x})[0];
                const TestType expected = static_cast<TestType>(row.reference(static_cast<long double>(x)));
                CAPTURE(row.name, x, y, expected);
                CHECK(ulps(y, static_cast<long double>(expected)) <= row.bound);
                if (x == 0 && expected == 0) CHECK(std::signbit(y) == std::signbit(expected));
            }
}

TEMPLATE_TEST_CASE("vector math: an element's bits do not depend on its lane or its neighbours",
                   "[vector_math]", float, double) {
    using Limits = std::numeric_limits<TestType>;
    for (const Row<TestType>& row : table<TestType>()) {
        auto x = samples<TestType>(row.low, row.high, 1000);
        for (std::size_t i = 0; i < x.size(); i += 41) x[i] = TestType(1e30);
        for (std::size_t i = 7; i < x.size(); i += 41) x[i] = Limits::denorm_min();
        const auto y = evaluate(row.function, x);
        const auto moved = evaluate(row.function, x, 1);
        CAPTURE(row.name);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const TestType alone = evaluate<TestType>(row.function, {x[i]})[0];
            if (std::memcmp(&y[i], &moved[i], sizeof alone) != 0 ||
                std::memcmp(&y[i], &alone, sizeof alone) != 0)
                FAIL_CHECK("at " << x[i] << ": " << y[i] << ", " << moved[i] << ", " << alone);
        }
    }
}

TEST_CASE("vector math: sigmoid and its slope do not overflow up to 1e4", "[vector_math]") {
    using P = Pack<double>;
    const auto first = [](const P& pack) {
        std::array<double, P::size> lanes;
        pack.store(lanes.data());
        return lanes[0];
    };
    CHECK(first(sigmoid(P(1e4))) == 1);
    CHECK(first(sigmoid(P(-1e4))) == 0);
    CHECK(first(sigmoid(P(-740))) == Approx(4.2e-322).epsilon(0.02));  // subnormal, so a few digits only
    CHECK(first(sigmoid(P(1e4)) * sigmoid(P(-1e4))) == 0);
    CHECK(first(sigmoid(P(40)) * sigmoid(P(-40))) ==
          Approx(std::exp(-40.0)).epsilon(1e-15));  // where sigmoid(40) is 1
}

TEMPLATE_TEST_CASE("vector math: pow is the C library's, lane by lane", "[vector_math]", float, double) {
    using P = Pack<TestType>;
    std::vector<TestType> a(P::size), b(P::size), y(P::size);
    for (std::size_t i = 0; i < P::size; ++i) {
        a[i] = TestType(0.25) * TestType(i);
        b[i] = TestType(3) - TestType(i);
    }
    pow(P::load(a.data()), P::load(b.data())).store(y.data());
    for (std::size_t i = 0; i < P::size; ++i) CHECK(y[i] == std::pow(a[i], b[i]));
    pow(P::load(a.data()), 2).store(y.data());
    for (std::size_t i = 0; i < P::size; ++i) CHECK(y[i] == a[i] * a[i]);
}
