#include "nn/batches.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/state_file.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

namespace nn = xtape::nn;
using Catch::Contains;

namespace {

std::vector<std::size_t> counting(std::size_t count) {
    std::vector<std::size_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    return numbers;
}

std::vector<std::size_t> next(nn::Batches& batches) {
    const std::span<const std::size_t> batch = batches.next();
    return {batch.begin(), batch.end()};
}

/// One epoch's batches, one after the other.
std::vector<std::size_t> epoch(nn::Batches& batches) {
    std::vector<std::size_t> all;
    const std::size_t before = batches.epoch();
    while (batches.epoch() == before) {
        const std::vector<std::size_t> batch = next(batches);
        all.insert(all.end(), batch.begin(), batch.end());
    }
    return all;
}

std::vector<std::size_t> sorted(std::vector<std::size_t> numbers) {
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

}  // namespace

TEST_CASE("batches: each epoch is a permutation, in another order than the one before") {
    nn::Batches batches(50, {.size = 8, .seed = 3});
    std::vector<std::size_t> before = counting(50);
    for (int k = 0; k < 20; ++k) {
        const std::vector<std::size_t> numbers = epoch(batches);
        CHECK(sorted(numbers) == counting(50));
        CHECK(numbers != before);
        before = numbers;
    }
    CHECK(batches.epoch() == 20);
}

TEST_CASE("batches: a number comes first in an epoch as often as any other") {
    constexpr std::size_t count = 4, epochs = 4000;
    nn::Batches batches(count, {.size = 1, .seed = 1});
    std::array<double, count> first{};
    for (std::size_t k = 0; k < epochs; ++k) first[epoch(batches)[0]] += 1;
    // Binomial with n = 4000, p = 1/4: a deviation of 27.
    for (const double times : first) CHECK(times == Approx(1000).margin(5 * 27.4));
}

TEST_CASE("batches: a seed gives the same batches, another one others") {
    nn::Batches one(100, {.seed = 7}), same(100, {.seed = 7}), other(100, {.seed = 8});
    const std::vector<std::size_t> numbers = epoch(one);
    CHECK(epoch(same) == numbers);
    CHECK(epoch(other) != numbers);
    CHECK(epoch(same) == epoch(one));
}

TEST_CASE("batches: the last one is smaller, or left out") {
    nn::Batches kept(10, {.size = 4}), dropped(10, {.size = 4, .drop_last = true});
    CHECK(kept.per_epoch() == 3);
    CHECK(dropped.per_epoch() == 2);
    for (const std::size_t size : {4u, 4u, 2u, 4u, 4u, 2u}) CHECK(kept.next().size() == size);
    for (int k = 0; k < 5; ++k) CHECK(dropped.next().size() == 4);
    CHECK(kept.epoch() == 2);
    CHECK(dropped.epoch() == 2);
}

TEST_CASE("batches: unshuffled they are in order") {
    nn::Batches batches(5, {.size = 2, .shuffle = false});
    for (int k = 0; k < 2; ++k) {
        CHECK(next(batches) == std::vector<std::size_t>{0, 1});
        CHECK(next(batches) == std::vector<std::size_t>{2, 3});
        CHECK(next(batches) == std::vector<std::size_t>{4});
    }
}

TEST_CASE("batches: one of all samples, or of one, works like any other") {
    nn::Batches whole(3, {.size = 10}), single(3, {.size = 1});
    CHECK(whole.per_epoch() == 1);
    CHECK(single.per_epoch() == 3);
    for (int k = 0; k < 3; ++k) CHECK(sorted(next(whole)) == counting(3));
    CHECK(sorted(epoch(single)) == counting(3));
}

TEST_CASE("batches: epoch and position are all that is needed to go on with the next batch") {
    const nn::BatchOptions options{.size = 3, .seed = 5};
    nn::Batches unbroken(8, options);
    for (int done = 0; done < 10; ++done) {
        nn::Batches stopped(8, options), resumed(8, options);
        for (int k = 0; k < done; ++k) stopped.next();
        resumed.next();  // what it has done itself is forgotten
        std::vector<std::size_t> state;
        stopped.visit([&](const char*, auto& part) {
            if constexpr (std::same_as<decltype(part), std::size_t&>) state.push_back(part);
        });
        REQUIRE(state.size() == 2);
        std::size_t k = 0;
        resumed.visit([&](const char*, auto& part) {
            if constexpr (std::same_as<decltype(part), std::size_t&>) part = state[k++];
        });
        CHECK(next(resumed) == next(unbroken));
    }
}

TEST_CASE("batches: no samples, no size, and only incomplete batches are refused") {
    CHECK_THROWS_WITH(nn::Batches(0), Contains("[Batches] count is 0"));
    CHECK_THROWS_WITH(nn::Batches(5, {.size = 0}), Contains("[Batches] size is 0"));
    CHECK_THROWS_WITH(nn::Batches(5, {.size = 6, .drop_last = true}), Contains("5 samples in batches of 6"));
    CHECK_NOTHROW(nn::Batches(5, {.size = 5, .drop_last = true}));
}

TEST_CASE("batches: a run goes on with batches that were made alike, and no others") {
    const TemporaryDirectory directory;
    const std::string file = directory / "batches.safetensors";
    nn::Batches batches(8, {.size = 3, .seed = 5});
    batches.next();
    nn::save(batches, file);
    nn::Batches alike(8, {.size = 3, .seed = 5});
    nn::load(alike, file);
    CHECK(next(alike) == next(batches));

    nn::Batches others(7, {.size = 2, .shuffle = false, .drop_last = true, .seed = 6});
    CHECK_THROWS_WITH(nn::load(others, file),
                      Contains("count 8, expected 7") && Contains("size 3, expected 2") &&
                          Contains("shuffle 1, expected 0") && Contains("drop_last 0, expected 1") &&
                          Contains("seed 5, expected 6"));
    CHECK(next(others) == std::vector<std::size_t>{0, 1});
}

TEST_CASE("batches: what was saved of more samples is refused") {
    nn::Batches batches(5);
    batches.visit([](const char*, auto& part) {
        if constexpr (std::same_as<decltype(part), std::size_t&>) part = 5;
    });
    CHECK_THROWS_WITH(batches.next(), Contains("position 5 of 5 samples"));
}

TEST_CASE("batches: the last epoch that can be counted has batches, and a huge one is all samples") {
    nn::Batches batches(5, {.size = std::numeric_limits<std::size_t>::max()});
    CHECK(batches.per_epoch() == 1);
    batches.visit([](const char* name, auto& part) {
        if constexpr (std::same_as<decltype(part), std::size_t&>)
            if (std::string(name) == "epoch") part = std::numeric_limits<std::size_t>::max();
    });
    CHECK(next(batches).size() == 5);
}

TEST_CASE("batch_of: rows of a matrix, sequences of (T, N, D), samples of a vector") {
    const xt::xtensor<float, 2> matrix{{0, 1}, {10, 11}, {20, 21}};
    const std::vector<std::size_t> rows{2, 0, 2};
    const xt::xtensor<float, 2> expected{{20, 21}, {0, 1}, {20, 21}};
    CHECK((nn::batch_of(matrix, rows) == expected));

    xt::xarray<int> sequences =
        xt::zeros<int>({2, 4, 3});  // (T, N, D), the element at t, n, d is 100 t + 10 n + d
    for (int t = 0; t < 2; ++t)
        for (int n = 0; n < 4; ++n)
            for (int d = 0; d < 3; ++d) sequences(t, n, d) = 100 * t + 10 * n + d;
    const xt::xarray<int> batch = nn::batch_of(sequences, rows, 1);
    REQUIRE(batch.dimension() == 3);
    REQUIRE(batch.shape(1) == 3);
    for (int t = 0; t < 2; ++t)
        for (std::size_t b = 0; b < 3; ++b)
            for (int d = 0; d < 3; ++d) CHECK(batch(t, b, d) == 100 * t + 10 * static_cast<int>(rows[b]) + d);

    const std::vector<std::string> words{"a", "b", "c"};
    CHECK(nn::batch_of(words, rows) == std::vector<std::string>{"c", "a", "c"});
}

TEST_CASE("batch_of: a row or an axis that isn't there is refused") {
    const xt::xtensor<float, 1> numbers{1, 2, 3};
    const std::vector<std::size_t> rows{3};
    CHECK_THROWS_WITH(nn::batch_of(numbers, rows), Contains("[batch_of] row 3 of 3"));
    CHECK_THROWS_AS(nn::batch_of(std::vector<int>{1}, rows), xtape::IndexError);
    CHECK_THROWS_WITH(nn::batch_of(numbers, rows, 1), Contains("axis 1 of an array of shape (3,)"));
}
