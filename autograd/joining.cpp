#include "autograd/joining.hpp"

#include <algorithm>
#include <string>

#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// Copies x to where a part of a dense tensor begins.
template <class T>
void copy_to(Tape<T>& tape, const Node<T>& x, T* part, const Strides& part_strides) {
    const Strides strides = x.full_strides();
    if (x.shape.size() != 2 || strides[1] != 1 || part_strides[1] != 1) {
        tape.forbid_repeating();
        return copy_strided<T>(x.shape, x.value, strides, part, part_strides);
    }
    const auto run = [](const RawCall<T>& call, T* const* addresses, Part) {
        const auto& n = call.numbers;
        for (std::size_t row = 0; row < n[0]; ++row)
            std::copy_n(addresses[0] + row * n[2], n[1], addresses[1] + row * n[3]);
    };
    const std::size_t from = static_cast<std::size_t>(strides[0]),
                      to = static_cast<std::size_t>(part_strides[0]);
    tape.make_call({.run = run, .numbers = {x.shape[0], x.shape[1], from, to}}, x.value, part);
}

// All rules but that of pad keep the axis.

template <class T>
void pull_concatenate(Pull<T>& node) {
    const auto axis = node.template payload<std::size_t>();
    std::ptrdiff_t start = 0;
    for (std::size_t k = 0; k < node.node().input_count; ++k) {
        const std::ptrdiff_t stop = start + static_cast<std::ptrdiff_t>(node.input(k).shape()[axis]);
        if (node.wants(k))
            node.add(k, slice(node.gradient(), static_cast<std::ptrdiff_t>(axis), start, stop));
        start = stop;
    }
}
template <class T>
void pull_concatenate_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto axis = *static_cast<const std::size_t*>(node.payload);
    const Strides strides = dense_strides(node.shape);
    const T* part = sweep.gradient(index);
    for (const NodeIndex input : std::span(node.inputs, node.input_count)) {
        const Shape& shape = sweep.node(input).shape;
        if (sweep.wants(input)) sweep.add(input, shape, part, strides);
        part += static_cast<std::ptrdiff_t>(shape[axis]) * strides[axis];
    }
}
template <class T>
constexpr Rule<T> concatenate_rule{"concatenate", &pull_concatenate<T>, &pull_concatenate_values<T>,
                                   &same_payload<T>};

template <class T>
void pull_stack(Pull<T>& node) {
    const auto axis = static_cast<std::ptrdiff_t>(node.template payload<std::size_t>());
    for (std::size_t k = 0; k < node.node().input_count; ++k) {
        if (node.wants(k)) node.add(k, select(node.gradient(), axis, static_cast<std::ptrdiff_t>(k)));
    }
}
/// The same without a view for each of what may be thousands of steps.
template <class T>
void pull_stack_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto axis = *static_cast<const std::size_t*>(node.payload);
    Strides part = dense_strides(node.shape);
    const std::ptrdiff_t step = part[axis];
    part.erase(axis);
    const T* gradient = sweep.gradient(index);
    for (std::size_t k = 0; k < node.input_count; ++k, gradient += step) {
        const NodeIndex input = node.inputs[k];
        if (!sweep.wants(input)) continue;
        if (axis == 0 && sweep.lend(index, gradient - sweep.gradient(index), input)) {
            const std::size_t others = sweep.lend_on(std::span(node.inputs + k, node.input_count - k), step);
            k += others;
            gradient += static_cast<std::ptrdiff_t>(others) * step;
            continue;
        }
        sweep.make_node(input);
        sweep.add(input, sweep.node(input).shape, gradient, part);
    }
}
template <class T>
constexpr Rule<T> stack_rule{"stack", &pull_stack<T>, &pull_stack_values<T>};

/// The rule keeps the widths.
template <class T>
void pull_pad(Pull<T>& node) {
    const auto* widths = &node.template payload<PadWidth>();
    const Shape shape = node.input(0).shape();
    Var<T> inner = node.gradient();
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        const std::size_t start = widths[axis].before;
        inner = slice(inner, static_cast<std::ptrdiff_t>(axis), static_cast<std::ptrdiff_t>(start),
                      static_cast<std::ptrdiff_t>(start + shape[axis]));
    }
    node.add(0, inner);
}
template <class T>
constexpr Rule<T> pad_rule{"pad", &pull_pad<T>};

}  // namespace

template <class T>
Var<T> concatenate(std::span<const Var<T>> xs, std::ptrdiff_t axis) {
    if (xs.empty()) throw ShapeError("[concatenate] of no tensors");
    Tape<T>& tape = xs[0].tape();
    Shape shape = tape.node(xs[0]).shape;
    const std::size_t along = resolve_axis("concatenate", axis, shape.size());
    shape.set(along, 0);
    for (const Var<T>& x : xs) {
        Shape other = tape.node(x).shape;
        const std::size_t extent = along < other.size() ? other[along] : 0;
        if (along < other.size()) other.set(along, shape[along]);
        if (other != shape) {
            throw ShapeError("[concatenate] shapes " + to_string(xs[0].shape()) + " and " +
                             to_string(x.shape()) + " along axis " + std::to_string(along) +
                             ": the other extents must be equal");
        }
        shape.set(along, shape[along] + extent);
    }

    T* const value = tape.allocate(element_count(shape));
    const Strides strides = dense_strides(shape);
    T* part = value;
    for (const Var<T>& x : xs) {
        const Node<T>& from = tape.node(x);
        copy_to(tape, from, part, strides);
        part += static_cast<std::ptrdiff_t>(from.shape[along]) * strides[along];
    }
    return tape.record(concatenate_rule<T>, xs, shape, value, tape.keep(along));
}

