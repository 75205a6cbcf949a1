#include "autograd/reductions.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "autograd/kernels/kernels.hpp"
#include "autograd/rows.hpp"
#include "autograd/strided.hpp"
#include "autograd/sweep.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// What the rules of all reductions keep: the shape with the reduced axes at 1, and what a sum is divided by.
struct Reduced {
    Shape kept;
    double divisor = 1;
};

/// A reduction's gradient in the shape that broadcasts over the input.
template <class T>
Var<T> kept_gradient(const Pull<T>& node) {
    return reshape_to(node.gradient(), node.template payload<Reduced>().kept);
}

std::size_t reduced_count(const Shape& shape, const PerAxis<std::size_t>& axes) {
    std::size_t count = 1;
    for (std::size_t axis : axes) count *= shape[axis];
    return count;
}

// ---- sums -------------------------------------------------------------------------------------------------------

// A tape has one copy of each shape and of strides, so that calls of two steps can be compared by the copies' addresses.

template <class R>
std::size_t as_number(const R& copy) {
    return reinterpret_cast<std::size_t>(&copy);
}
template <class R>
const R& copy_at(std::size_t number) {
    return *reinterpret_cast<const R*>(number);
}
/// Null stands for dense ones.
std::size_t number_of(const Strides* copy) { return reinterpret_cast<std::size_t>(copy); }
Strides strides_at(std::size_t number, const Shape& shape) {
    return number == 0 ? dense_strides(shape) : copy_at<Strides>(number);
}

/// Σx over the axes along which `kept` is 1, or so much of it for each element, in new memory.
template <class T>
T* sum_elements(Tape<T>& tape, const Node<T>& from, const Shape& kept, std::size_t divisor = 1) {
    const auto run = [](const RawCall<T>& call, T* const* addresses, Part) {
        const auto& n = call.numbers;
        const auto &shape = copy_at<Shape>(n[0]), &to = copy_at<Shape>(n[1]);
        const std::size_t count = element_count(to);
        std::fill_n(addresses[1], count, T(0));
        add_strided<T>(shape, addresses[0], strides_at(n[2], shape), addresses[1],
                       broadcast_strides(to, dense_strides(to), shape));
        if (n[3] == 1) return;
        for (std::size_t i = 0; i < count; ++i) addresses[1][i] /= static_cast<T>(n[3]);
    };
    T* const value = tape.allocate(element_count(kept));
    tape.make_call({.run = run,
                    .numbers = {as_number(from.shape), as_number(tape.distinct(kept)),
                                number_of(from.strides), divisor}},
                   from.value, value);
    return value;
}

/// The gradient of a sum is the gradient of the result, repeated: which Pull::add does by itself once the reduced axes
/// are back; that of a mean is a share of it.
template <class T>
void pull_sum(Pull<T>& node) {
    node.add(0, kept_gradient(node));
}
template <class T>
void pull_mean(Pull<T>& node) {
    node.add(0, kept_gradient(node) / node.template payload<Reduced>().divisor);
}

/// Both, straight into the input's gradient.
template <class T>
void pull_share_values(Sweep<T>& sweep, NodeIndex index) {
    Tape<T>& tape = sweep.tape();
    const Node<T>& node = sweep.node(index);
    const Node<T>& input = sweep.node(node.inputs[0]);
    const auto& [kept, divisor] = *static_cast<const Reduced*>(node.payload);
    const T* const dy = sweep.gradient(index);
    const Pooled<T> share(tape.gradients(), node.size());
    bool first = false;
    const auto target = sweep.fresh_target(index, node.inputs[0], first);

    const auto run = [](const RawCall<T>& call, T* const* addresses, Part) {
        const auto& n = call.numbers;
        const auto &shape = copy_at<Shape>(n[0]), &from = copy_at<Shape>(n[1]);
        const std::size_t count = element_count(from);
        for (std::size_t i = 0; i < count; ++i) addresses[1][i] = addresses[0][i] / static_cast<T>(n[3]);
        put_strided<T>(n[4] != 0, shape, addresses[1], broadcast_strides(from, dense_strides(from), shape),
                       addresses[2], strides_at(n[2], shape));
    };
    const RawCall<T> call{.run = run,
                          .numbers = {as_number(input.shape), as_number(tape.distinct(kept)),
                                      number_of(tape.distinct(input.shape, target.strides)),
                                      static_cast<std::size_t>(divisor), first}};
    T* const addresses[] = {const_cast<T*>(dy), share.data(), target.data};
    call.run(call, addresses, {});
    if (tape.log() == nullptr) return;
    tape.log()->add_fixed(share.data());
    tape.log()->add(call, {addresses[0], addresses[1], addresses[2]});
}

template <class T>
constexpr Rule<T> sum_rule{"sum", &pull_sum<T>, &pull_share_values<T>, &same_payload<T>};
template <class T>
constexpr Rule<T> mean_rule{"mean", &pull_mean<T>, &pull_share_values<T>, &same_payload<T>};

template <class T>
Var<T> sum_over(const Var<T>& x, const PerAxis<std::size_t>& axes, const Shape& result) {
    Tape<T>& tape = x.tape();
    const Shape kept = reduced_shape(x.shape(), axes, true);
    T* value = sum_elements(tape, tape.node(x), kept);
    return tape.record(sum_rule<T>, {x}, result, value, tape.keep(Reduced{kept}));
}

template <class T>
constexpr Rule<T> var_rule{"var", [](Pull<T>& node) {
                               const auto& [kept, divisor] = node.template payload<Reduced>();
                               const Var<T> x = node.input(0);
                               const double n =
                                   static_cast<double>(x.size()) / static_cast<double>(element_count(kept));
                               const Var<T> center = sum_to(x, kept) / n;
                               node.add(0, kept_gradient(node) * (2 / divisor) * (x - center));
                           }};

