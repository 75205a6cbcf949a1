#pragma once

#include <vector>

#include "autograd/pack.hpp"

namespace bench {

/// Numbers for any contender, aligned as the strictest of them wants it.
template <class T>
using Buffer = std::vector<T, xsimd::aligned_allocator<T, 64>>;

}  // namespace bench
