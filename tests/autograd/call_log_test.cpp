#include "autograd/call_log.hpp"

#include <array>
#include <cmath>
#include <vector>

#include "tests/catch.hpp"

using xtape::CallLog;
using xtape::RawCall;

namespace {

/// to[0] += factor from[0]
void add(const RawCall<double>& call, double* const* addresses, xtape::Part) {
    *addresses[1] += call.constants[0] * *addresses[0] * static_cast<double>(call.numbers[0]);
}
void subtract(const RawCall<double>& call, double* const* addresses, xtape::Part) {
    *addresses[1] -= call.constants[0] * *addresses[0];
}

constexpr std::array<double, 1> three = {3}, other_three = {3}, four = {4};

RawCall<double> a_call(const std::array<double, 1>& factor = three, std::size_t number = 1) {
    return {.run = &add, .numbers = {number}, .constants = factor};
}

}  // namespace

TEST_CASE("call log: calls whose addresses moved on are repeated a distance on each time") {
    std::array<double, 6> from = {1, 2, 3, 4, 5, 6};
    std::array<double, 6> to{};
    CallLog<double> first, second;
    first.clear();
    second.clear();
    first.add(a_call(), {&from[0], &to[5]});
    second.add(a_call(other_three), {&from[1], &to[4]});
    REQUIRE(second.follows(first));
    xtape::Team alone;
    second.repeat(2, alone);
    CHECK(to == std::array<double, 6>{0, 0, 12, 9, 0, 0});
}

TEST_CASE("call log: other calls, numbers, constants, counts or fixed memory don't follow") {
    std::array<double, 4> x{};
    CallLog<double> first;
    first.clear();
    first.add(a_call(), {&x[0], &x[1]});
    first.add_fixed(&x[3]);
    const auto follows = [&](const RawCall<double>& call, std::size_t calls, const double* fixed) {
        CallLog<double> second;
        second.clear();
        for (std::size_t k = 0; k < calls; ++k) second.add(call, {&x[1], &x[2]});
        second.add_fixed(fixed);
        return second.follows(first);
    };
    CHECK(follows(a_call(), 1, &x[3]));
    CHECK_FALSE(follows({.run = &subtract, .numbers = {1}, .constants = three}, 1, &x[3]));
    CHECK_FALSE(follows(a_call(three, 2), 1, &x[3]));
    CHECK_FALSE(follows(a_call(four), 1, &x[3]));
    CHECK_FALSE(follows(a_call(), 2, &x[3]));
    CHECK_FALSE(follows(a_call(), 0, &x[3]));
    CHECK_FALSE(follows(a_call(), 1, &x[2]));
}

TEST_CASE("call log: what was given up is never repeated") {
    std::array<double, 2> x{};
    for (std::size_t which : {0u, 1u}) {
        std::array<CallLog<double>, 2> logs;
        for (auto& log : logs) {
            log.clear();
            log.add(a_call(), {&x[0], &x[1]});
        }
        CHECK(logs[1].follows(logs[0]));
        logs[which].give_up();
        CHECK_FALSE(logs[1].follows(logs[0]));
    }
}

TEST_CASE("call log: pieces of memory that change places are found there, all else where it was") {
    std::array<double, 8> x = {1, 2, 3, 4, 5, 6, 7, 8};
    CallLog<double> log;
    log.clear();
    log.add(a_call(), {&x[1], &x[5]});  // both elements of pieces
    log.add(a_call(), {&x[3], &x[0]});  // what lies behind one
    log.exchange(&x[0], &x[4], 3);
    xtape::Team alone;
    log.do_again(alone);
    CHECK(x == std::array<double, 8>{1, 2 + 3 * 6, 3, 4, 5 + 3 * 4, 6, 7, 8});
    log.exchange(&x[4], &x[0], 3);
    log.do_again(alone);
    CHECK(x == std::array<double, 8>{1 + 3 * 4, 20, 3, 4, 17, 6 + 3 * 20, 7, 8});
}

TEST_CASE("call log: memory that moved is found in its new place, each piece by itself") {
    std::array<double, 9> x = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    CallLog<double> log;
    log.clear();
    log.add(a_call(), {&x[0], &x[3]});
    log.add(a_call(), {&x[1], &x[8]});
    // The second piece goes to where the first one was.
    using Move = CallLog<double>::Move;
    log.move(std::array{Move{&x[0], 2, &x[6]}, Move{&x[3], 1, &x[0]}});
    xtape::Team alone;
    log.do_again(alone);
    CHECK(x == std::array<double, 9>{1 + 3 * 7, 2, 3, 4, 5, 6, 7, 8, 9 + 3 * 8});
}

TEST_CASE("call log: tells what it uses of some memory, and how far on the next step's is") {
    std::array<double, 12> x{};
    CallLog<double> first, second;
    first.clear();
    second.clear();
    first.add(a_call(), {&x[8], &x[0]});
    first.add(a_call(), {&x[3], &x[9]});
    second.add(a_call(), {&x[5], &x[0]});
    second.add(a_call(), {&x[4], &x[6]});
    REQUIRE(second.follows(first));
    std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> seen;
    const auto look = [&](const double* address, std::ptrdiff_t distance) {
        seen.emplace_back(address - &x[0], distance);
        return distance < 0;
    };
    CHECK(second.all_of(&x[5], 2, look));
    CHECK(seen == std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>{{5, -3}, {6, -3}});
    CHECK_FALSE(second.all_of(&x[4], 2, look));
    CHECK(second.all_of(&x[7], 5, look));
}

TEST_CASE("call log: threads that share a call do every part of it, step by step") {
    constexpr std::size_t n = 1000, steps = 50;
    // Each step adds up what the one before it left, so that a part that is late or missing shows.
    const auto add_neighbours = [](const RawCall<double>& call, double* const* addresses, xtape::Part part) {
        const std::size_t size = call.numbers[0];
        for (std::size_t i = part.begin(size); i < part.end(size); ++i)
            addresses[1][i] = addresses[0][i] + addresses[0][(i + 1) % size];
    };
    const auto run = [&](std::size_t threads) {
        xtape::Team team(threads);
        std::vector<double> rows((steps + 3) * n, 1);
        std::array<CallLog<double>, 2> logs;
        for (std::size_t k : {0u, 1u}) {
            const RawCall<double> call{.run = add_neighbours, .numbers = {n}, .work = {1'000'000, n}};
            double* const addresses[] = {&rows[k * n], &rows[(k + 1) * n]};
            call.run(call, addresses, {});
            logs[k].clear();
            logs[k].add(call, {addresses[0], addresses[1]});
        }
        REQUIRE(logs[1].follows(logs[0]));
        logs[1].repeat(steps, team);
        return rows;
    };
    const auto expected = run(1);
    CHECK(expected[(steps + 2) * n] == std::ldexp(1.0, steps + 2));
    for (std::size_t threads : {2u, 3u, 7u}) CHECK(run(threads) == expected);
}
