#include "autograd/views.hpp"

#include <algorithm>
#include <new>
#include <span>
#include <string>

#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"

namespace xtape {
namespace {

template <class T>
void pull_view(Pull<T>& node) {
    const auto& view = node.template payload<View>();
    if (node.wants(0)) node.add(0, place(node.gradient(), view, node.input(0).shape()));
}

/// Only runs for a view whose own gradient was asked for; see Sweep::gradient_owner.
template <class T>
void pull_view_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const NodeIndex base = node.inputs[0];
    const auto to = sweep.target(base);
    const auto seen = seen_through(*static_cast<const View*>(node.payload),
                                   {sweep.node(base).shape, to.strides, 0}, node.shape);
    add_strided(node.shape, sweep.gradient(index), dense_strides(node.shape), to.data + seen->offset,
                seen->strides);
}

/// The position of a step moves on, other views stay the same.
template <class T>
const void* later_view(const Node<T>& a, const Node<T>& b, std::ptrdiff_t steps, void* room) {
    static_assert(sizeof(View) <= payload_room);
    const auto& earlier = *static_cast<const View*>(a.payload);
    const auto& view = *static_cast<const View*>(b.payload);
    if (view == earlier) return b.payload;
    if (view.kind != View::Kind::select || earlier.kind != view.kind || view.axis != earlier.axis)
        return nullptr;
    const std::uint32_t start = view.start + static_cast<std::uint32_t>(steps) * (view.start - earlier.start);
    return new (room) View{.kind = view.kind, .axis = view.axis, .start = start};
}

template <class T>
constexpr Rule<T> view_rule(RuleName name) {
    return {name, &pull_view<T>, &pull_view_values<T>, &later_view<T>};
}
template <class T>
constexpr Rule<T> slice_rule = view_rule<T>("slice");
template <class T>
constexpr Rule<T> select_rule = view_rule<T>("select");
template <class T>
constexpr Rule<T> reshape_rule = view_rule<T>("reshape");
template <class T>
constexpr Rule<T> transpose_rule = view_rule<T>("transpose");
template <class T>
constexpr Rule<T> broadcast_rule = view_rule<T>("broadcast_to");

template <class T>
const Rule<T>& rule_of(View::Kind kind) {
    switch (kind) {
        case View::Kind::slice: return slice_rule<T>;
        case View::Kind::select: return select_rule<T>;
        case View::Kind::reshape: return reshape_rule<T>;
        case View::Kind::transpose: return transpose_rule<T>;
        case View::Kind::broadcast: break;
    }
    return broadcast_rule<T>;
}

template <class T>
Layout layout_of(const Node<T>& node) {
    return {node.shape, node.full_strides(), 0};
}

template <class T>
Var<T> record_view_of(const Var<T>& x, const View& view, const Layout& seen) {
    Tape<T>& tape = x.tape();
    return tape.record_view(rule_of<T>(view.kind), x, seen, tape.keep(view));
}

template <class T>
Var<T> view_of(const Var<T>& x, const View& view, const Shape& shape) {
    return record_view_of(x, view, *seen_through(view, layout_of(x.tape().node(x)), shape));
}

template <class T>
Var<T> transposed(const Var<T>& x, const View& view) {
    Shape shape = x.shape();
    for (std::size_t axis = 0; axis < shape.size(); ++axis) shape.set(axis, x.shape()[view.order[axis]]);
    return view_of(x, view, shape);
}

/// The way to every reshape; the numbers of elements are equal.
template <class T>
Var<T> reshaped(const Var<T>& x, const Shape& shape) {
    const View view{.kind = View::Kind::reshape};
    if (const auto seen = seen_through(view, layout_of(x.tape().node(x)), shape))
        return record_view_of(x, view, *seen);
    return view_of(contiguous(x), view, shape);
}

/// The product of the extents of these axes.
std::size_t extent_product(const Shape& shape, std::size_t begin, std::size_t end) {
    std::size_t count = 1;
    for (std::size_t axis = begin; axis < end; ++axis) count *= shape[axis];
    return count;
}

std::ptrdiff_t clipped_position(std::ptrdiff_t position, std::ptrdiff_t extent) {
    return std::clamp<std::ptrdiff_t>(position < 0 ? position + extent : position, 0, extent);
}

}  // namespace

