#pragma once

#include <cstddef>
#include <string_view>

#include "autograd/tape.hpp"

namespace xtape {

/// The multiplications of the matrix products in one value: M·N·K for (M, K)·(K, N), 0 for any other op.
template <class T>
std::size_t multiplications(Tape<T>& tape, NodeIndex index);

/// Those of all values on the tape, or of those that the named op ("matmul", "batched_matmul") made: what computing
/// them once, forward, costs.
template <class T>
std::size_t multiplications(Tape<T>& tape, std::string_view op = "");

}  // namespace xtape
