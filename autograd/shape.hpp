#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <string>

namespace xtape {

inline constexpr std::size_t max_rank = 8;

/// Up to max_rank numbers, one for each axis, kept in place as `Stored`.
template <class I, class Stored = I>
class PerAxis {
public:
    PerAxis() = default;

    PerAxis(std::initializer_list<I> items) {
        for (I item : items) push_back(item);
    }

    template <std::ranges::input_range R>
    requires(!std::same_as<std::remove_cvref_t<R>, PerAxis> &&
             std::integral<std::ranges::range_value_t<R>>) explicit PerAxis(const R& items) {
        for (auto item : items) push_back(static_cast<I>(item));
    }

    static PerAxis filled(std::size_t count, I item) {
        PerAxis result;
        for (std::size_t axis = 0; axis < count; ++axis) result.push_back(item);
        return result;
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    I operator[](std::size_t axis) const { return items_[axis]; }
    I back() const { return items_[size_ - 1u]; }
    const Stored* begin() const { return items_.data(); }
    const Stored* end() const { return items_.data() + size_; }

    /// Throws ShapeError if the number doesn't fit.
    void set(std::size_t axis, I item) { items_[axis] = narrowed(item); }
    /// Throws ShapeError beyond max_rank axes.
    void push_back(I item) {
        if (size_ == max_rank) throw_too_many_axes();
        items_[size_++] = narrowed(item);
    }
    void insert(std::size_t axis, I item) {
        push_back(item);
        std::rotate(items_.begin() + axis, items_.begin() + size_ - 1, items_.begin() + size_);
    }
    void erase(std::size_t axis) {
        std::copy(items_.begin() + axis + 1, items_.begin() + size_, items_.begin() + axis);
        --size_;
    }

    friend bool operator==(const PerAxis& a, const PerAxis& b) {
        if (a.size_ != b.size_) return false;
        for (std::size_t axis = 0; axis < a.size_; ++axis) {
            if (a.items_[axis] != b.items_[axis]) return false;
        }
        return true;
    }

private:
    static Stored narrowed(I item) {
        const auto stored = static_cast<Stored>(item);
        if (static_cast<I>(stored) != item) throw_too_long(item);
        return stored;
    }
    [[noreturn]] static void throw_too_many_axes();
    [[noreturn]] static void throw_too_long(I item);

    std::array<Stored, max_rank> items_{};
    std::uint32_t size_ = 0;
};

/// Extents, of up to 2^32 - 1 elements each.
using Shape = PerAxis<std::size_t, std::uint32_t>;
using Strides = PerAxis<std::ptrdiff_t>;

/// Axes as users give them: negative ones count from the end, an empty list means all.
using Axes = PerAxis<std::ptrdiff_t>;

/// The number of elements: the product of the extents, 1 for a scalar.
inline std::size_t element_count(const Shape& shape) {
    std::size_t count = 1;
    for (std::size_t extent : shape) count *= extent;
    return count;
}

/// "(16, 4, 64)"
std::string to_string(const Shape& shape);

/// The shape that NumPy broadcasting gives; throws ShapeError, starting with `[op]`, when there is none.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// An axis counted from the front; throws IndexError, starting with `[op]`, if it isn't one of `rank`.
std::size_t resolve_axis(const char* op, std::ptrdiff_t axis, std::size_t rank);

/// The given axes, or all of them for an empty list, in ascending order, each once.
PerAxis<std::size_t> resolve_axes(const char* op, const Axes& axes, std::size_t rank);

/// `shape` with the given (resolved, ascending) axes set to 1, or dropped.
Shape reduced_shape(const Shape& shape, const PerAxis<std::size_t>& axes, bool keepdims);

/// Where the elements of a tensor lie: element (i, j, ...) is at offset + i * strides[0] + j * strides[1] + ...
/// Strides and offset count elements; a stride of 0 repeats.
struct Layout {
    Shape shape;
    Strides strides;
    std::ptrdiff_t offset = 0;

    friend bool operator==(const Layout&, const Layout&) = default;
};

/// Row-major strides.
Strides dense_strides(const Shape& shape);

/// Whether the elements lie row-major without gaps.
bool is_dense(const Shape& shape, const Strides& strides);

/// The strides of a tensor read as if it had the larger shape: 0 along each axis that is broadcast.
Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& to);

/// The same elements in another shape, if strides can say so without moving them.
std::optional<Strides> reshaped_strides(const Shape& shape, const Strides& strides, const Shape& to);

}  // namespace xtape
