#include "autograd/pack.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <type_traits>

#include "tests/catch.hpp"

using xtape::Pack;

namespace {

template <class T>
using Lanes = std::array<T, Pack<T>::size>;

/// start, start + step, start + 2 step, ...
template <class T>
Lanes<T> ramp(double start, double step) {
    Lanes<T> lanes;
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = T(start + step * double(i));
    return lanes;
}

template <class T>
Lanes<T> lanes_of(const Pack<T>& pack) {
    Lanes<T> lanes;
    pack.store(lanes.data());
    return lanes;
}

template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

}  // namespace

TEMPLATE_TEST_CASE("pack: loads and stores at any address", "[pack]", float, double) {
    const auto lanes = ramp<TestType>(1, 1);
    std::array<TestType, Pack<TestType>::size + 1> unaligned{};
    Pack<TestType>::load(lanes.data()).store(unaligned.data() + 1);
    CHECK(unaligned[0] == 0);
    for (std::size_t i = 0; i < lanes.size(); ++i) CHECK(unaligned[i + 1] == lanes[i]);
}

TEMPLATE_TEST_CASE("pack: store_first writes the first lanes and nothing else", "[pack]", float, double) {
    constexpr std::size_t size = Pack<TestType>::size;
    const auto lanes = ramp<TestType>(1, 1);
    for (std::size_t n = 0; n <= size; ++n) {
        std::array<TestType, size + 1> target;
        target.fill(-7);
        Pack<TestType>::load(lanes.data()).store_first(target.data(), n);
        for (std::size_t i = 0; i < target.size(); ++i) CHECK(target[i] == (i < n ? lanes[i] : TestType(-7)));
    }
}

TEMPLATE_TEST_CASE("pack: load_first reads the first numbers and puts 0 behind them", "[pack]", float,
                   double) {
    constexpr std::size_t size = Pack<TestType>::size;
    const auto lanes = ramp<TestType>(1, 1);
    for (std::size_t n = 0; n <= size; ++n) {
        const auto source = std::make_unique<TestType[]>(n);  // what lies beyond belongs to nobody
        std::copy_n(lanes.begin(), n, source.get());
        const auto loaded = lanes_of(Pack<TestType>::load_first(source.get(), n));
        for (std::size_t i = 0; i < size; ++i) CHECK(loaded[i] == (i < n ? lanes[i] : TestType(0)));
    }
}

TEMPLATE_TEST_CASE("pack: sum adds every lane once", "[pack]", float, double) {
    const auto lanes = ramp<TestType>(1, 2);  // the first n odd numbers: n²
    const auto n = double(lanes.size());
    CHECK(double(Pack<TestType>::load(lanes.data()).sum()) == n * n);
}

TEMPLATE_TEST_CASE("pack: constants of any arithmetic type fill all lanes", "[pack]", float, double) {
    for (const TestType lane : lanes_of<TestType>(3)) CHECK(lane == 3);
    for (const TestType lane : lanes_of<TestType>(0.1)) CHECK(lane == TestType(0.1));
    for (const TestType lane : lanes_of<TestType>(0.25F)) CHECK(lane == TestType(0.25));
    for (const TestType lane : lanes_of<TestType>(7UL)) CHECK(lane == 7);
}

TEMPLATE_TEST_CASE("pack: arithmetic works lane by lane, with constants on either side", "[pack]", float,
                   double) {
    const auto a = ramp<TestType>(1, 0.5), b = ramp<TestType>(-2, 0.75);
    const auto x = Pack<TestType>::load(a.data()), y = Pack<TestType>::load(b.data());
    const auto result = lanes_of<TestType>(1 - (x + y) * (x - y) / (2 * x) + -y);
    for (std::size_t i = 0; i < a.size(); ++i)
        CHECK(double(result[i]) ==
              Approx(double(1 - (a[i] + b[i]) * (a[i] - b[i]) / (2 * a[i]) - b[i])).epsilon(1e-5));
}

