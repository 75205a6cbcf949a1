#pragma once

#include "benchmarks/machine.hpp"

namespace bench {

/// GFLOP/s of fused multiply-adds in registers, on the core at hand: what no product can exceed.
template <class T>
double fma_rate(double seconds, double (*clock)() = cpu_seconds);

}  // namespace bench
