#include "autograd/arena.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "tests/catch.hpp"

using namespace xtape;

namespace {

bool is_aligned(const std::byte* data) {
    return reinterpret_cast<std::uintptr_t>(data) % buffer_alignment == 0;
}

bool holds_only(std::byte mark, const std::byte* data, std::size_t bytes) {
    return std::all_of(data, data + bytes, [&](std::byte each) { return each == mark; });
}

}  // namespace

TEST_CASE("arena: buffers are aligned and apart from each other", "[arena]") {
    Arena arena;
    std::vector<std::pair<std::byte*, std::size_t>> buffers;
    for (std::size_t bytes : {1u, 64u, 65u, 1000u, 70000u, 0u, 8u, 300000u, 64u}) {
        std::byte* data = arena.allocate(bytes);
        REQUIRE(is_aligned(data));
        std::memset(data, static_cast<int>(buffers.size()), bytes);
        buffers.emplace_back(data, bytes);
        std::byte* record = arena.allocate_record(24);
        std::memset(record, 0xFF, 24);
    }
    for (std::size_t k = 0; k < buffers.size(); ++k) {
        CHECK(holds_only(std::byte(k), buffers[k].first, buffers[k].second));
    }
}

TEST_CASE("arena: from the second life on, the same memory is given out after clear or rewind", "[arena]") {
    Arena arena;
    const auto fill = [&] {
        std::vector<std::byte*> result;
        for (std::size_t k = 0; k < 200; ++k) result.push_back(arena.allocate(100 * k));
        return result;
    };
    fill();
    arena.clear();
    const auto first = fill();
    arena.clear();
    CHECK(fill() == first);
    const std::size_t capacity = arena.capacity();
    const auto mark = arena.mark();
    const auto more = fill();
    arena.rewind(mark);
    CHECK(fill() == more);
    CHECK(arena.capacity() > capacity);
}

TEST_CASE("arena: capacity counts what was asked of the heap, and stops growing", "[arena]") {
    Arena arena;
    CHECK(arena.capacity() == 0);
    for (int round = 0; round < 10; ++round) {
        arena.clear();
        for (std::size_t k = 1; k < 50; ++k) arena.allocate(1000 * k);
    }
    CHECK(arena.capacity() >= 49 * 50 / 2 * 1000);
    CHECK(arena.capacity() <= 49 * 50 / 2 * 1000 * 11 / 10);
}

TEST_CASE("arena: a life's memory is no larger than what was in use at once in the one before", "[arena]") {
    Arena arena;
    for (int life = 0; life < 2; ++life) {
        arena.clear();
        for (int round = 0; round < 20; ++round) {
            const auto mark = arena.mark();
            for (std::size_t k = 0; k < 100; ++k) arena.allocate(64000);
            arena.rewind(mark);
        }
    }
    CHECK(arena.capacity() >= 6'400'000);
    CHECK(arena.capacity() < 6'500'000);
}

