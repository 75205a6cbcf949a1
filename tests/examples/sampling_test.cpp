#include "examples/sampling.hpp"

#include <array>
#include <cmath>
#include <random>

#include "tests/catch.hpp"

using namespace examples;

TEST_CASE("sampling: classes come as often as softmax says, at any temperature") {
    const std::array<float, 3> scores{0, 1, 2};
    constexpr int draws = 40000;
    for (const double temperature : {0.5, 1.0, 2.0}) {
        INFO("temperature " << temperature);
        std::mt19937_64 random(3);
        std::array<double, 3> counts{};
        for (int k = 0; k < draws; ++k) ++counts[static_cast<std::size_t>(draw(scores, temperature, random))];
        double sum = 0;
        for (const float s : scores) sum += std::exp(s / temperature);
        for (std::size_t k = 0; k < 3; ++k) {
            const double p = std::exp(scores[k] / temperature) / sum;
            // Five standard deviations of a count.
            CHECK(std::abs(counts[k] / draws - p) < 5 * std::sqrt(p * (1 - p) / draws));
        }
    }
}

TEST_CASE(
    "sampling: close to temperature 0 it is the best class, and classes before the first one are never "
    "drawn") {
    std::mt19937_64 random(4);
    const std::array<float, 4> scores{1000, -1000, 1.5f, 1};
    for (int k = 0; k < 100; ++k) {
        CHECK(draw(scores, 1e-3, random) == 0);
        CHECK(draw(scores, 1e-3, random, 1) == 2);
        CHECK(draw(scores, 1, random, 1) >= 2);
    }
}

TEST_CASE("sampling: scores that aren't finite, and none at all, are a clear error") {
    std::mt19937_64 random(5);
    const float nan = std::nanf(""), infinity = INFINITY;
    CHECK_THROWS_WITH(draw(std::array{nan, nan}, 1, random), Catch::Contains("aren't finite"));
    CHECK_THROWS_WITH(draw(std::array{0.0f, infinity}, 1, random), Catch::Contains("aren't finite"));
    CHECK_THROWS_WITH(draw(std::array{0.0f}, 1, random, 1), Catch::Contains("aren't finite"));
}
