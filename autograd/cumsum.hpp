#pragma once

#include "autograd/statement.hpp"

namespace xtape {

/// y_k = x_0 + ... + x_k along an axis. dx_k = dy_k + ... + dy_n, the same sum from the other end.
template <class T>
Var<T> cumsum(const Var<T>& x, std::ptrdiff_t axis);

template <Tensor X>
auto cumsum(const X& x, std::ptrdiff_t axis) {
    return cumsum(as_var(x), axis);
}

}  // namespace xtape
