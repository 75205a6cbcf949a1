#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <string>

#include "autograd/statement.hpp"

// Elements chosen by integers, and in another order. Indices are any xtensor of integers, or a vector, span or
// list of them; negative ones count from the end. An index that is out of range throws IndexError.

namespace xtape {

/// Integer indices as a user gives them.
template <class I>
concept IndexTensor = XtensorExpression<I> && std::integral<typename I::value_type>;
template <class I>
concept IndexRange =
    !XtensorExpression<I> && std::ranges::sized_range<I> && std::integral<std::ranges::range_value_t<I>>;

/// Checked positions on an axis, counted from the front, row-major; they live on a tape.
struct Positions {
    const std::size_t* data;
    Shape shape;
};

namespace detail {

[[noreturn]] void throw_bad_index(const char* op, std::intmax_t index, std::size_t extent);

/// The position that an index names on an axis.
template <std::integral Index>
std::size_t checked_position(const char* op, Index index, std::size_t extent) {
    const auto position = static_cast<std::size_t>(index);  // of a negative one, modulo 2^64
    if (std::is_signed_v<Index> && index < Index(0)) {
        if (position + extent >= extent) throw_bad_index(op, static_cast<std::intmax_t>(index), extent);
        return position + extent;
    }
    if (position >= extent) throw_bad_index(op, static_cast<std::intmax_t>(index), extent);
    return position;
}

template <class T, class I>
Positions positions(const char* op, Tape<T>& tape, const I& indices, std::size_t extent) {
    Shape shape;
    if constexpr (XtensorExpression<I>)
        shape = Shape(indices.shape());
    else
        shape = Shape{std::ranges::size(indices)};
    auto* data = tape.template allocate_records<std::size_t>(element_count(shape));
    std::size_t* at = data;
    if constexpr (XtensorExpression<I>) {
        const auto end = indices.template end<xt::layout_type::row_major>();
        for (auto index = indices.template begin<xt::layout_type::row_major>(); index != end; ++index)
            *at++ = checked_position(op, *index, extent);
    } else {
        for (auto index : indices) *at++ = checked_position(op, index, extent);
    }
    return {data, shape};
}

template <class T>
Var<T> take(const Var<T>& x, const Positions& positions, std::size_t axis);
template <class T>
Var<T> take_along_axis(const Var<T>& x, const Positions& positions, std::size_t axis);

}  // namespace detail

/// The slices of x at the given positions of an axis; the axis is replaced by the axes of the indices. Of a matrix
/// and axis 0, rows: an embedding. A slice that is taken several times receives the sum of the gradients.
template <class T, class I>
requires(IndexTensor<I> || IndexRange<I>) Var<T> take(const Var<T>& x, const I& indices,
                                                      std::ptrdiff_t axis = 0) {
    const std::size_t along = resolve_axis("take", axis, x.rank());
    return detail::take(x, detail::positions("take", x.tape(), indices, x.shape()[along]), along);
}
template <class T, std::integral Index>
Var<T> take(const Var<T>& x, std::initializer_list<Index> indices, std::ptrdiff_t axis = 0) {
    return take<T, std::initializer_list<Index>>(x, indices, axis);
}

/// y[i, j, ...] = x[i, indices[i, j, ...], ...] for axis 1, and so on: one choice for each line along the axis. The
/// indices have x's shape but for that axis. An element that is chosen several times receives the sum of the gradients.
template <class T, IndexTensor I>
Var<T> take_along_axis(const Var<T>& x, const I& indices, std::ptrdiff_t axis) {
    const std::size_t along = resolve_axis("take_along_axis", axis, x.rank());
    return detail::take_along_axis(
        x, detail::positions("take_along_axis", x.tape(), indices, x.shape()[along]), along);
}

/// Axes run backwards; all of them for an empty list.
template <class T>
Var<T> flip(const Var<T>& x, const Axes& axes = {});

// The same of expressions, which become values first.
template <Tensor X, class I>
requires(IndexTensor<I> || IndexRange<I>) auto take(const X& x, const I& indices, std::ptrdiff_t axis = 0) {
    return take(as_var(x), indices, axis);
}
template <Tensor X, std::integral Index>
auto take(const X& x, std::initializer_list<Index> indices, std::ptrdiff_t axis = 0) {
    return take(as_var(x), indices, axis);
}
template <Tensor X, IndexTensor I>
auto take_along_axis(const X& x, const I& indices, std::ptrdiff_t axis) {
    return take_along_axis(as_var(x), indices, axis);
}
template <Tensor X>
auto flip(const X& x, const Axes& axes = {}) {
    return flip(as_var(x), axes);
}

}  // namespace xtape
