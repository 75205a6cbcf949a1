#include "autograd/softmax.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "autograd/kernels/kernels.hpp"
#include "autograd/reductions.hpp"
#include "autograd/strided.hpp"
#include "autograd/sweep.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

// ---- any axes as rows -------------------------------------------------------------------------------------------

/// A tensor's axes in another order: the kept ones, then the reduced ones, so that what is reduced together is a row.
class Grouping {
public:
    /// An axis is reduced where `kept` says 1.
    Grouping(const Shape& shape, const Shape& kept) {
        for (bool reduced : {false, true}) {
            for (std::size_t axis = 0; axis < shape.size(); ++axis) {
                if ((kept[axis] != shape[axis]) != reduced) continue;
                order_.push_back(axis);
                shape_.push_back(shape[axis]);
                (reduced ? length_ : count_) *= shape[axis];
            }
        }
    }

    std::size_t count() const { return count_; }
    std::size_t length() const { return length_; }
    const Shape& shape() const { return shape_; }
    Strides operator()(const Strides& strides) const {
        Strides result;
        for (std::size_t axis : order_) result.push_back(strides[axis]);
        return result;
    }
    /// Whether the rows of such a tensor lie dense, one after the other.
    bool are_rows(const Strides& strides) const { return is_dense(shape_, (*this)(strides)); }

private:
    std::size_t count_ = 1;
    std::size_t length_ = 1;
    PerAxis<std::size_t> order_;
    Shape shape_;
};

/// The rows of a tensor; copied only if they don't lie dense already.
template <class T>
class GroupedRows {
public:
    GroupedRows(Pool& pool, const Grouping& grouping, const T* data, const Strides& strides)
        : length_(grouping.length()), data_(data) {
        if (grouping.are_rows(strides)) return;
        copy_.emplace(pool, grouping.count() * length_);
        copy_strided<T>(grouping.shape(), data, grouping(strides), copy_->data(),
                        dense_strides(grouping.shape()));
        data_ = copy_->data();
    }

    const T* operator[](std::size_t i) const { return data_ + i * length_; }

private:
    std::size_t length_;
    const T* data_;
    std::optional<Pooled<T>> copy_;
};

/// Has write(i, first, row) write the rows of a tensor, or add to them if this isn't the first contribution.
template <class T, class Write>
void write_rows(Pool& pool, const Grouping& grouping, T* data, const Strides& strides, bool first,
                Write write) {
    const std::size_t count = grouping.count(), length = grouping.length();
    if (grouping.are_rows(strides)) {
        for (std::size_t i = 0; i < count; ++i) write(i, first, data + i * length);
        return;
    }
    const Pooled<T> rows(pool, count * length);
    for (std::size_t i = 0; i < count; ++i) write(i, true, rows.data() + i * length);
    put_strided<T>(first, grouping.shape(), rows.data(), dense_strides(grouping.shape()), data,
                   grouping(strides));
}

// ---- rules ------------------------------------------------------------------------------------------------------
// Each keeps the shape with the reduced axes at 1.

template <class T>
void pull_logsumexp(Pull<T>& node) {
    const auto& kept = node.template payload<Shape>();
    const Var<T> y = reshape_to(node.result(), kept);
    const Var<T> dy = reshape_to(node.gradient(), kept);
    // The bound keeps x - y from being -inf - -inf.
    node.add(0, dy * exp(node.input(0) - maximum(y, std::numeric_limits<T>::lowest())));
}

template <class T>
void pull_softmax(Pull<T>& node) {
    const Var<T> y = node.result();
    const Var<T> dy = node.gradient();
    const Var<T> common = sum_to(Var<T>(dy * y), node.template payload<Shape>());
    node.add(0, y * (dy - common));
}

template <class T>
void pull_log_softmax(Pull<T>& node) {
    const Var<T> dy = node.gradient();
    node.add(0, dy - exp(node.result()) * sum_to(dy, node.template payload<Shape>()));
}

// The same as loops over rows, straight into the input's gradient.

template <class T, class Write>
void pull_rows(Sweep<T>& sweep, NodeIndex index, const Grouping& grouping, Write write) {
    bool first = false;
    const auto target = sweep.fresh_target(index, sweep.node(index).inputs[0], first);
    write_rows(sweep.tape().gradients(), grouping, target.data, target.strides, first, write);
}

