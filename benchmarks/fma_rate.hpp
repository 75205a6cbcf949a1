#pragma once

namespace bench {

/// GFLOP/s of fused multiply-adds in registers, on the core at hand, by the wall clock: what no product can exceed.
template <class T>
double fma_rate(double seconds);

}  // namespace bench
