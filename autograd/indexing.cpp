#include "autograd/indexing.hpp"

#include <algorithm>

#include "autograd/rows.hpp"
#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// What the rules of take, take_along_axis and their ways back keep.
struct Chosen {
    Positions positions;
    std::size_t axis;
    Shape shape;  // of the tensor that is chosen from
};

/// How far apart neighbours on an axis lie, and the tensor without that axis.
struct Slices {
    std::ptrdiff_t step;
    Shape shape;
    Strides strides;

    Slices(const Shape& whole, const Strides& whole_strides, std::size_t axis)
        : step(whole_strides[axis]), shape(whole), strides(whole_strides) {
        shape.erase(axis);
        strides.erase(axis);
    }
};

// ---- take -------------------------------------------------------------------------------------------------------

/// The result's layout with the axes of the indices merged into one.
Slices merged_slices(const Chosen& chosen) {
    Shape merged = chosen.shape;
    merged.set(chosen.axis, element_count(chosen.positions.shape));
    return {merged, dense_strides(merged), chosen.axis};
}

struct BySlices {
    static constexpr const char* take_name = "take";
    static constexpr const char* add_name = "add_at";

    /// y[.., k, ..] = x[.., positions[k], ..]
    template <class T>
    static void take(const Chosen& chosen, const T* x, const Strides& x_strides, T* y) {
        const Slices from(chosen.shape, x_strides, chosen.axis);
        const Slices to = merged_slices(chosen);
        for (std::size_t k = 0; k < element_count(chosen.positions.shape); ++k, y += to.step) {
            copy_strided<T>(from.shape, x + static_cast<std::ptrdiff_t>(chosen.positions.data[k]) * from.step,
                            from.strides, y, to.strides);
        }
    }

    /// dx[.., positions[k], ..] += dy[.., k, ..]
    template <class T>
    static void add(const Chosen& chosen, const T* dy, T* dx, const Strides& dx_strides) {
        const Slices to(chosen.shape, dx_strides, chosen.axis);
        const Slices from = merged_slices(chosen);
        for (std::size_t k = 0; k < element_count(chosen.positions.shape); ++k, dy += from.step) {
            add_strided<T>(to.shape, dy, from.strides,
                           dx + static_cast<std::ptrdiff_t>(chosen.positions.data[k]) * to.step, to.strides);
        }
    }
};

// ---- take_along_axis --------------------------------------------------------------------------------------------

/// Calls visit(i, at): i the i-th element of the result, `at` where it was chosen from.
template <class Visit>
void walk_chosen(const Chosen& chosen, const Strides& x_strides, Visit visit) {
    const std::ptrdiff_t step = x_strides[chosen.axis];
    Strides others = x_strides;
    others.set(chosen.axis, 0);
    Rows<1> rows(chosen.positions.shape);
    rows.add(others);
    rows.merge();
    if (rows.empty()) return;
    std::size_t i = 0;
    do {
        std::ptrdiff_t at = rows.offset(0);
        for (std::size_t k = 0; k < rows.row_length(); ++k, ++i, at += rows.inner_stride(0)) {
            visit(i, at + static_cast<std::ptrdiff_t>(chosen.positions.data[i]) * step);
        }
    } while (rows.next());
}

struct ByElements {
    static constexpr const char* take_name = "take_along_axis";
    static constexpr const char* add_name = "add_along_axis";

    template <class T>
    static void take(const Chosen& chosen, const T* x, const Strides& x_strides, T* y) {
        walk_chosen(chosen, x_strides, [&](std::size_t i, std::ptrdiff_t at) { y[i] = x[at]; });
    }
    template <class T>
    static void add(const Chosen& chosen, const T* dy, T* dx, const Strides& dx_strides) {
        walk_chosen(chosen, dx_strides, [&](std::size_t i, std::ptrdiff_t at) { dx[at] += dy[i]; });
    }
};

// ---- rules ------------------------------------------------------------------------------------------------------
// Choosing and adding back are each other's derivative.

template <class How, class T>
Var<T> added_back(const Var<T>& x, const Chosen& chosen);

template <class How, class T>
void pull_taken(Pull<T>& node) {
    node.add(0, added_back<How>(node.gradient(), node.template payload<Chosen>()));
}

