#include "autograd/team.hpp"

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace xtape {
namespace {

constexpr std::size_t largest_team = 32;
// About as long as a sweep is busy with what one thread does alone.
constexpr std::chrono::microseconds time_awake{100};
// Waking a thread takes a system call, and some time until it runs.
constexpr std::size_t worth_waking = 50'000;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

}  // namespace

/// Threads, and what they and the one that they help tell each other.
struct Team::Helpers {
    explicit Helpers(std::size_t size) : team_size(size) {
        threads.reserve(size - 1);
        try {
            for (std::size_t thread = 1; thread < size; ++thread)
                threads.emplace_back([this, thread] { serve(thread); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ~Helpers() { stop(); }
    Helpers(const Helpers&) = delete;
    Helpers& operator=(const Helpers&) = delete;

    void stop() {
        stopped.store(true);
        wake();
        for (std::thread& thread : threads) thread.join();
        threads.clear();
    }

    /// If so much has come, or is about to, that it pays.
    void wake_for(std::size_t nanoseconds) {
        if (nanoseconds >= worth_waking && sleepers.load() > 0) wake();
    }
    void wake() {
        alarms.fetch_add(1);
        alarms.notify_all();
    }

    void share(const Job& next, std::size_t nanoseconds) {
        job = next;
        done.store(0, std::memory_order_relaxed);
        // Nobody looks at the job before having taken a part of it, nor can it end before that part is done. And who falls
        // asleep either sees the parts or is seen asleep.
        untaken.store((std::uint64_t{1} << job.parts) - 1);
        wake_for(nanoseconds);
        do_parts(0);
        // With more threads than processors, the one that is waited for may need this one's.
        for (int spin = 0; done.load(std::memory_order_acquire) < job.parts; ++spin) {
            if (spin < 4000)
                pause();
            else
                std::this_thread::yield();
        }
        if (exception) std::rethrow_exception(std::exchange(exception, nullptr));
    }

    /// Does what there is; the thread's own part first, so that it works on the same memory each time.
    void do_parts(std::size_t thread) {
        std::uint64_t parts = untaken.load(std::memory_order_acquire);
        while (parts != 0) {
            const std::uint64_t own = parts >> thread << thread;
            const int index = std::countr_zero(own != 0 ? own : parts);
            const std::uint64_t rest = parts & ~(std::uint64_t{1} << index);
            if (!untaken.compare_exchange_weak(parts, rest, std::memory_order_acq_rel,
                                               std::memory_order_acquire))
                continue;
            try {
                job.run(job.context, {static_cast<std::size_t>(index), job.parts});
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (!exception) exception = std::current_exception();
            }
            done.fetch_add(1, std::memory_order_acq_rel);
            parts = untaken.load(std::memory_order_acquire);
        }
    }

    void serve(std::size_t thread) {
        while (!stopped.load(std::memory_order_relaxed)) {
            do_parts(thread);
            if (comes_soon()) continue;
            sleepers.fetch_add(1);
            const std::uint32_t heard = alarms.load();
            if (untaken.load() == 0 && !stopped.load()) alarms.wait(heard);
            sleepers.fetch_sub(1);
        }
    }
    bool comes_soon() const {
        using Clock = std::chrono::steady_clock;
        const auto end = Clock::now() + time_awake;
        do {
            for (int spin = 0; spin < 64; ++spin) {
                if (untaken.load(std::memory_order_relaxed) != 0) return true;
                pause();
            }
        } while (Clock::now() < end && !stopped.load(std::memory_order_relaxed));
        return false;
    }

    const std::size_t team_size;
    Job job{};
    std::mutex mutex;
    std::exception_ptr exception;  // the first of a job
    // Each in a cache line of its own.
    alignas(64) std::atomic<std::uint64_t> untaken{0};  // parts, a bit each
    alignas(64) std::atomic<std::size_t> done{0};
    alignas(64) std::atomic<std::uint32_t> alarms{0};
    std::atomic<std::size_t> sleepers{0};
    std::atomic<bool> stopped{false};
    std::vector<std::thread> threads;
};

Team::Team(std::size_t size) : size_(size) {
    if (size == 0 || size > largest_team)
        throw std::invalid_argument("[set_threads] " + std::to_string(size) + " threads: expected 1 to " +
                                    std::to_string(largest_team));
    if (size > 1) helpers_ = std::make_unique<Helpers>(size);
}

Team::~Team() = default;

void Team::wake_for(std::size_t nanoseconds) {
    if (helpers_) helpers_->wake_for(nanoseconds);
}

void Team::share(const Job& job, std::size_t nanoseconds) { helpers_->share(job, nanoseconds); }

}  // namespace xtape
