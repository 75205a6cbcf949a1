#pragma once

#include "autograd/statement.hpp"

// Sums, means, variances and extremes over axes. An empty list of axes means all of them; with keepdims the reduced
// axes stay, with extent 1. Axes out of range or given twice throw IndexError.

namespace xtape {

/// Σx. The gradient of each element is dy; the sum of nothing is 0. Long sums are added blockwise.
template <class T>
Var<T> sum(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

/// Σx / n. The gradient of each element is dy / n; the mean of nothing is NaN.
template <class T>
Var<T> mean(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

/// Σ(x - mean(x))² / (n - ddof), from deviations, so that a large mean costs no digits. dx = dy 2(x - mean(x)) / (n - ddof).
/// As NumPy's, it divides by n unless told otherwise, and is NaN if n <= ddof.
template <class T>
Var<T> var(const Var<T>& x, const Axes& axes = {}, bool keepdims = false, std::size_t ddof = 0);

/// The largest element; NaN if there is one. Where several are equal they share the gradient evenly. Throws ShapeError
/// over nothing.
template <class T>
Var<T> max(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

/// The smallest element; as max.
template <class T>
Var<T> min(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

/// The way back from broadcasting: x summed over the axes along which `shape` was repeated. Throws ShapeError unless
/// `shape` broadcasts to x's.
template <class T>
Var<T> sum_to(const Var<T>& x, const Shape& shape);

// The same of expressions, which become values first.
template <Tensor X>
auto sum(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return sum(as_var(x), axes, keepdims);
}
template <Tensor X>
auto mean(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return mean(as_var(x), axes, keepdims);
}
template <Tensor X>
auto var(const X& x, const Axes& axes = {}, bool keepdims = false, std::size_t ddof = 0) {
    return var(as_var(x), axes, keepdims, ddof);
}
template <Tensor X>
auto max(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return max(as_var(x), axes, keepdims);
}
template <Tensor X>
auto min(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return min(as_var(x), axes, keepdims);
}

}  // namespace xtape
