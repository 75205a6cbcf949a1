#include "autograd/softmax.hpp"

#include <algorithm>
#include <limits>

#include "autograd/kernels/kernels.hpp"
#include "autograd/reductions.hpp"
#include "autograd/strided.hpp"
#include "autograd/sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

// ---- any axes as rows -------------------------------------------------------------------------------------------

/// A tensor as a matrix of dense rows, each of which holds what is reduced together. Copied only if it doesn't lie
/// so already.
template <class T>
class GroupedRows {
public:
    GroupedRows(Tape<T>& tape, const Node<T>& x, const PerAxis<std::size_t>& axes)
        : pool_(tape.gradients()), data_(x.value), bytes_(x.size() * sizeof(T)) {
        const auto is_reduced = [&](std::size_t axis) {
            return std::find(axes.begin(), axes.end(), axis) != axes.end();
        };
        for (bool reduced : {false, true}) {
            for (std::size_t axis = 0; axis < x.shape.size(); ++axis) {
                if (is_reduced(axis) != reduced) continue;
                in_place_ = in_place_ && order_.size() == axis;
                order_.push_back(axis);
                shape_.push_back(x.shape[axis]);
                (reduced ? length_ : count_) *= x.shape[axis];
            }
        }
        in_place_ = in_place_ && x.is_dense();
        if (in_place_) return;
        copy_ = reinterpret_cast<T*>(pool_.allocate(bytes_));
        copy_strided<T>(shape_, x.value, in_order(x.full_strides()), copy_, dense_strides(shape_));
        data_ = copy_;
    }
    ~GroupedRows() {
        if (copy_ != nullptr) pool_.release(reinterpret_cast<std::byte*>(copy_), bytes_);
    }
    GroupedRows(const GroupedRows&) = delete;
    GroupedRows& operator=(const GroupedRows&) = delete;

    std::size_t count() const { return count_; }
    std::size_t length() const { return length_; }
    const T* row(std::size_t i) const { return data_ + i * length_; }

    /// Writes row_op(n, x, y) of each row to `value`, which lies as a dense tensor of x's shape.
    template <class RowOp>
    void map(const Shape& shape, T* value, RowOp row_op) {
        T* to = in_place_ ? value : copy_;
        for (std::size_t i = 0; i < count_; ++i) row_op(length_, row(i), to + i * length_);
        if (!in_place_)
            copy_strided<T>(shape_, copy_, dense_strides(shape_), value, in_order(dense_strides(shape)));
    }

private:
    Strides in_order(const Strides& strides) const {
        Strides result;
        for (std::size_t axis : order_) result.push_back(strides[axis]);
        return result;
    }

    Pool& pool_;
    const T* data_;
    T* copy_ = nullptr;
    std::size_t bytes_;
    std::size_t count_ = 1;
    std::size_t length_ = 1;
    bool in_place_ = true;
    PerAxis<std::size_t> order_;  // of x's axes: the kept ones, then the reduced ones
    Shape shape_;
};

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

template <class T>
constexpr Rule<T> logsumexp_rule{"logsumexp", &pull_logsumexp<T>};
template <class T>
constexpr Rule<T> softmax_rule{"softmax", &pull_softmax<T>};
template <class T>
constexpr Rule<T> log_softmax_rule{"log_softmax", &pull_log_softmax<T>};

template <class T, class RowOp>
Var<T> map_rows(const Rule<T>& rule, const Var<T>& x, const Axes& axes, RowOp row_op) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const Shape shape = from.shape;
    const auto reduced = resolve_axes(rule.name, axes, shape.size());
    T* value = tape.allocate(element_count(shape));
    GroupedRows<T>(tape, from, reduced).map(shape, value, row_op);
    return tape.record(rule, {x}, shape, value, tape.keep(reduced_shape(shape, reduced, true)));
}

}  // namespace

template <class T>
Var<T> logsumexp(const Var<T>& x, const Axes& axes, bool keepdims) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    const auto reduced = resolve_axes("logsumexp", axes, from.shape.size());
    const Shape kept = reduced_shape(from.shape, reduced, true);
    const Shape result = reduced_shape(from.shape, reduced, keepdims);
    T* value = tape.allocate(element_count(result));
    const GroupedRows<T> rows(tape, from, reduced);
    for (std::size_t i = 0; i < rows.count(); ++i) {
        value[i] = kernels<T>().logsumexp(rows.length(), rows.row(i));
    }
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