template <class T>
Var<T> stack(std::span<const Var<T>> xs, std::ptrdiff_t axis) {
    if (xs.empty()) throw ShapeError("[stack] of no tensors");
    Tape<T>& tape = xs[0].tape();
    // Steps of a loop may be stacked without making nodes of them.
    auto* const inputs = tape.template allocate_records<NodeIndex>(xs.size());
    const Shape& each = tape.node(xs[0]).shape;
    const std::size_t size = element_count(each);
    for (std::size_t k = 0; k < xs.size(); ++k) inputs[k] = xs[k].index();
    bool in_place = true;  // what lies one after the other needs no copy
    const T* next = nullptr;
    for (std::size_t k = 0; k < xs.size();) {
        const std::size_t even = tape.even_steps(std::span(inputs + k, xs.size() - k));
        tape.check_even(xs.subspan(k, even));
        const Node<T>& x = tape.like(inputs[k]);
        if (&x.shape != &each && x.shape != each) {
            throw ShapeError("[stack] shapes " + to_string(each) + " and " + to_string(x.shape) +
                             ": all must be equal");
        }
        const T* const value = tape.value_at(inputs[k]);
        in_place = in_place && x.is_dense() && (k == 0 || value == next);
        if (even > 1) in_place = in_place && tape.value_at(inputs[k + 1]) == value + size;
        next = value + even * size;
        k += even;
    }
    const std::size_t along = resolve_axis("stack", axis, each.size() + 1);
    Shape shape = each;
    shape.insert(along, xs.size());
    const std::span<const NodeIndex> indices(inputs, xs.size());
    if (in_place && along == 0) {
        const Var<T> y =
            tape.record(stack_rule<T>, indices, shape, tape.value_at(inputs[0]), tape.keep(along));
        tape.node(y).shares_value = true;
        return y;
    }

    T* const copy = tape.allocate(element_count(shape));
    Strides strides = dense_strides(shape);
    const std::ptrdiff_t step = strides[along];
    strides.erase(along);
    T* part = copy;
    for (NodeIndex input : indices) {
        const Node<T>& x = tape.like(input);
        copy_strided<T>(x.shape, tape.value_at(input), x.full_strides(), part, strides);
        part += step;
    }
    return tape.record(stack_rule<T>, indices, shape, copy, tape.keep(along));
}

template <class T>
Var<T> pad(const Var<T>& x, const std::vector<PadWidth>& widths, double number) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const std::size_t rank = from.shape.size();
    if (widths.size() != rank && widths.size() != 1) {
        throw ShapeError("[pad] " + std::to_string(widths.size()) + " widths for shape " +
                         to_string(from.shape) + ": give one for each axis, or one for all");
    }
    auto* kept = tape.template allocate_records<PadWidth>(rank);
    Shape shape = from.shape;
    for (std::size_t axis = 0; axis < rank; ++axis) {
        kept[axis] = widths[widths.size() == 1 ? 0 : axis];
        shape.set(axis, shape[axis] + kept[axis].before + kept[axis].after);
    }
    const std::size_t count = element_count(shape);
    T* const value = tape.allocate(count);
    std::fill_n(value, count, static_cast<T>(number));
    const Strides strides = dense_strides(shape);
    T* inner = value;
    for (std::size_t axis = 0; axis < rank; ++axis) {
        inner += static_cast<std::ptrdiff_t>(kept[axis].before) * strides[axis];
    }
    copy_to(tape, from, inner, strides);
    return tape.record(pad_rule<T>, {x}, shape, value, kept);
}

template <class T>
Var<T> repeat(const Var<T>& x, std::size_t count, std::ptrdiff_t axis) {
    const std::size_t along = resolve_axis("repeat", axis, x.rank());
    Shape repeated = x.shape();
    repeated.insert(along + 1, count);
    Shape shape = x.shape();
    shape.set(along, shape[along] * count);
    return reshape_to(broadcast_to(unsqueeze(x, static_cast<std::ptrdiff_t>(along) + 1), repeated), shape);
}

#define XTAPE_INSTANTIATE(T)                                                  \
    template Var<T> concatenate(std::span<const Var<T>>, std::ptrdiff_t);     \
    template Var<T> stack(std::span<const Var<T>>, std::ptrdiff_t);           \
    template Var<T> pad(const Var<T>&, const std::vector<PadWidth>&, double); \
    template Var<T> repeat(const Var<T>&, std::size_t, std::ptrdiff_t);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
