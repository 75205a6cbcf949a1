#include "autograd/arena.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <utility>

namespace xtape {
namespace {

constexpr std::size_t first_block = std::size_t{1} << 11;
constexpr std::size_t largest_step = std::size_t{1} << 26;

/// What a block holds: buffers may be read past their end.
std::size_t room_of(const Memory& block) { return block.size() - buffer_alignment; }

// Classes are 64, 72, 80, ..., 128, 144, ... bytes: (8 + eighth) * 2^power, each rounded up to whole cache lines by the
// arena.
struct SizeClass {
    std::size_t index;
    std::size_t bytes;
};

SizeClass class_that_holds(std::size_t bytes) {
    const std::size_t size = std::max<std::size_t>(bytes, buffer_alignment);
    const auto power =
        static_cast<std::size_t>(std::bit_width(size - 1)) - 1;  // 2^power < size <= 2^(power+1)
    const std::size_t eighth = std::size_t{1} << (power - 3);
    const std::size_t steps = (size - (std::size_t{1} << power) + eighth - 1) / eighth;
    return {8 * power + steps, (std::size_t{1} << power) + steps * eighth};
}

}  // namespace

std::byte* Arena::allocate_in_other_block(std::size_t bytes) {
    auto block = blocks_.end();  // the smallest that can hold it
    for (auto each = blocks_.begin() + static_cast<std::ptrdiff_t>(now_.blocks); each != blocks_.end();
         ++each) {
        if (room_of(*each) >= bytes && (block == blocks_.end() || each->size() < block->size())) block = each;
    }
    if (block == blocks_.end()) {
        add_block(new_block_size(bytes));
        block = blocks_.end() - 1;
    }
    std::swap(*block, blocks_[now_.blocks]);
    const std::size_t number = now_.blocks++;
    std::byte* const start = blocks_[number].data();
    if (number == 0 || room_of(blocks_[number]) - bytes > size_ - now_.used)
        open({.open = number, .used = bytes, .blocks = now_.blocks, .others = used()});
    else
        now_.others += bytes;
    return start;
}

/// A request that is large beside others gets no more than it needs; room for several small ones is as large as they have
/// been.
std::size_t Arena::new_block_size(std::size_t bytes) {
    const std::size_t step = std::clamp(shared_ / 8, first_block, largest_step);
    if (bytes > std::max(step / 4, capacity_ / 256)) return bytes;
    const std::size_t size = std::max(step, 4 * bytes);
    shared_ += size;
    return size;
}

void Arena::add_block(std::size_t size) {
    blocks_.emplace_back(size + buffer_alignment);
    capacity_ += blocks_.back().size();
}

void Arena::open(Mark mark) {
    now_ = mark;
    data_ = mark.blocks == 0 ? nullptr : blocks_[mark.open].data();
    size_ = mark.blocks == 0 ? 0 : room_of(blocks_[mark.open]);
}

void Arena::rewind(Mark mark) {
    most_ = std::max(most_, used());
    open(mark);
}

void Arena::clear() {
    rewind({});
    if (blocks_.size() > 1) {
        // Where blocks meet, an allocation may now need to be aligned.
        const std::size_t size = most_ + buffer_alignment * blocks_.size();
        blocks_.clear();
        capacity_ = shared_ = 0;
        add_block(size);
    }
    most_ = 0;
}

std::byte* Pool::allocate(std::size_t bytes) {
    const SizeClass size_class = class_that_holds(bytes);
    std::vector<std::byte*>& free = free_[size_class.index];
    auto last = free.end();
    while (last != free.begin() && !held_.empty() && std::ranges::find(held_, *(last - 1)) != held_.end())
        --last;
    if (last == free.begin()) return arena_.allocate(size_class.bytes);
    std::swap(*(last - 1), free.back());
    std::byte* const buffer = free.back();
    free.pop_back();
    return buffer;
}

void Pool::release(std::byte* buffer, std::size_t bytes) { keep(class_that_holds(bytes).index, buffer); }

bool Pool::take(std::byte* buffer, std::size_t bytes) {
    std::vector<std::byte*>& free = free_[class_that_holds(bytes).index];
    const auto found = std::find(free.rbegin(), free.rend(), buffer);
    if (found == free.rend()) return false;
    free.erase(std::next(found).base());
    return true;
}

void Pool::donate(std::byte* buffer, std::size_t bytes) {
    if (bytes < buffer_alignment) return;
    SizeClass size_class = class_that_holds(bytes);
    if (size_class.bytes > bytes) --size_class.index;  // the largest class that it can serve in full
    keep(size_class.index, buffer);
}

void Pool::clear() {
    arena_.clear();
    for_used_classes([](auto& free) { free.clear(); });
    used_ = {};
}

void Pool::settle() {
    for_used_classes([](auto& free) {
        const auto latest = std::min<std::ptrdiff_t>(std::ssize(free), 8);
        std::sort(free.end() - latest, free.end(), std::greater<>());
    });
}

}  // namespace xtape
