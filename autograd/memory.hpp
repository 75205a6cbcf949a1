#pragma once

#include <cstddef>
#include <utility>

namespace xtape {

/// Every buffer starts on such a boundary, may be written up to the next one past its end, and may be read that many
/// bytes past its end, so that vector code needs no special case for a tail.
inline constexpr std::size_t buffer_alignment = 64;

/// A piece of the heap, aligned to buffer_alignment at least and not initialised. A large one consists of huge pages where
/// the system has them: values that lie some KiB apart, as those of a matrix's column do, then need few entries of the
/// processor's page tables.
class Memory {
public:
    Memory() = default;
    explicit Memory(std::size_t bytes);
    Memory(Memory&& other) noexcept { swap(other); }
    Memory& operator=(Memory&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Memory();

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

    void swap(Memory& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace xtape
