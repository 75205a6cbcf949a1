#pragma once

#include "autograd/statement.hpp"

namespace xtape {

/// Σ over the given axes (all, if none are given); with keepdims they stay, with extent 1.
template <class T>
Var<T> sum(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

template <Tensor X>
auto sum(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return sum(as_var(x), axes, keepdims);
}

/// The way back from broadcasting: x summed over the axes along which `shape` was repeated. Throws ShapeError unless
/// `shape` broadcasts to x's.
template <class T>
Var<T> sum_to(const Var<T>& x, const Shape& shape);

}  // namespace xtape
