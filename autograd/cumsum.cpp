#include "autograd/cumsum.hpp"

#include "autograd/strided.hpp"
#include "autograd/sweep.hpp"

namespace xtape {
namespace {

struct Direction {
    std::size_t axis;
    bool from_end;
};

template <class T>
Var<T> accumulated(const Var<T>& x, Direction direction) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const Shape shape = from.shape;
    const std::size_t extent = shape[direction.axis];
    T* const value = tape.allocate(element_count(shape));
    copy_strided<T>(shape, from.value, from.full_strides(), value, dense_strides(shape));

    // Slice by slice: each adds its neighbour, which is complete by then.
    const Strides strides = dense_strides(shape);
    const std::ptrdiff_t step = strides[direction.axis];
    Shape slice = shape;
    Strides slice_strides = strides;
    slice.erase(direction.axis);
    slice_strides.erase(direction.axis);
    for (std::size_t k = 1; k < extent; ++k) {
        const auto at = static_cast<std::ptrdiff_t>(direction.from_end ? extent - 1 - k : k);
        const std::ptrdiff_t before = direction.from_end ? at + 1 : at - 1;
        add_strided<T>(slice, value + before * step, slice_strides, value + at * step, slice_strides);
    }
    static constexpr Rule<T> rule{"cumsum", [](Pull<T>& node) {
                                      const auto [axis, from_end] = node.template payload<Direction>();
                                      node.add(0, accumulated(node.gradient(), {axis, !from_end}));
                                  }};
    return tape.record(rule, {x}, shape, value, tape.keep(direction));
}

}  // namespace

template <class T>
Var<T> cumsum(const Var<T>& x, std::ptrdiff_t axis) {
    return accumulated(x, {resolve_axis("cumsum", axis, x.rank()), false});
}

template Var<float> cumsum(const Var<float>&, std::ptrdiff_t);
template Var<double> cumsum(const Var<double>&, std::ptrdiff_t);

}  // namespace xtape
