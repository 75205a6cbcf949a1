#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

namespace xtape {

/// The share of one of several threads in a piece of work.
struct Part {
    std::size_t index = 0;
    std::size_t count = 1;

    /// Where this share of `units` begins, and where it ends.
    std::size_t begin(std::size_t units) const { return index == 0 ? 0 : units * index / count; }
    std::size_t end(std::size_t units) const {
        return index + 1 == count ? units : units * (index + 1) / count;
    }
};

/// How much there is to do: how long one thread takes for it, roughly, and into how many equal units it can be cut.
struct Work {
    std::size_t nanoseconds = 0;
    std::size_t units = 1;
};

/// A thread and others that help it.
///
/// Work is laid out in parts, one for each thread. Whoever is ready takes one, its own first; the thread that asked
/// for it does what nobody has taken, and waits only for what others have begun. So helpers that sleep, or that
/// the system runs elsewhere, cost little. Between two pieces of work they wait awake for a moment, and then sleep.
class Team {
public:
    /// Starts size - 1 threads. Throws std::invalid_argument if size is not 1 ... 32, std::system_error if a thread
    /// can't be had.
    explicit Team(std::size_t size = 1);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    std::size_t size() const { return size_; }

    /// Calls function(part) for each part of the work, in as many as pays, and returns when all are done. Throws what
    /// one of them threw. A function doesn't call run() again.
    template <class F>
    void run(Work work, const F& function) {
        const std::size_t parts = this->parts(work);
        if (parts == 1) return function(Part{});
        share({[](const void* context, Part part) { (*static_cast<const F*>(context))(part); }, &function,
               parts},
              work.nanoseconds);
    }
    std::size_t parts(Work work) const {
        constexpr std::size_t smallest_part = 1100;
        if (size_ == 1 || work.nanoseconds < 2 * smallest_part || work.units < 2) return 1;
        return std::min({size_, work.nanoseconds / smallest_part, work.units});
    }
    /// Wakes those who sleep, if so much is about to come that it pays.
    void wake_for(std::size_t nanoseconds);

private:
    struct Job {
        void (*run)(const void* context, Part part);
        const void* context;
        std::size_t parts;
    };
    struct Helpers;

    void share(const Job& job, std::size_t nanoseconds);

    std::size_t size_;
    std::unique_ptr<Helpers> helpers_;  // none for a team of one
};

}  // namespace xtape
