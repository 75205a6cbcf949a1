#include "benchmarks/allocations.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

#ifdef __GLIBC__
// What malloc and its relatives of this program, and of every library in it, hand on to.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
}

namespace bench {
namespace {

/// For the list of allocations itself, which is not to count.
template <class V>
struct Uncounted {
    using value_type = V;
    Uncounted() = default;
    template <class U>
    Uncounted(const Uncounted<U>&) {}  // NOLINT(google-explicit-constructor)
    V* allocate(std::size_t count) { return static_cast<V*>(__libc_malloc(count * sizeof(V))); }
    void deallocate(V* memory, std::size_t) { __libc_free(memory); }
    friend bool operator==(const Uncounted&, const Uncounted&) { return true; }
};

struct Ledger {
    std::mutex mutex;
    std::unordered_map<void*, std::size_t, std::hash<void*>, std::equal_to<>,
                       Uncounted<std::pair<void* const, std::size_t>>>
        sizes;
    std::size_t live = 0, peak = 0;
};

std::atomic<bool> counting{false};

Ledger& ledger() {
    static Ledger instance;
    return instance;
}

void* entered(void* memory, std::size_t size) {
    if (memory == nullptr || !counting.load(std::memory_order_relaxed)) return memory;
    Ledger& l = ledger();
    const std::lock_guard lock(l.mutex);
    l.sizes[memory] = size;
    l.live += size;
    l.peak = std::max(l.peak, l.live);
    return memory;
}

void leave(void* memory) {
    if (memory == nullptr || !counting.load(std::memory_order_relaxed)) return;
    Ledger& l = ledger();
    const std::lock_guard lock(l.mutex);
    const auto entry = l.sizes.find(memory);
    if (entry == l.sizes.end()) return;  // from before the count
    l.live -= entry->second;
    l.sizes.erase(entry);
}

}  // namespace

const bool AllocationCount::works = true;

AllocationCount::AllocationCount() {
    Ledger& l = ledger();
    const std::lock_guard lock(l.mutex);
    l.sizes.clear();
    l.live = l.peak = 0;
    counting = true;
}

AllocationCount::~AllocationCount() { counting = false; }

std::size_t AllocationCount::live() const {
    const std::lock_guard lock(ledger().mutex);
    return ledger().live;
}

std::size_t AllocationCount::peak() const {
    const std::lock_guard lock(ledger().mutex);
    return ledger().peak;
}

}  // namespace bench

extern "C" {

void* malloc(std::size_t size) { return bench::entered(__libc_malloc(size), size); }

void* calloc(std::size_t count, std::size_t size) {
    return bench::entered(__libc_calloc(count, size), count * size);
}

void* realloc(void* memory, std::size_t size) {
    bench::leave(memory);
    return bench::entered(__libc_realloc(memory, size), size);
}

void* memalign(std::size_t alignment, std::size_t size) {
    return bench::entered(__libc_memalign(alignment, size), size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }

int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
    *memory = memalign(alignment, size);
    return *memory == nullptr ? ENOMEM : 0;
}

void free(void* memory) {
    bench::leave(memory);
    __libc_free(memory);
}

}  // extern "C"
#else
namespace bench {

const bool AllocationCount::works = false;
AllocationCount::AllocationCount() = default;
AllocationCount::~AllocationCount() = default;
std::size_t AllocationCount::live() const { return 0; }
std::size_t AllocationCount::peak() const { return 0; }

}  // namespace bench
#endif
