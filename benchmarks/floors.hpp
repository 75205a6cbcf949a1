#pragma once

#include <cstddef>

/// What the machine can do at best, measured where it is used: a time that no contender can be below.
namespace bench {

/// Multiplications and additions per second of one thread: fused ones, on registers.
template <class T>
double fma_peak();

/// Bytes per second of a loop that reads two arrays and writes a third, all three in `bytes`: which level of the
/// memory that is, the size says.
double stream_bandwidth(std::size_t bytes);

/// The least a piece of work must do: what it moves, and how often it multiplies and adds.
struct Cost {
    double bytes = 0;
    double flops = 0;
};

/// Seconds below which it can't be done.
template <class T>
double floor_of(const Cost& cost);

}  // namespace bench
