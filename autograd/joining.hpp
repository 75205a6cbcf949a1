#pragma once

#include <initializer_list>
#include <ranges>
#include <span>
#include <utility>
#include <vector>

#include "autograd/statement.hpp"

// Tensors put together from others. Each element is copied once; so is its gradient, back.

namespace xtape {

/// A row of Vars: a vector, an array (as of split), a span.
template <class R>
concept VarRange = std::ranges::contiguous_range<R> && is_var<std::ranges::range_value_t<R>>;

/// What several tensors hold, one after the other along an axis. Throws ShapeError if they differ in any other
/// extent, or if there are none.
template <class T>
Var<T> concatenate(std::span<const Var<T>> xs, std::ptrdiff_t axis = 0);

/// Tensors of one shape along a new axis. Throws ShapeError if the shapes differ, or if there are none.
template <class T>
Var<T> stack(std::span<const Var<T>> xs, std::ptrdiff_t axis = 0);

/// How many elements to put before and after the elements of an axis.
struct PadWidth {
    std::size_t before = 0;
    std::size_t after = 0;
};

/// x surrounded by a constant; `widths` has an entry for each axis, or one for all.
template <class T>
Var<T> pad(const Var<T>& x, const std::vector<PadWidth>& widths, double number = 0);

/// Each element of an axis `count` times in a row: a, a, b, b, ...
template <class T>
Var<T> repeat(const Var<T>& x, std::size_t count, std::ptrdiff_t axis);

// The same of other row types and of expressions.
template <VarRange R>
auto concatenate(const R& xs, std::ptrdiff_t axis = 0) {
    using T = typename std::ranges::range_value_t<R>::value_type;
    return concatenate(std::span<const Var<T>>(std::ranges::data(xs), std::ranges::size(xs)), axis);
}
template <class T>
Var<T> concatenate(std::initializer_list<Var<T>> xs, std::ptrdiff_t axis = 0) {
    return concatenate(std::span<const Var<T>>(xs.begin(), xs.size()), axis);
}
template <VarRange R>
auto stack(const R& xs, std::ptrdiff_t axis = 0) {
    using T = typename std::ranges::range_value_t<R>::value_type;
    return stack(std::span<const Var<T>>(std::ranges::data(xs), std::ranges::size(xs)), axis);
}
template <class T>
Var<T> stack(std::initializer_list<Var<T>> xs, std::ptrdiff_t axis = 0) {
    return stack(std::span<const Var<T>>(xs.begin(), xs.size()), axis);
}
template <Tensor X>
auto pad(const X& x, const std::vector<PadWidth>& widths, double number = 0) {
    return pad(as_var(x), widths, number);
}
template <Tensor X>
auto repeat(const X& x, std::size_t count, std::ptrdiff_t axis) {
    return repeat(as_var(x), count, axis);
}

}  // namespace xtape