std::optional<Layout> seen_through(const View& view, const Layout& base, const Shape& shape) {
    Layout seen{shape, base.strides, base.offset};
    switch (view.kind) {
        case View::Kind::slice:
            seen.offset += static_cast<std::ptrdiff_t>(view.start) * base.strides[view.axis];
            seen.strides.set(view.axis, base.strides[view.axis] * static_cast<std::ptrdiff_t>(view.step));
            break;
        case View::Kind::select:
            seen.offset += static_cast<std::ptrdiff_t>(view.start) * base.strides[view.axis];
            seen.strides.erase(view.axis);
            break;
        case View::Kind::reshape: {
            const auto strides = reshaped_strides(base.shape, base.strides, shape);
            if (!strides) return std::nullopt;
            seen.strides = *strides;
            break;
        }
        case View::Kind::transpose:
            for (std::size_t axis = 0; axis < shape.size(); ++axis) {
                seen.strides.set(axis, base.strides[view.order[axis]]);
            }
            break;
        case View::Kind::broadcast: seen.strides = broadcast_strides(base.shape, base.strides, shape); break;
    }
    return seen;
}

template <class T>
Var<T> slice(const Var<T>& x, std::ptrdiff_t axis, std::ptrdiff_t start, std::ptrdiff_t stop,
             std::ptrdiff_t step) {
    if (step < 1) {
        throw IndexError("[slice] step " + std::to_string(step) +
                         ": a view steps forward; flip turns an axis round");
    }
    Shape shape = x.shape();
    const std::size_t along = resolve_axis("slice", axis, shape.size());
    const auto extent = static_cast<std::ptrdiff_t>(shape[along]);
    const std::ptrdiff_t first = clipped_position(start, extent);
    const std::ptrdiff_t last = std::max(first, clipped_position(stop, extent));
    const std::ptrdiff_t length = last - first;
    shape.set(along, static_cast<std::size_t>(length / step + (length % step > 0)));
    const std::ptrdiff_t longest_step =
        std::max<std::ptrdiff_t>(extent, 1);  // beyond it they are all the same
    return view_of(x,
                   View{.kind = View::Kind::slice,
                        .axis = static_cast<std::uint8_t>(along),
                        .start = static_cast<std::uint32_t>(first),
                        .step = static_cast<std::uint32_t>(std::min(step, longest_step))},
                   shape);
}

template <class T>
Var<T> select(const Var<T>& x, std::ptrdiff_t axis, std::ptrdiff_t position) {
    Tape<T>& tape = x.tape();
    const Node<T>& base = tape.node(x);
    const std::size_t along = resolve_axis("select", axis, base.shape.size());
    const auto extent = static_cast<std::ptrdiff_t>(base.shape[along]);
    if (position < -extent || position >= extent) {
        throw IndexError("[select] position " + std::to_string(position) + " of an axis of extent " +
                         std::to_string(extent) + ", shape " + to_string(base.shape));
    }
    const auto start = static_cast<std::uint32_t>(position < 0 ? position + extent : position);
    if (along == 0 && base.is_dense()) {
        // A step of a sequence, by far the most frequent: it is dense as well.
        const Shape& shape = tape.distinct(Shape(std::span(base.shape).subspan(1)));
        const auto offset = static_cast<std::ptrdiff_t>(start * element_count(shape));
        // Made where it stays: a copy would read in one piece what was just written in three, which is slow.
        const View* view = new (tape.template allocate_records<View>(1))
            View{.kind = View::Kind::select, .axis = 0, .start = start};
        return tape.record_view(select_rule<T>, tape.keep(x.index()), shape, nullptr, offset, view);
    }
    Shape shape = base.shape;
    shape.erase(along);
    return view_of(
        x, View{.kind = View::Kind::select, .axis = static_cast<std::uint8_t>(along), .start = start}, shape);
}

