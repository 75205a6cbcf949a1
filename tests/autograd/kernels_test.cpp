#include "autograd/kernels/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "tests/catch.hpp"

using xtape::InstructionSet;
using xtape::Kernels;

namespace {

template <class T>
std::vector<T> random_numbers(std::size_t n, unsigned seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<T> uniform(-3, 3);
    std::vector<T> numbers(n);
    for (T& x : numbers) x = uniform(engine);
    return numbers;
}

constexpr std::size_t lengths[] = {1, 2, 7, 16, 33, 100, 1000};

}  // namespace

TEMPLATE_TEST_CASE("kernels: the chosen ones are among those that the processor can run", "[kernels]", float,
                   double) {
    const auto available = xtape::available_kernels<TestType>();
    REQUIRE(!available.empty());
    CHECK(available.front()->set == InstructionSet::baseline);
    CHECK(std::is_sorted(available.begin(), available.end(),
                         [](const auto* a, const auto* b) { return a->set < b->set; }));
    CHECK(std::count(available.begin(), available.end(), &xtape::kernels<TestType>()) == 1);
}

TEMPLATE_TEST_CASE("kernels: adding and choosing give the same bits in every instruction set", "[kernels]",
                   float, double) {
    using T = TestType;
    for (const Kernels<T>* loops : xtape::available_kernels<T>())
        for (std::size_t n : lengths) {
            const std::vector<T> x = random_numbers<T>(n, 1), y = random_numbers<T>(n, 2);
            std::vector<T> sums = y, larger = y, smaller = y;
            loops->add(n, x.data(), sums.data());
            loops->max_each(n, x.data(), larger.data());
            loops->min_each(n, x.data(), smaller.data());
            CAPTURE(static_cast<int>(loops->set), n);
            for (std::size_t i = 0; i < n; ++i) {
                CHECK(sums[i] == y[i] + x[i]);
                CHECK(larger[i] == std::max(x[i], y[i]));
                CHECK(smaller[i] == std::min(x[i], y[i]));
            }
            CHECK(loops->max(n, x.data(), T(-4)) == *std::max_element(x.begin(), x.end()));
            CHECK(loops->min(n, x.data(), T(4)) == *std::min_element(x.begin(), x.end()));
            CHECK(loops->max(n, x.data(), T(4)) == 4);
        }
}

TEMPLATE_TEST_CASE("kernels: a NaN is chosen wherever it stands", "[kernels]", float, double) {
    using T = TestType;
    for (const Kernels<T>* loops : xtape::available_kernels<T>())
        for (std::size_t at = 0; at < 40; ++at) {
            std::vector<T> x = random_numbers<T>(40, 3);
            x[at] = std::numeric_limits<T>::quiet_NaN();
            CAPTURE(static_cast<int>(loops->set), at);
            CHECK(std::isnan(loops->max(x.size(), x.data(), T(0))));
            CHECK(std::isnan(loops->min(x.size(), x.data(), T(0))));
        }
}

TEMPLATE_TEST_CASE("kernels: sums and softmax are those of long double", "[kernels]", float, double) {
    using T = TestType;
    constexpr double epsilon = std::numeric_limits<T>::epsilon();
    for (const Kernels<T>* loops : xtape::available_kernels<T>())
        for (std::size_t n : lengths) {
            const std::vector<T> x = random_numbers<T>(n, 4);
            long double sum = 0, magnitude = 0, exponentials = 0;
            for (T value : x) {
                sum += value;
                magnitude += std::abs(value);
                exponentials += std::exp(static_cast<long double>(value));
            }
            CAPTURE(static_cast<int>(loops->set), n);
            CHECK(std::abs(static_cast<double>(loops->sum(n, x.data()) - sum)) <=
                  20 * epsilon * static_cast<double>(magnitude));
            const long double log_sum = std::log(exponentials);
            CHECK(std::abs(static_cast<double>(loops->logsumexp(n, x.data()) - log_sum)) <=
                  20 * epsilon * 10);
            std::vector<T> y(n), log_y(n);
            loops->softmax(n, x.data(), y.data());
            loops->log_softmax(n, x.data(), log_y.data());
            for (std::size_t i = 0; i < n; ++i) {
                const long double expected = std::exp(x[i] - log_sum);
                CHECK(std::abs(static_cast<double>(y[i] / expected - 1)) <= 40 * epsilon);
                CHECK(std::abs(static_cast<double>(log_y[i] - (x[i] - log_sum))) <= 20 * epsilon * 10);
            }
        }
}
