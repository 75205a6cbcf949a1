#pragma once

#include <cstddef>

#include "benchmarks/machine.hpp"

/// What the machine can do at best, measured where it is used: a time that no contender can be below.
namespace bench {

/// Multiplications and additions per second of one thread, fused ones, on registers, over `seconds`.
template <class T>
double fma_rate(double seconds, double (*clock)() = cpu_seconds);

/// The highest of several such rates.
template <class T>
double fma_peak();

/// Bytes per second of a loop that reads two arrays and writes a third, `footprint` bytes in all, which says what level of
/// the memory they come from.
double stream_bandwidth(std::size_t footprint);

/// The least a piece of work must do.
struct Cost {
    double bytes = 0;           // to move
    std::size_t footprint = 0;  // of all arrays, in bytes
    double flops = 0;           // multiplications and additions
};

/// Seconds below which it can't be done.
template <class T>
double floor_of(const Cost& cost);

}  // namespace bench