TEST_CASE("arena: a first life asks for little more than it uses, whatever lies between large requests",
          "[arena]") {
    Arena arena;
    for (std::size_t k = 0; k < 200; ++k) {
        arena.allocate(100'000 + 1000 * k);
        for (int small = 0; small < 10; ++small) arena.allocate_record(40);
        if (k % 10 == 0) arena.allocate(3000);
    }
    CHECK(arena.capacity() >= arena.used());
    CHECK(arena.capacity() < arena.used() / 100 * 102);
}

TEST_CASE("arena: what lies before a mark stays as it is, in whatever block", "[arena]") {
    Arena arena;
    std::mt19937 engine(2);
    struct Buffer {
        std::byte* data;
        std::size_t bytes;
        std::byte mark;
    };
    std::vector<Buffer> live;
    std::vector<std::pair<Arena::Mark, std::size_t>> marks;
    const auto allocate = [&](std::size_t bytes, bool as_record) {
        std::byte* const data = as_record ? arena.allocate_record(bytes) : arena.allocate(bytes);
        live.push_back({data, bytes, std::byte(engine() % 256)});
        std::memset(data, static_cast<int>(live.back().mark), bytes);
    };
    allocate(5000, false);  // all of the first block
    marks.emplace_back(arena.mark(), 1);
    for (int round = 0; round < 5000; ++round) {
        if (engine() % 10 == 0) marks.emplace_back(arena.mark(), live.size());
        if (engine() % 20 == 0 && !marks.empty()) {
            const auto [mark, count] = marks[engine() % marks.size()];
            std::erase_if(marks, [count = count](const auto& each) { return each.second > count; });
            for (const Buffer& buffer : live) REQUIRE(holds_only(buffer.mark, buffer.data, buffer.bytes));
            live.resize(count);
            arena.rewind(mark);
        }
        allocate(engine() % 5 == 0 ? engine() % 50000 : engine() % 300, engine() % 2 == 0);
    }
}

TEST_CASE("pool: buffers in use never overlap, whatever the order of their lives", "[arena]") {
    Pool pool;
    std::mt19937 engine(1);
    struct Buffer {
        std::byte* data;
        std::size_t bytes;
        std::byte mark;
    };
    std::vector<Buffer> live;
    for (int round = 0; round < 3000; ++round) {
        if (live.size() < 40 || engine() % 2 == 0) {
            const std::size_t bytes = engine() % 3 == 0 ? engine() % 10000 : engine() % 300;
            Buffer buffer{pool.allocate(bytes), bytes, std::byte(engine() % 256)};
            REQUIRE(is_aligned(buffer.data));
            std::memset(buffer.data, static_cast<int>(buffer.mark), bytes);
            live.push_back(buffer);
        } else {
            const std::size_t k = engine() % live.size();
            REQUIRE(holds_only(live[k].mark, live[k].data, live[k].bytes));
            pool.release(live[k].data, live[k].bytes);
            live[k] = live.back();
            live.pop_back();
        }
    }
}

TEST_CASE("pool: a released buffer serves the next request of its size", "[arena]") {
    Pool pool;
    std::byte* first = pool.allocate(1000);
    std::byte* second = pool.allocate(1000);
    CHECK(first != second);
    pool.release(first, 1000);
    CHECK(pool.allocate(1000) == first);
    pool.release(pool.allocate(500), 500);
    const std::size_t capacity = pool.capacity();
    for (int k = 0; k < 1000; ++k) pool.release(pool.allocate(500), 500);
    CHECK(pool.capacity() == capacity);
}

TEST_CASE("pool: buffers that are held serve nobody meanwhile, free though they are", "[arena]") {
    Pool pool;
    std::array<std::byte*, 4> buffers;
    for (std::byte*& buffer : buffers) buffer = pool.allocate(1000);
    for (std::byte* buffer : buffers) pool.release(buffer, 1000);
    const std::array<const void*, 2> some = {buffers[3], buffers[1]}, others = {buffers[2], buffers[0]};
    {
        const Pool::Hold held(pool, some);
        CHECK(pool.allocate(1000) == buffers[2]);
        {
            const Pool::Hold instead(pool, others);
            std::byte* const buffer = pool.allocate(1000);
            CHECK((buffer == buffers[1] || buffer == buffers[3]));
            pool.release(buffer, 1000);
        }
        CHECK(pool.allocate(1000) == buffers[0]);
        CHECK(std::ranges::find(buffers, pool.allocate(1000)) == buffers.end());
    }
    CHECK(std::ranges::find(some, pool.allocate(1000)) != some.end());
    CHECK(std::ranges::find(some, pool.allocate(1000)) != some.end());
}

TEST_CASE("pool: a donated buffer serves only requests that it can hold", "[arena]") {
    Arena arena;
    for (std::size_t bytes : {64u, 100u, 128u, 1000u, 1023u, 1024u, 5000u}) {
        Pool pool;
        std::byte* lent = arena.allocate(bytes);
        pool.donate(lent, bytes);
        std::size_t largest_served = 0;
        for (std::size_t request = 1; request < 2 * bytes; ++request) {
            if (pool.allocate(request) != lent) continue;
            largest_served = request;
            pool.donate(lent, bytes);
        }
        CHECK(largest_served <= bytes);
        CHECK(2 * largest_served > bytes);
    }
}
