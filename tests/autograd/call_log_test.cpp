#include "autograd/call_log.hpp"

#include <array>

#include "tests/catch.hpp"

using xtape::CallLog;
using xtape::RawCall;

namespace {

/// to[0] += factor from[0]
void add(const RawCall<double>& call, double* const* addresses) {
    *addresses[1] += call.constants[0] * *addresses[0] * static_cast<double>(call.numbers[0]);
}
void subtract(const RawCall<double>& call, double* const* addresses) {
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
    second.repeat();
    second.repeat();
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
    for (int which : {0, 1}) {
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