template <class T>
void split_into(std::span<Var<T>> pieces, const Var<T>& x, std::ptrdiff_t axis) {
    Tape<T>& tape = x.tape();
    const Node<T>& base = tape.node(x);
    const std::size_t along = resolve_axis("split", axis, base.shape.size());
    const std::size_t extent = base.shape[along];
    if (pieces.empty() || extent % pieces.size() != 0) {
        throw ShapeError("[split] an axis of extent " + std::to_string(extent) + " into " +
                         std::to_string(pieces.size()) + " equal parts, shape " + to_string(base.shape));
    }
    const std::size_t width = extent / pieces.size();
    Shape piece_shape = base.shape;
    piece_shape.set(along, width);
    const Shape& shape = tape.distinct(piece_shape);
    const Strides* strides = nullptr;
    std::ptrdiff_t stride = 1;
    if (base.is_dense() && extent_product(base.shape, 0, along) == 1) {
        // So the pieces are dense as well.
        stride = static_cast<std::ptrdiff_t>(extent_product(base.shape, along + 1, base.shape.size()));
    } else {
        const Strides base_strides = base.full_strides();
        strides = tape.distinct(shape, base_strides);
        stride = base_strides[along];
    }
    const NodeIndex* input = tape.keep(x.index());
    View* views = tape.template allocate_records<View>(pieces.size());
    std::size_t start = 0;
    for (std::size_t k = 0; k < pieces.size(); ++k, start += width) {
        const View* view = new (views + k) View{.kind = View::Kind::slice,
                                                .axis = static_cast<std::uint8_t>(along),
                                                .start = static_cast<std::uint32_t>(start)};
        const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(start) * stride;
        pieces[k] = tape.record_view(slice_rule<T>, input, shape, strides, offset, view);
    }
}

template <class T>
std::vector<Var<T>> split(const Var<T>& x, std::size_t parts, std::ptrdiff_t axis) {
    std::vector<Var<T>> pieces(parts);
    split_into(std::span(pieces), x, axis);
    return pieces;
}

template <class T>
Var<T> reshape(const Var<T>& x, const PerAxis<std::ptrdiff_t>& shape) {
    const std::size_t count = x.size();
    Shape result;
    std::size_t known = 1;
    std::optional<std::size_t> open;
    for (std::ptrdiff_t extent : shape) {
        if (extent < -1 || (extent == -1 && open)) {
            throw ShapeError("[reshape] one extent may be -1, the others count elements");
        }
        if (extent == -1)
            open = result.size();
        else
            known *= static_cast<std::size_t>(extent);
        result.push_back(extent == -1 ? 1 : static_cast<std::size_t>(extent));
    }
    if (open && known > 0 && count % known == 0) result.set(*open, count / known);
    if (element_count(result) != count || (open && known == 0)) {
        throw ShapeError("[reshape] shape " + to_string(x.shape()) + " into " + to_string(result) +
                         ": the number of elements differs");
    }
    return reshaped(x, result);
}

template <class T>
Var<T> reshape_to(const Var<T>& x, const Shape& shape) {
    if (element_count(shape) != x.size()) {
        throw ShapeError("[reshape] shape " + to_string(x.shape()) + " into " + to_string(shape) +
                         ": the number of elements differs");
    }
    return reshaped(x, shape);
}

template <class T>
Var<T> transpose(const Var<T>& x, const Axes& order) {
    const Shape& base = x.shape();
    if (resolve_axes("transpose", order, base.size()).size() != base.size() || order.size() != base.size()) {
        throw ShapeError("[transpose] an order of " + std::to_string(order.size()) + " axes for shape " +
                         to_string(base));
    }
    View view{.kind = View::Kind::transpose};
    for (std::size_t axis = 0; axis < order.size(); ++axis) {
        view.order[axis] = static_cast<std::uint8_t>(resolve_axis("transpose", order[axis], base.size()));
    }
    return transposed(x, view);
}

