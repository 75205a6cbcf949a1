#pragma once

#include <cstddef>

namespace bench {

/// Counts what the whole program asks of malloc and its relatives, in bytes as they were asked for, while it lives. One at
/// a time. Needs glibc: elsewhere `works` is false and everything is 0.
class AllocationCount {
public:
    static const bool works;

    AllocationCount();
    ~AllocationCount();
    AllocationCount(const AllocationCount&) = delete;
    AllocationCount& operator=(const AllocationCount&) = delete;

    /// What was asked for since the count began and not given back.
    std::size_t live() const;
    /// The most that this ever was.
    std::size_t peak() const;
};

}  // namespace bench
