#pragma once

#include "autograd/sweep.hpp"

namespace xtape {

/// A walk over a tape from its end that computes gradients as Vars, recorded on the same tape by the same rules: for
/// derivatives of derivatives. Returns the gradient of y (seeded with `seed`) with regard to each x.
template <class T>
std::vector<Var<T>> graph_sweep(const Var<T>& y, const Var<T>& seed, std::span<const Var<T>> xs);

}  // namespace xtape