// ---- extremes ---------------------------------------------------------------------------------------------------

/// The equal elements that were chosen share the gradient. A NaN that was chosen receives it.
template <class T>
void pull_extreme(Pull<T>& node) {
    const Shape& kept = node.template payload<Reduced>().kept;
    const Var<T> x = node.input(0);
    const Var<T> y = reshape_to(node.result(), kept);
    const Var<T> chosen = x == y || x != x;
    const Var<T> share = kept_gradient(node) / sum_to(chosen, kept);
    node.add(0, where(chosen, share, 0));
}

template <class Op, class T>
constexpr Rule<T> extreme_rule{std::is_same_v<Op, op::Maximum> ? "max" : "min", &pull_extreme<T>};

template <class Op, class T>
T choose(T a, T b) {
    return Op::value(Scalar<T>(a), Scalar<T>(b)).value;
}

template <class Op, class T>
void choose_strided(const Shape& shape, const T* x, const Strides& x_strides, T* best,
                    const Strides& best_strides) {
    constexpr bool is_max = std::is_same_v<Op, op::Maximum>;
    const Kernels<T>& loops = kernels<T>();
    const auto choose_row = is_max ? loops.max : loops.min;
    const auto choose_each = is_max ? loops.max_each : loops.min_each;
    Rows<2> rows(shape);
    rows.add(x_strides);
    rows.add(best_strides);
    rows.merge();
    if (rows.empty()) return;
    do {
        const T* from = x + rows.offset(0);
        T* to = best + rows.offset(1);
        const std::size_t n = rows.row_length();
        if (rows.inner_stride(0) == 1 && rows.inner_stride(1) == 0) {
            *to = choose_row(n, from, *to);
        } else if (rows.inner_stride(0) == 1 && rows.inner_stride(1) == 1) {
            choose_each(n, from, to);
        } else {
            for (std::size_t i = 0; i < n; ++i, from += rows.inner_stride(0), to += rows.inner_stride(1)) {
                *to = choose<Op>(*to, *from);
            }
        }
    } while (rows.next());
}

template <class Op, class T>
Var<T> extreme(const Var<T>& x, const Axes& axes, bool keepdims, T start) {
    const char* name = extreme_rule<Op, T>.name;
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const auto reduced = resolve_axes(name, axes, from.shape.size());
    const Shape kept = reduced_shape(from.shape, reduced, true);
    const std::size_t count = element_count(kept);
    if (count > 0 && reduced_count(from.shape, reduced) == 0) {
        throw ShapeError(std::string("[") + name + "] of no elements, shape " + to_string(from.shape));
    }
    T* value = tape.allocate(count);
    std::fill_n(value, count, start);
    choose_strided<Op, T>(from.shape, from.value, from.full_strides(), value,
                          broadcast_strides(kept, dense_strides(kept), from.shape));
    return tape.record(extreme_rule<Op, T>, {x}, reduced_shape(from.shape, reduced, keepdims), value,
                       tape.keep(Reduced{kept}));
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

template <class T>
Var<T> mean(const Var<T>& x, const Axes& axes, bool keepdims) {
    Tape<T>& tape = x.tape();
    const Shape shape = x.shape();
    const auto reduced = resolve_axes("mean", axes, shape.size());
    const Shape kept = reduced_shape(shape, reduced, true);
    const std::size_t n = reduced_count(shape, reduced);
    T* value = sum_elements(tape, tape.node(x), kept, n);
    return tape.record(mean_rule<T>, {x}, reduced_shape(shape, reduced, keepdims), value,
                       tape.keep(Reduced{kept, static_cast<double>(n)}));
}

template <class T>
Var<T> var(const Var<T>& x, const Axes& axes, bool keepdims, std::size_t ddof) {
    Tape<T>& tape = x.tape();
    const Shape shape = x.shape();
    const auto reduced = resolve_axes("var", axes, shape.size());
    const Shape kept = reduced_shape(shape, reduced, true);
    const std::size_t n = reduced_count(shape, reduced);
    const double divisor = n > ddof ? static_cast<double>(n - ddof) : 0;
    const std::size_t count = element_count(kept);
    T* value = tape.allocate(count);
    std::fill_n(value, count, T(0));
    {
        NoRecording values_only(tape);
        const Var<T> deviation_from = mean(x, axes, true);
        accumulate_statement(statement_of(square(x - deviation_from)), kept, dense_strides(kept), value);
    }
    for (std::size_t i = 0; i < count; ++i) {
        value[i] = divisor > 0 ? value[i] / static_cast<T>(divisor) : std::numeric_limits<T>::quiet_NaN();
    }
    return tape.record(var_rule<T>, {x}, reduced_shape(shape, reduced, keepdims), value,
                       tape.keep(Reduced{kept, divisor}));
}

template <class T>
Var<T> max(const Var<T>& x, const Axes& axes, bool keepdims) {
    return extreme<op::Maximum>(x, axes, keepdims, -std::numeric_limits<T>::infinity());
}

template <class T>
Var<T> min(const Var<T>& x, const Axes& axes, bool keepdims) {
    return extreme<op::Minimum>(x, axes, keepdims, std::numeric_limits<T>::infinity());
}

#define XTAPE_INSTANTIATE(T)                                            \
    template Var<T> sum(const Var<T>&, const Axes&, bool);              \
    template Var<T> sum_to(const Var<T>&, const Shape&);                \
    template Var<T> mean(const Var<T>&, const Axes&, bool);             \
    template Var<T> var(const Var<T>&, const Axes&, bool, std::size_t); \
    template Var<T> max(const Var<T>&, const Axes&, bool);              \
    template Var<T> min(const Var<T>&, const Axes&, bool);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
