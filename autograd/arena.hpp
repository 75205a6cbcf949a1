#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "autograd/memory.hpp"

namespace xtape {

/// Bump allocation in blocks. Memory is given back all at once (`clear`) or down to a mark (`rewind`); the blocks
/// themselves are kept for reuse. A large request gets a block of its own, and small ones go on filling the one that has
/// most room left. After a life that took several blocks the next one has a single block, as large as all that was in use
/// at once: a computation that repeats stops asking the heap after its second run, and has little more than it needs.
class Arena {
public:
    struct Mark {
        std::size_t open = 0;    // the block that is being filled
        std::size_t used = 0;    // of that block
        std::size_t blocks = 0;  // in use
        std::size_t others = 0;  // bytes in use in other blocks
    };

    /// At least `bytes` bytes, aligned to buffer_alignment, not initialised. Valid until rewound past.
    std::byte* allocate(std::size_t bytes) {
        const std::size_t rounded = round_up(bytes, buffer_alignment);
        const std::size_t start = round_up(now_.used, buffer_alignment);
        if (size_ < start + rounded || data_ == nullptr) return allocate_in_other_block(rounded);
        now_.used = start + rounded;
        return data_ + start;
    }

    /// Room for a small record, aligned for any scalar type: no reads or writes past its end.
    std::byte* allocate_record(std::size_t bytes) {
        const std::size_t rounded = round_up(bytes, alignof(std::max_align_t));
        if (size_ - now_.used < rounded) return allocate_in_other_block(rounded);
        std::byte* const start = data_ + now_.used;
        now_.used += rounded;
        return start;
    }

    Mark mark() const { return now_; }
    void rewind(Mark mark);
    void clear();

    /// Bytes asked of the heap and not given back.
    std::size_t capacity() const { return capacity_; }
    /// Bytes in use.
    std::size_t used() const { return now_.others + now_.used; }

private:
    static constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
        return (bytes + unit - 1) & ~(unit - 1);
    }

    std::byte* allocate_in_other_block(std::size_t bytes);
    std::size_t new_block_size(std::size_t bytes);
    void add_block(std::size_t size);
    void open(Mark mark);

    std::vector<Memory> blocks_;  // those in use are the first ones
    Mark now_;
    std::byte* data_ = nullptr;  // the open block's
    std::size_t size_ = 0;       // its size
    std::size_t most_ = 0;       // in use at once, in this life
    std::size_t capacity_ = 0;
    std::size_t shared_ = 0;  // in blocks made for several requests
};

/// Buffers whose lives don't nest, such as gradients during a sweep: sizes are rounded up to a class, eight to each
/// power of two, and freed buffers wait in the list of their class.
class Pool {
public:
    /// At least `bytes` bytes, aligned to buffer_alignment, not initialised.
    std::byte* allocate(std::size_t bytes);
    /// Takes back a buffer that `allocate(bytes)` gave.
    void release(std::byte* buffer, std::size_t bytes);
    /// Takes this one of the buffers that are free for `bytes` bytes: false if it isn't among them.
    bool take(std::byte* buffer, std::size_t bytes);
    /// Lends a foreign buffer of `bytes` bytes for reuse until `clear`.
    void donate(std::byte* buffer, std::size_t bytes);
    /// Forgets every buffer at once; keeps the memory.
    void clear();

    /// Orders what is free by address, the latest few of each size. Who takes some and gives them all back, in whatever
    /// order, then finds them as before.
    void settle();

    /// While it lives, nobody gets these buffers, free though they may be.
    class Hold {
    public:
        Hold(Pool& pool, std::span<const void* const> buffers)
            : held_(pool.held_), before_(std::exchange(pool.held_, buffers)) {}
        ~Hold() { held_ = before_; }
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

    private:
        std::span<const void* const>& held_;
        std::span<const void* const> before_;
    };

    /// Bytes asked of the heap and not given back.
    std::size_t capacity() const { return arena_.capacity(); }

private:
    static constexpr std::size_t class_count = 8 * 48;

    /// Calls f with the list of each class that was in use.
    template <class F>
    void for_used_classes(F f) {
        for (std::size_t word = 0; word < used_.size(); ++word)
            for (std::uint64_t bits = used_[word]; bits != 0; bits &= bits - 1)
                f(free_[64 * word + static_cast<std::size_t>(std::countr_zero(bits))]);
    }
    void keep(std::size_t size_class, std::byte* buffer) {
        free_[size_class].push_back(buffer);
        used_[size_class / 64] |= std::uint64_t{1} << (size_class % 64);
    }

    Arena arena_;
    std::span<const void* const> held_;
    // Not linked through the buffers themselves: a loop that repeats what a step did writes to those that the step took
    // and gave back, and takes none.
    std::array<std::vector<std::byte*>, class_count> free_;
    std::array<std::uint64_t, class_count / 64>
        used_{};  // the classes whose lists `clear` has to empty, a bit each
};

/// Elements of a pool, for as long as it lives.
template <class T>
class Pooled {
public:
    Pooled(Pool& pool, std::size_t count)
        : pool_(pool), bytes_(count * sizeof(T)), data_(reinterpret_cast<T*>(pool.allocate(bytes_))) {}
    ~Pooled() { pool_.release(reinterpret_cast<std::byte*>(data_), bytes_); }
    Pooled(const Pooled&) = delete;
    Pooled& operator=(const Pooled&) = delete;

    T* data() const { return data_; }

private:
    Pool& pool_;
    std::size_t bytes_;
    T* data_;
};

}  // namespace xtape