/// Straight into the input's gradient.
template <class How, class T>
void pull_taken_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto target = sweep.target(node.inputs[0]);
    How::add(*static_cast<const Chosen*>(node.payload), sweep.gradient(index), target.data, target.strides);
}

template <class How, class T>
Var<T> taken(const Var<T>& x, const Chosen& chosen, const Shape& result) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    T* value = tape.allocate(element_count(result));
    How::take(chosen, static_cast<const T*>(from.value), from.full_strides(), value);
    static constexpr Rule<T> rule{How::take_name, &pull_taken<How, T>, &pull_taken_values<How, T>};
    return tape.record(rule, {x}, result, value, tape.keep(chosen));
}

/// Zeros of the shape that was chosen from, to which x is added back.
template <class How, class T>
Var<T> added_back(const Var<T>& x, const Chosen& chosen) {
    Tape<T>& tape = x.tape();
    const std::size_t count = element_count(chosen.shape);
    T* value = tape.allocate(count);
    std::fill_n(value, count, T(0));
    const Var<T> dense = contiguous(x);
    How::add(chosen, static_cast<const T*>(tape.node(dense).value), value, dense_strides(chosen.shape));
    static constexpr Rule<T> rule{How::add_name, [](Pull<T>& node) {
                                      const auto& kept = node.template payload<Chosen>();
                                      node.add(0, taken<How>(node.gradient(), kept, node.input(0).shape()));
                                  }};
    return tape.record(rule, {dense}, chosen.shape, value, tape.keep(chosen));
}

// ---- flip -------------------------------------------------------------------------------------------------------

/// The rule keeps the axes. Turning round twice changes nothing.
template <class T>
Var<T> flipped(const Var<T>& x, const PerAxis<std::size_t>& axes) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const T* last = from.value;
    Strides strides = from.full_strides();
    const std::size_t count = from.size();
    for (std::size_t axis : axes) {
        if (count > 0) last += static_cast<std::ptrdiff_t>(from.shape[axis] - 1) * strides[axis];
        strides.set(axis, -strides[axis]);
    }
    T* value = tape.allocate(count);
    copy_strided<T>(from.shape, last, strides, value, dense_strides(from.shape));
    static constexpr Rule<T> rule{"flip", [](Pull<T>& node) {
                                      const auto& turned = node.template payload<PerAxis<std::size_t>>();
                                      node.add(0, flipped(node.gradient(), turned));
                                  }};
    return tape.record(rule, {x}, from.shape, value, tape.keep(axes));
}

}  // namespace

namespace detail {

void throw_bad_index(const char* op, std::intmax_t index, std::size_t extent) {
    throw IndexError(std::string("[") + op + "] index " + std::to_string(index) + " for an axis of extent " +
                     std::to_string(extent));
}

template <class T>
Var<T> take(const Var<T>& x, const Positions& positions, std::size_t axis) {
    const Shape shape = x.shape();
    Shape result;
    for (std::size_t k = 0; k < axis; ++k) result.push_back(shape[k]);
    for (std::size_t extent : positions.shape) result.push_back(extent);
    for (std::size_t k = axis + 1; k < shape.size(); ++k) result.push_back(shape[k]);
    return taken<BySlices>(x, {positions, axis, shape}, result);
}

template <class T>
Var<T> take_along_axis(const Var<T>& x, const Positions& positions, std::size_t axis) {
    const Shape shape = x.shape();
    Shape expected = positions.shape;
    if (axis < expected.size()) expected.set(axis, shape[axis]);
    if (expected != shape) {
        throw ShapeError("[take_along_axis] indices of shape " + to_string(positions.shape) + " for shape " +
                         to_string(shape) + ": all extents but that of axis " + std::to_string(axis) +
                         " must be equal");
    }
    return taken<ByElements>(x, {positions, axis, shape}, positions.shape);
}

}  // namespace detail

template <class T>
Var<T> flip(const Var<T>& x, const Axes& axes) {
    return flipped(x, resolve_axes("flip", axes, x.rank()));
}

#define XTAPE_INSTANTIATE(T)                                                               \
    template Var<T> detail::take(const Var<T>&, const Positions&, std::size_t);            \
    template Var<T> detail::take_along_axis(const Var<T>&, const Positions&, std::size_t); \
    template Var<T> flip(const Var<T>&, const Axes&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
