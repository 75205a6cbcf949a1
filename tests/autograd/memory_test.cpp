#include "autograd/memory.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/catch.hpp"

using xtape::buffer_alignment;
using xtape::Memory;

TEST_CASE("memory: as large as asked for, aligned, and writable to its end", "[memory]") {
    for (std::size_t bytes : {std::size_t{1}, std::size_t{100}, (std::size_t{1} << 21) - 1,
                              std::size_t{1} << 21, (std::size_t{1} << 21) + 1, std::size_t{5} << 20}) {
        CAPTURE(bytes);
        const Memory memory(bytes);
        REQUIRE(memory.size() == bytes);
        CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % buffer_alignment == 0);
        std::memset(memory.data(), 7, bytes);
        CHECK(memory.data()[bytes - 1] == std::byte{7});
    }
}

TEST_CASE("memory: moved, not copied", "[memory]") {
    Memory one(100), none;
    std::byte* const data = one.data();
    Memory other(std::move(one));
    CHECK(other.data() == data);
    CHECK(one.data() == nullptr);  // NOLINT(bugprone-use-after-move): it is empty then
    none = std::move(other);
    CHECK(none.data() == data);
    CHECK(none.size() == 100);
    CHECK(other.size() == 0);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("memory: none is empty", "[memory]") {
    const Memory none;
    CHECK(none.data() == nullptr);
    CHECK(none.size() == 0);
}
