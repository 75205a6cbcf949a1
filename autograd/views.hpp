#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "autograd/statement.hpp"

// Views: the same elements, seen in another shape. Nothing is copied, neither the value nor the gradient.

namespace xtape {

/// Elements start, start + step, ... before stop of an axis, counted as NumPy does: negative positions from the end,
/// positions past the end cut off. Throws IndexError for a step below 1 (see flip).
template <class T>
Var<T> slice(const Var<T>& x, std::ptrdiff_t axis, std::ptrdiff_t start,
             std::ptrdiff_t stop = std::numeric_limits<std::ptrdiff_t>::max(), std::ptrdiff_t step = 1);

/// The elements at one position of an axis, which disappears. Throws IndexError if there is no such position.
template <class T>
Var<T> select(const Var<T>& x, std::ptrdiff_t axis, std::ptrdiff_t position);

/// `parts` equal pieces along an axis. Throws ShapeError if the extent isn't a multiple of it.
template <std::size_t parts, class T>
std::array<Var<T>, parts> split(const Var<T>& x, std::ptrdiff_t axis = -1);
template <class T>
std::vector<Var<T>> split(const Var<T>& x, std::size_t parts, std::ptrdiff_t axis = -1);

/// The same elements, row-major, in another shape; in the first form one extent may be -1 and is worked out. Copies only if strides
/// can't express it. Throws ShapeError if the number of elements differs.
template <class T>
Var<T> reshape(const Var<T>& x, const PerAxis<std::ptrdiff_t>& shape);
template <class T>
Var<T> reshape_to(const Var<T>& x, const Shape& shape);

/// Axes in another order; without one, the last two swapped, as of a matrix (or a stack of them).
template <class T>
Var<T> transpose(const Var<T>& x);
template <class T>
Var<T> transpose(const Var<T>& x, const Axes& order);

/// Without the axes of extent 1; all of them for an empty list. Throws ShapeError for another extent.
template <class T>
Var<T> squeeze(const Var<T>& x, const Axes& axes = {});

/// With a new axis of extent 1 at the given position of the result.
template <class T>
Var<T> unsqueeze(const Var<T>& x, std::ptrdiff_t axis);

/// Repeated along new axes in front and axes of extent 1. Throws ShapeError if the shape doesn't broadcast.
template <class T>
Var<T> broadcast_to(const Var<T>& x, const Shape& shape);

/// The pieces, as many as there is room for.
template <class T>
void split_into(std::span<Var<T>> pieces, const Var<T>& x, std::ptrdiff_t axis);

template <std::size_t parts, class T>
std::array<Var<T>, parts> split(const Var<T>& x, std::ptrdiff_t axis) {
    std::array<Var<T>, parts> pieces;
    split_into(std::span<Var<T>>(pieces), x, axis);
    return pieces;
}

// The same of expressions, which become values first.
template <Tensor X>
auto slice(const X& x, std::ptrdiff_t axis, std::ptrdiff_t start,
           std::ptrdiff_t stop = std::numeric_limits<std::ptrdiff_t>::max(), std::ptrdiff_t step = 1) {
    return slice(as_var(x), axis, start, stop, step);
}
template <Tensor X>
auto select(const X& x, std::ptrdiff_t axis, std::ptrdiff_t position) {
    return select(as_var(x), axis, position);
}
template <std::size_t parts, Tensor X>
requires(!is_var<X>) auto split(const X& x, std::ptrdiff_t axis = -1) {
    return split<parts>(as_var(x), axis);
}
template <Tensor X>
auto reshape(const X& x, const PerAxis<std::ptrdiff_t>& shape) {
    return reshape(as_var(x), shape);
}
template <Tensor X>
auto transpose(const X& x) {
    return transpose(as_var(x));
}
template <Tensor X>
auto transpose(const X& x, const Axes& order) {
    return transpose(as_var(x), order);
}
template <Tensor X>
auto squeeze(const X& x, const Axes& axes = {}) {
    return squeeze(as_var(x), axes);
}
template <Tensor X>
auto unsqueeze(const X& x, std::ptrdiff_t axis) {
    return unsqueeze(as_var(x), axis);
}
template <Tensor X>
auto broadcast_to(const X& x, const Shape& shape) {
    return broadcast_to(as_var(x), shape);
}

/// x itself if its elements lie row-major without gaps, else a copy that does.
template <class T>
Var<T> contiguous(const Var<T>& x);

/// How a view looks at its base, kept so that a gradient can be looked at the same way.
struct View {
    enum class Kind : std::uint8_t { slice, select, reshape, transpose, broadcast } kind;
    std::uint8_t axis = 0;                          // slice, select
    std::uint32_t start = 0;                        // slice, select
    std::uint32_t step = 1;                         // slice
    std::array<std::uint8_t, max_rank> order = {};  // transpose

    friend bool operator==(const View&, const View&) = default;
};

/// One of the equal parts, along its last axis, that a tensor was split into; of 0 parts if it is no such part.
struct Piece {
    std::size_t number = 0;
    std::size_t count = 0;
};
inline constexpr std::size_t max_pieces = 8;

/// What the view `node` is of its base, which has axes.
template <class T>
Piece piece_of_split(const Node<T>& node, const Node<T>& base) {
    if (node.payload == nullptr || node.shape.empty()) return {};
    const auto& view = *static_cast<const View*>(node.payload);
    const std::size_t width = node.shape.back(), whole = base.shape.back();
    if (view.kind != View::Kind::slice || view.step != 1 || view.axis + 1u != node.shape.size() ||
        width < 2 || whole % width != 0 || view.start % width != 0 || whole == width ||
        whole > max_pieces * width) {
        return {};
    }
    return {view.start / width, whole / width};
}

/// What the view, of the given shape, shows of a base that lies so; nothing where strides can't express it, which can
/// only happen to a reshape.
std::optional<Layout> seen_through(const View& view, const Layout& base, const Shape& shape);

/// Zeros of `shape`, with x added where the view looks: the way back through a view. The gradient is the view again.
template <class T>
Var<T> place(const Var<T>& x, const View& view, const Shape& shape);

}  // namespace xtape
