#include "autograd/team.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

using xtape::Part;
using xtape::Team;
using xtape::Work;

namespace {

constexpr std::size_t a_lot = 1'000'000'000;  // nanoseconds

}  // namespace

TEST_CASE("team: parts of any number of units are next to each other and cover them") {
    for (std::size_t units : {0u, 1u, 7u, 64u}) {
        for (std::size_t count : {1u, 2u, 3u, 8u}) {
            std::size_t end = 0;
            for (std::size_t index = 0; index < count; ++index) {
                const Part part{index, count};
                CHECK(part.begin(units) == end);
                end = part.end(units);
            }
            CHECK(end == units);
        }
    }
}

TEST_CASE("team: every part is done once, by no more threads than there are") {
    for (std::size_t threads : {1u, 2u, 3u, 8u}) {
        Team team(threads);
        CHECK(team.size() == threads);
        for (int round = 0; round < 2000; ++round) {
            std::vector<std::atomic<int>> done(threads);
            std::atomic<std::size_t> parts{0};
            team.run(Work{a_lot, threads}, [&](Part part) {
                parts = part.count;
                ++done[part.index];
            });
            REQUIRE(parts == threads);
            for (const auto& times : done) REQUIRE(times == 1);
        }
    }
}

TEST_CASE("team: little work, or work of one unit, stays with the thread that has it") {
    Team team(4);
    for (Work work : {Work{10, 100}, Work{a_lot, 1}, Work{}}) {
        team.run(work, [&, self = std::this_thread::get_id()](Part part) {
            CHECK(part.count == 1);
            CHECK(std::this_thread::get_id() == self);
        });
    }
    CHECK(team.parts({a_lot, 3}) == 3);
    CHECK(team.parts({a_lot, 100}) == 4);
}

TEST_CASE("team: what a part throws arrives, after the other parts are done") {
    Team team(3);
    for (std::size_t thrower : {0u, 1u, 2u}) {
        std::atomic<int> done{0};
        const auto work = [&](Part part) {
            if (part.index == thrower) throw std::runtime_error("part");
            ++done;
        };
        CHECK_THROWS_AS(team.run(Work{a_lot, 3}, work), std::runtime_error);
        CHECK(done == 2);
    }
    std::atomic<int> after{0};
    team.run(Work{a_lot, 3}, [&](Part) { ++after; });
    CHECK(after == 3);
}

TEST_CASE("team: threads that have fallen asleep work again") {
    Team team(2);
    for (int round = 0; round < 3; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::atomic<bool> helped{false};
        // Both parts wait for each other: without a second thread this would never end.
        std::atomic<int> here{0};
        team.run(Work{a_lot, 2}, [&](Part) {
            ++here;
            while (here < 2) std::this_thread::yield();
            helped = true;
        });
        CHECK(helped);
    }
}

TEST_CASE("team: a size of 0 or of hundreds is refused") {
    CHECK_THROWS_AS(Team(0), std::invalid_argument);
    CHECK_THROWS_AS(Team(1000), std::invalid_argument);
}