TEMPLATE_TEST_CASE("pack: compound assignment is the operator and the assignment", "[pack]", float, double) {
    Pack<TestType> x = 3;
    x += 5;  // 8
    x *= 3;  // 24
    x -= 4;  // 20
    x /= 8;  // 2.5
    for (const TestType lane : lanes_of(x)) CHECK(lane == TestType(2.5));
}

TEMPLATE_TEST_CASE("pack: comparisons choose lanes for where", "[pack]", float, double) {
    const auto a = ramp<TestType>(-2, 1);
    const auto x = Pack<TestType>::load(a.data());
    const auto check = [&](const Pack<TestType>& chosen, auto expected) {
        const auto lanes = lanes_of(chosen);
        for (std::size_t i = 0; i < a.size(); ++i)
            CHECK(lanes[i] == (expected(a[i]) ? a[i] : TestType(-100)));
    };
    check(where(x < -1, x, -100), [](TestType v) { return v < -1; });
    check(where(x <= -1, x, -100), [](TestType v) { return v <= -1; });
    check(where(x > -1, x, -100), [](TestType v) { return v > -1; });
    check(where(x >= -1, x, -100), [](TestType v) { return v >= -1; });
    check(where(x == -1, x, -100), [](TestType v) { return v == -1; });
    check(where(x != -1, x, -100), [](TestType v) { return v != -1; });
    check(where(x > -2 && x < 0, x, -100), [](TestType v) { return v > -2 && v < 0; });
    check(where(x < -1 || x == 0, x, -100), [](TestType v) { return v < -1 || v == 0; });
    check(where(!(x < 0), x, -100), [](TestType v) { return !(v < 0); });
}

TEMPLATE_TEST_CASE("pack: a condition counts as 1 or 0", "[pack]", float, double) {
    const auto a = ramp<TestType>(-1, 1);
    const Pack<TestType> counted = Pack<TestType>::load(a.data()) >= 0;
    CHECK(counted.sum() == TestType(a.size() - 1));
}

TEMPLATE_TEST_CASE("pack: comparisons with NaN are false, but for !=", "[pack]", float, double) {
    const Pack<TestType> x = not_a_number<TestType>;
    const auto holds = [](const Pack<TestType>& condition) { return condition.sum() != 0; };
    CHECK_FALSE(holds(x == x));
    CHECK_FALSE(holds(x < 1));
    CHECK_FALSE(holds(x <= 1));
    CHECK_FALSE(holds(x > 1));
    CHECK_FALSE(holds(x >= 1));
    CHECK(holds(x != x));
}

TEMPLATE_TEST_CASE("pack: minimum and maximum give NaN if either number is NaN", "[pack]", float, double) {
    const Pack<TestType> missing = not_a_number<TestType>;
    const Pack<TestType> one = 1;
    for (const auto& result :
         {minimum(missing, one), minimum(one, missing), maximum(missing, one), maximum(one, missing)})
        for (const TestType lane : lanes_of(result)) CHECK(std::isnan(lane));
    CHECK(lanes_of(minimum(one, 2))[0] == 1);
    CHECK(lanes_of(maximum(one, 2))[0] == 2);
}

TEMPLATE_TEST_CASE("pack: signs are exact, those of zeros too", "[pack]", float, double) {
    const Pack<TestType> zero = 0;
    CHECK(std::signbit(lanes_of(-zero)[0]));
    CHECK_FALSE(std::signbit(lanes_of(abs(-zero))[0]));
    CHECK(lanes_of(abs(Pack<TestType>(-2.5)))[0] == TestType(2.5));
    CHECK(lanes_of(sign(Pack<TestType>(-2.5)))[0] == -1);
    CHECK(lanes_of(sign(Pack<TestType>(2.5)))[0] == 1);
    CHECK(lanes_of(sign(zero))[0] == 0);
    CHECK(std::isnan(lanes_of(sign(Pack<TestType>(not_a_number<TestType>)))[0]));
}

TEST_CASE("pack: the instruction set is part of the type", "[pack]") {
    CHECK(std::is_same_v<Pack<float>, Pack<float, xsimd::default_arch>>);
    CHECK(Pack<float>::size == 2 * Pack<double>::size);
}
