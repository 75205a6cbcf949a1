#include "autograd/memory.hpp"

#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace xtape {
namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;

// operator new would round the size up to a multiple of the alignment.
std::byte* allocate(std::size_t alignment, std::size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
    return static_cast<std::byte*>(memory);
}

}  // namespace

Memory::Memory(std::size_t bytes)
    : data_(allocate(bytes >= huge_page ? huge_page : buffer_alignment, bytes)), size_(bytes) {
#ifdef __linux__
    // If the system won't, nothing is lost.
    if (bytes >= huge_page) madvise(data_, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
}

Memory::~Memory() { std::free(data_); }

}  // namespace xtape