template <class T>
Var<T> transpose(const Var<T>& x) {
    View view{.kind = View::Kind::transpose};
    const std::size_t rank = x.rank();
    for (std::size_t axis = 0; axis < rank; ++axis) view.order[axis] = static_cast<std::uint8_t>(axis);
    if (rank >= 2) std::swap(view.order[rank - 2], view.order[rank - 1]);
    return transposed(x, view);
}

template <class T>
Var<T> squeeze(const Var<T>& x, const Axes& axes) {
    Shape shape;
    const PerAxis<std::size_t> chosen = resolve_axes("squeeze", axes, x.rank());
    for (std::size_t axis = 0; axis < x.rank(); ++axis) {
        const bool drop = std::find(chosen.begin(), chosen.end(), axis) != chosen.end();
        const std::size_t extent = x.shape()[axis];
        if (drop && extent != 1 && !axes.empty()) {
            throw ShapeError("[squeeze] axis " + std::to_string(axis) + " has extent " +
                             std::to_string(extent) + ", shape " + to_string(x.shape()));
        }
        if (!drop || extent != 1) shape.push_back(extent);
    }
    return reshaped(x, shape);
}

template <class T>
Var<T> unsqueeze(const Var<T>& x, std::ptrdiff_t axis) {
    Shape shape = x.shape();
    shape.insert(resolve_axis("unsqueeze", axis, x.rank() + 1), 1);
    return reshaped(x, shape);
}

template <class T>
Var<T> broadcast_to(const Var<T>& x, const Shape& shape) {
    if (x.shape() == shape) return x;
    if (!broadcasts_to(x.shape(), shape)) {
        throw ShapeError("[broadcast_to] shape " + to_string(x.shape()) + " does not broadcast to " +
                         to_string(shape));
    }
    return view_of(x, View{.kind = View::Kind::broadcast}, shape);
}

template <class T>
Var<T> contiguous(const Var<T>& x) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    if (from.is_dense()) return x;
    const Shape shape = from.shape;
    T* value = tape.allocate(element_count(shape));
    copy_strided<T>(shape, from.value, from.full_strides(), value, dense_strides(shape));
    static constexpr Rule<T> rule{"contiguous", [](Pull<T>& node) { node.add(0, node.gradient()); }};
    return tape.record(rule, {x}, shape, value);
}

template <class T>
Var<T> place(const Var<T>& x, const View& view, const Shape& shape) {
    Tape<T>& tape = x.tape();
    T* value = tape.allocate(element_count(shape));
    std::fill_n(value, element_count(shape), T(0));
    const Layout seen = *seen_through(view, {shape, dense_strides(shape), 0}, x.shape());
    const Node<T>& from = tape.node(x);
    add_strided<T>(from.shape, from.value, from.full_strides(), value + seen.offset, seen.strides);
    static constexpr Rule<T> rule{
        "place", [](Pull<T>& node) {
            node.add(0, view_of(node.gradient(), node.template payload<View>(), node.input(0).shape()));
        }};
    return tape.record(rule, {x}, shape, value, tape.keep(view));
}

#define XTAPE_INSTANTIATE(T)                                                                              \
    template Var<T> slice(const Var<T>&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t); \
    template Var<T> select(const Var<T>&, std::ptrdiff_t, std::ptrdiff_t);                                \
    template void split_into(std::span<Var<T>>, const Var<T>&, std::ptrdiff_t);                           \
    template std::vector<Var<T>> split(const Var<T>&, std::size_t, std::ptrdiff_t);                       \
    template Var<T> reshape(const Var<T>&, const PerAxis<std::ptrdiff_t>&);                               \
    template Var<T> reshape_to(const Var<T>&, const Shape&);                                              \
    template Var<T> transpose(const Var<T>&);                                                             \
    template Var<T> transpose(const Var<T>&, const Axes&);                                                \
    template Var<T> squeeze(const Var<T>&, const Axes&);                                                  \
    template Var<T> unsqueeze(const Var<T>&, std::ptrdiff_t);                                             \
    template Var<T> broadcast_to(const Var<T>&, const Shape&);                                            \
    template Var<T> contiguous(const Var<T>&);                                                            \
    template Var<T> place(const Var<T>&, const View&, const Shape&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
