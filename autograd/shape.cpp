#include "autograd/shape.hpp"

#include "autograd/error.hpp"

namespace xtape {

template <class I, class Stored>
void PerAxis<I, Stored>::throw_too_many_axes() {
    throw ShapeError("[shape] a tensor has at most " + std::to_string(max_rank) + " axes");
}

template <class I, class Stored>
void PerAxis<I, Stored>::throw_too_long(I item) {
    throw ShapeError("[shape] an axis of extent " + std::to_string(item) + " is too long");
}

template class PerAxis<std::size_t, std::uint32_t>;
template class PerAxis<std::size_t>;
template class PerAxis<std::ptrdiff_t>;

std::string to_string(const Shape& shape) {
    std::string text = "(";
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (axis > 0) text += ", ";
        text += std::to_string(shape[axis]);
    }
    return text + (shape.size() == 1 ? ",)" : ")");
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
    if (a == b) return a;
    Shape result = a.size() >= b.size() ? a : b;
    const Shape& shorter = a.size() >= b.size() ? b : a;
    const std::size_t lead = result.size() - shorter.size();
    for (std::size_t axis = 0; axis < shorter.size(); ++axis) {
        const std::size_t extent = shorter[axis];
        if (extent == result[lead + axis] || extent == 1) continue;
        if (result[lead + axis] != 1) {
            throw ShapeError(std::string("[") + op + "] shapes " + to_string(a) + " and " + to_string(b) +
                             " do not broadcast: aligned at the last axis, extents must be equal or 1");
        }
        result.set(lead + axis, extent);
    }
    return result;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
    if (from.size() > to.size()) return false;
    const std::size_t lead = to.size() - from.size();
    for (std::size_t axis = 0; axis < from.size(); ++axis) {
        if (from[axis] != to[lead + axis] && from[axis] != 1) return false;
    }
    return true;
}

std::size_t resolve_axis(const char* op, std::ptrdiff_t axis, std::size_t rank) {
    const auto count = static_cast<std::ptrdiff_t>(rank);
    if (axis < -count || axis >= count) {
        throw IndexError(std::string("[") + op + "] axis " + std::to_string(axis) + " of a tensor with " +
                         std::to_string(rank) + " axes");
    }
    return static_cast<std::size_t>(axis < 0 ? axis + count : axis);
}

PerAxis<std::size_t> resolve_axes(const char* op, const Axes& axes, std::size_t rank) {
    std::array<bool, max_rank> chosen{};
    for (std::ptrdiff_t axis : axes) {
        bool& taken = chosen[resolve_axis(op, axis, rank)];
        if (taken)
            throw IndexError(std::string("[") + op + "] axis " + std::to_string(axis) + " given twice");
        taken = true;
    }
    PerAxis<std::size_t> result;
    for (std::size_t axis = 0; axis < rank; ++axis) {
        if (axes.empty() || chosen[axis]) result.push_back(axis);
    }
    return result;
}

Shape reduced_shape(const Shape& shape, const PerAxis<std::size_t>& axes, bool keepdims) {
    Shape result;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        const bool reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
        if (!reduced)
            result.push_back(shape[axis]);
        else if (keepdims)
            result.push_back(1);
    }
    return result;
}

Strides dense_strides(const Shape& shape) {
    Strides strides = Strides::filled(shape.size(), 1);
    for (std::size_t axis = shape.size(); axis-- > 1;) {
        strides.set(axis - 1, strides[axis] * static_cast<std::ptrdiff_t>(shape[axis]));
    }
    return strides;
}

bool is_dense(const Shape& shape, const Strides& strides) {
    std::ptrdiff_t expected = 1;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        if (shape[axis] != 1 && strides[axis] != expected) return element_count(shape) == 0;
        expected *= static_cast<std::ptrdiff_t>(shape[axis]);
    }
    return true;
}

Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& to) {
    Strides result = Strides::filled(to.size(), 0);
    const std::size_t lead = to.size() - shape.size();
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        result.set(lead + axis, shape[axis] == to[lead + axis] ? strides[axis] : 0);
    }
    return result;
}

std::optional<Strides> reshaped_strides(const Shape& shape, const Strides& strides, const Shape& to) {
    if (is_dense(shape, strides)) return dense_strides(to);

    // Walk both shapes in groups of axes that hold equally many elements; within a group of the old shape each
    // axis must continue the next one.
    Strides result = Strides::filled(to.size(), 0);
    std::size_t old_axis = 0;
    std::size_t new_axis = 0;
    while (old_axis < shape.size() && new_axis < to.size()) {
        std::size_t old_end = old_axis + 1;
        std::size_t new_end = new_axis + 1;
        std::size_t old_count = shape[old_axis];
        std::size_t new_count = to[new_axis];
        while (old_count != new_count) {
            if (old_count < new_count)
                old_count *= shape[old_end++];
            else
                new_count *= to[new_end++];
        }
        std::ptrdiff_t innermost = 0;
        std::ptrdiff_t expected = 0;
        for (std::size_t axis = old_end; axis-- > old_axis;) {
            if (shape[axis] == 1) continue;
            if (expected == 0)
                innermost = strides[axis];
            else if (strides[axis] != expected)
                return std::nullopt;
            expected = strides[axis] * static_cast<std::ptrdiff_t>(shape[axis]);
            if (strides[axis] == 0 && old_count != shape[axis]) return std::nullopt;
        }
        std::ptrdiff_t stride = innermost;
        for (std::size_t axis = new_end; axis-- > new_axis;) {
            result.set(axis, stride);
            stride *= static_cast<std::ptrdiff_t>(to[axis]);
        }
        old_axis = old_end;
        new_axis = new_end;
    }
    // What is left has extent 1 on either side; its stride is never used.
    return result;
}

}  // namespace xtape