template <class T>
Grouping grouping_of(const Sweep<T>& sweep, const Node<T>& node) {
    return {sweep.node(node.inputs[0]).shape, *static_cast<const Shape*>(node.payload)};
}

template <class T>
void pull_logsumexp_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const Node<T>& from = sweep.node(node.inputs[0]);
    const Grouping grouping = grouping_of(sweep, node);
    const GroupedRows<T> x(sweep.tape().gradients(), grouping, from.value, from.full_strides());
    const T* const dy = sweep.gradient(index);
    pull_rows(sweep, index, grouping, [&](std::size_t i, bool first, T* dx) {
        kernels<T>().pull_logsumexp(grouping.length(), x[i], node.value[i], dy[i], first, dx);
    });
}

template <class T>
void pull_values(Sweep<T>& sweep, NodeIndex index,
                 void (*loop)(std::size_t, const T* y, const T* dy, bool first, T* dx)) {
    const Node<T>& node = sweep.node(index);
    const Grouping grouping = grouping_of(sweep, node);
    Pool& pool = sweep.tape().gradients();
    const GroupedRows<T> y(pool, grouping, node.value, dense_strides(node.shape));
    const GroupedRows<T> dy(pool, grouping, sweep.gradient(index), dense_strides(node.shape));
    pull_rows(sweep, index, grouping,
              [&](std::size_t i, bool first, T* dx) { loop(grouping.length(), y[i], dy[i], first, dx); });
}
template <class T>
void pull_softmax_values(Sweep<T>& sweep, NodeIndex index) {
    pull_values(sweep, index, kernels<T>().pull_softmax);
}
template <class T>
void pull_log_softmax_values(Sweep<T>& sweep, NodeIndex index) {
    pull_values(sweep, index, kernels<T>().pull_log_softmax);
}

template <class T>
constexpr Rule<T> logsumexp_rule{"logsumexp", &pull_logsumexp<T>, &pull_logsumexp_values<T>};
template <class T>
constexpr Rule<T> softmax_rule{"softmax", &pull_softmax<T>, &pull_softmax_values<T>};
template <class T>
constexpr Rule<T> log_softmax_rule{"log_softmax", &pull_log_softmax<T>, &pull_log_softmax_values<T>};

// ---- values -----------------------------------------------------------------------------------------------------

template <class T>
Var<T> map_rows(const Rule<T>& rule, const Var<T>& x, const Axes& axes,
                void (*loop)(std::size_t, const T* x, T* y)) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const Shape shape = from.shape;
    const Shape kept = reduced_shape(shape, resolve_axes(rule.name, axes, shape.size()), true);
    const Grouping grouping(shape, kept);
    T* value = tape.allocate(element_count(shape));
    const GroupedRows<T> rows(tape.gradients(), grouping, from.value, from.full_strides());
    write_rows(tape.gradients(), grouping, value, dense_strides(shape), true,
               [&](std::size_t i, bool, T* y) { loop(grouping.length(), rows[i], y); });
    return tape.record(rule, {x}, shape, value, tape.keep(kept));
}

}  // namespace

template <class T>
Var<T> logsumexp(const Var<T>& x, const Axes& axes, bool keepdims) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const auto reduced = resolve_axes("logsumexp", axes, from.shape.size());
    const Shape kept = reduced_shape(from.shape, reduced, true);
    const Shape result = reduced_shape(from.shape, reduced, keepdims);
    const Grouping grouping(from.shape, kept);
    T* value = tape.allocate(grouping.count());
    const GroupedRows<T> rows(tape.gradients(), grouping, from.value, from.full_strides());
    for (std::size_t i = 0; i < grouping.count(); ++i)
        value[i] = kernels<T>().logsumexp(grouping.length(), rows[i]);
    return tape.record(logsumexp_rule<T>, {x}, result, value, tape.keep(kept));
}

template <class T>
Var<T> softmax(const Var<T>& x, const Axes& axes) {
    return map_rows(softmax_rule<T>, x, axes, kernels<T>().softmax);
}

template <class T>
Var<T> log_softmax(const Var<T>& x, const Axes& axes) {
    return map_rows(log_softmax_rule<T>, x, axes, kernels<T>().log_softmax);
}

#define XTAPE_INSTANTIATE(T)                                     \
    template Var<T> logsumexp(const Var<T>&, const Axes&, bool); \
    template Var<T> softmax(const Var<T>&, const Axes&);         \
    template Var<T> log_softmax(const Var<T>&, const Axes&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
