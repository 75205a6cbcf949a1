#include "autograd/reductions.hpp"

#include <algorithm>

#include "autograd/strided.hpp"
#include "autograd/sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// The gradient of a sum is the gradient of the result, repeated: which Pull::add does by itself once the reduced axes
/// are back.
template <class T>
void pull_sum(Pull<T>& node) {
    node.add(0, reshape_to(node.gradient(), node.template payload<Shape>()));
}
template <class T>
constexpr Rule<T> sum_rule{"sum", &pull_sum<T>};

template <class T>
Var<T> sum_over(const Var<T>& x, const PerAxis<std::size_t>& axes, const Shape& result) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const Shape kept = reduced_shape(from.shape, axes, true);
    T* value = tape.allocate(element_count(result));
    std::fill_n(value, element_count(result), T(0));
    add_strided<T>(from.shape, from.value, from.full_strides(), value,
                   broadcast_strides(kept, dense_strides(kept), from.shape));
    return tape.record(sum_rule<T>, {x}, result, value, tape.keep(kept));
}

}  // namespace

template <class T>
Var<T> sum(const Var<T>& x, const Axes& axes, bool keepdims) {
    const auto reduced = resolve_axes("sum", axes, x.rank());
    return sum_over(x, reduced, reduced_shape(x.shape(), reduced, keepdims));
}

template <class T>
Var<T> sum_to(const Var<T>& x, const Shape& shape) {
    if (x.shape() == shape) return x;
    if (!broadcasts_to(shape, x.shape())) {
        throw ShapeError("[sum_to] shape " + to_string(x.shape()) + " is not what " + to_string(shape) +
                         " broadcasts to");
    }
    PerAxis<std::size_t> axes;
    const std::size_t lead = x.rank() - shape.size();
    for (std::size_t axis = 0; axis < x.rank(); ++axis) {
        if (axis < lead || shape[axis - lead] != x.shape()[axis]) axes.push_back(axis);
    }
    return sum_over(x, axes, shape);
}

#define XTAPE_INSTANTIATE(T)                               \
    template Var<T> sum(const Var<T>&, const Axes&, bool); \
    template Var<T> sum_to(const Var<T>&, const Shape&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
