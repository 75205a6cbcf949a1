#pragma once

#include "autograd/statement.hpp"

// Sums of exponentials that neither overflow nor lose what is small: the largest element is taken off first.
// An empty list of axes means all of them, taken together.

namespace xtape {

/// log Σ exp(x). dx = dy exp(x - y); -inf over nothing, and over nothing but -inf, where the gradient is 0.
template <class T>
Var<T> logsumexp(const Var<T>& x, const Axes& axes = {}, bool keepdims = false);

/// exp(x) / Σ exp(x). dx = y (dy - Σ dy y).
template <class T>
Var<T> softmax(const Var<T>& x, const Axes& axes = {-1});

/// x - log Σ exp(x). dx = dy - exp(y) Σ dy.
template <class T>
Var<T> log_softmax(const Var<T>& x, const Axes& axes = {-1});

// The same of expressions, which become values first.
template <Tensor X>
auto logsumexp(const X& x, const Axes& axes = {}, bool keepdims = false) {
    return logsumexp(as_var(x), axes, keepdims);
}
template <Tensor X>
auto softmax(const X& x, const Axes& axes = {-1}) {
    return softmax(as_var(x), axes);
}
template <Tensor X>
auto log_softmax(const X& x, const Axes& axes = {-1}) {
    return log_softmax(as_var(x), axes);
}

}  // namespace xtape
