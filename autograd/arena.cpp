#include "autograd/arena.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <iterator>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace xtape {
namespace {

constexpr std::size_t first_block = std::size_t{1} << 11;
constexpr std::size_t largest_step = std::size_t{1} << 26;
#ifdef __linux__
constexpr std::uintptr_t huge_page = std::uintptr_t{1} << 21;
#endif

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

void Arena::Free::operator()(std::byte* data) const {
    ::operator delete (data, std::align_val_t{buffer_alignment});
}

std::byte* Arena::allocate_in_other_block(std::size_t bytes) {
    auto block = blocks_.end();  // the smallest that can hold it
    for (auto each = blocks_.begin() + static_cast<std::ptrdiff_t>(now_.blocks); each != blocks_.end();
         ++each) {
        if (each->size >= bytes && (block == blocks_.end() || each->size < block->size)) block = each;
    }
    if (block == blocks_.end()) {
        add_block(new_block_size(bytes));
        block = blocks_.end() - 1;
    }
    std::swap(*block, blocks_[now_.blocks]);
    const std::size_t number = now_.blocks++;
    std::byte* const start = blocks_[number].data.get();
    if (number == 0 || blocks_[number].size - bytes > size_ - now_.used)
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
    const std::size_t bytes = size + buffer_alignment;
    auto* const data = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{buffer_alignment}));
    blocks_.push_back({std::unique_ptr<std::byte, Free>(data), size});
    capacity_ += bytes;
#ifdef __linux__
    // A long sequence touches megabytes, each page a few times: with small pages looking them up costs several percent. If
    // the system won't, nothing is lost.
    const auto first = (reinterpret_cast<std::uintptr_t>(data) + huge_page - 1) / huge_page * huge_page;
    const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) / huge_page * huge_page;
    if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

void Arena::open(Mark mark) {
    now_ = mark;
    data_ = mark.blocks == 0 ? nullptr : blocks_[mark.open].data.get();
    size_ = mark.blocks == 0 ? 0 : blocks_[mark.open].size;
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
