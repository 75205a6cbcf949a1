#include "nn/windows.hpp"

#include <algorithm>
#include <concepts>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/catch.hpp"

namespace nn = xtape::nn;
using Catch::Contains;

namespace {

std::vector<int> counting(std::size_t n) {
    std::vector<int> symbols(n);
    for (std::size_t i = 0; i < n; ++i) symbols[i] = static_cast<int>(i);
    return symbols;
}

}  // namespace

TEST_CASE("windows: each stream continues where its last window ended, and targets are one ahead") {
    nn::Windows windows(counting(31),
                        {.streams = 2, .steps = 5});  // 30 pairs: 2 streams of 15, nothing left over
    for (int w = 0; w < 3; ++w) {
        const auto& [inputs, targets, starts_anew] = windows.next();
        CHECK(starts_anew == (w == 0));
        for (int t = 0; t < 5; ++t) {
            for (int b = 0; b < 2; ++b) {
                CHECK(inputs(t, b) == 15 * b + 5 * w + t);
                CHECK(targets(t, b) == inputs(t, b) + 1);
            }
        }
    }
    CHECK(windows.next().starts_anew);
}

TEST_CASE(
    "windows: from pass to pass the offset changes, as many windows fit, and each target is in the "
    "sequence") {
    nn::Windows windows(counting(100), {.streams = 3, .steps = 7, .seed = 1});  // streams of 33: four windows
    std::vector<int> starts;
    for (int i = 0; i < 200; ++i) {
        const auto& [inputs, targets, starts_anew] = windows.next();
        CHECK(starts_anew == (i % 4 == 0));
        if (starts_anew) starts.push_back(inputs(0, 0));
        for (std::size_t k = 0; k < inputs.size(); ++k) {
            REQUIRE(targets.flat(k) == inputs.flat(k) + 1);
            REQUIRE(targets.flat(k) < 100);
        }
    }
    CHECK(*std::min_element(starts.begin(), starts.end()) == 0);
    CHECK(*std::max_element(starts.begin(), starts.end()) == 6);
}

TEST_CASE("windows: with the same seed they are the same, with another one others") {
    const auto first_offsets = [](std::uint64_t seed) {
        nn::Windows windows(counting(100), {.streams = 3, .steps = 7, .seed = seed});
        std::vector<int> offsets;
        for (int i = 0; i < 40; ++i) offsets.push_back(windows.next().inputs(0, 0));
        return offsets;
    };
    CHECK(first_offsets(1) == first_offsets(1));
    CHECK(first_offsets(1) != first_offsets(2));
}

TEST_CASE("windows: pass and position are all that is needed to go on") {
    const nn::WindowOptions options{.streams = 3, .steps = 7, .seed = 4};
    nn::Windows unbroken(counting(100), options);
    for (int done = 0; done < 12; ++done) {
        nn::Windows stopped(counting(100), options), resumed(counting(100), options);
        for (int i = 0; i < done; ++i) stopped.next();
        std::vector<std::size_t> state;
        stopped.visit([&](const char*, auto& part) {
            if constexpr (std::same_as<decltype(part), std::size_t&>) state.push_back(part);
        });
        REQUIRE(state.size() == 2);
        std::size_t k = 0;
        resumed.visit([&](const char*, auto& part) {
            if constexpr (std::same_as<decltype(part), std::size_t&>) part = state[k++];
        });
        const auto &next = resumed.next(), &expected = unbroken.next();
        CHECK((next.inputs == expected.inputs));
        CHECK(next.starts_anew == expected.starts_anew);
    }
}

TEST_CASE("windows: a sequence that is too short for one window of each stream is refused") {
    const nn::WindowOptions options{.streams = 2, .steps = 5};
    CHECK_THROWS_WITH(nn::Windows(counting(10), options),
                      Contains("10 symbols") && Contains("2 streams of 5 steps"));
    CHECK_NOTHROW(nn::Windows(counting(11), options));
    CHECK_THROWS_AS(nn::Windows(counting(12), {.streams = 0}), std::invalid_argument);
    CHECK_THROWS_AS(nn::Windows(counting(12), {.streams = 1, .steps = 0}), std::invalid_argument);
}

TEST_CASE("windows: a sequence of just one window, sizes beyond all bounds, and a position from elsewhere") {
    nn::Windows<int> just({0, 1, 2, 3, 4, 5, 6, 7, 8}, {.streams = 4, .steps = 2});
    const auto& window = just.next();
    CHECK(window.inputs(1, 3) == 7);
    CHECK(window.targets(1, 3) == 8);
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    CHECK_THROWS_AS(nn::Windows<int>({0, 1}, {.streams = 1, .steps = huge}), std::invalid_argument);
    CHECK_THROWS_AS(nn::Windows<int>({}, {.streams = 1, .steps = 1}), std::invalid_argument);
    just.visit([](const char* name, auto& part) {
        if constexpr (std::same_as<decltype(part), std::size_t&>)
            if (std::string(name) == "position") part = huge - 1;
    });
    CHECK(just.next().inputs(0, 0) <= 1);  // another pass
}
