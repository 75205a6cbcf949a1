#pragma once

#include <cstdint>

#include "autograd/node.hpp"
#include "autograd/xtensor.hpp"

namespace xtape {

template <class T>
class Tape;

/// A handle to a value on a tape: cheap to copy, valid until the tape is cleared or rewound past it. Using it
/// after that throws TapeError.
template <class T>
class Var {
public:
    using value_type = T;

    Var() = default;

    /// Records a statement: `Var<float> y = tanh(a) * b + c;` evaluates the whole expression in one loop and puts
    /// one node on the tape. Defined in statement.hpp.
    template <class E, class Arch = typename E::default_arch>
    requires(E::is_expression) Var(const E& expression);  // NOLINT(google-explicit-constructor)

    Tape<T>& tape() const;
    const Shape& shape() const { return node().shape; }
    std::size_t size() const { return node().size(); }
    std::size_t rank() const { return node().shape.size(); }
    /// The extent of an axis; negative axes count from the end.
    std::size_t extent(std::ptrdiff_t axis) const;

    /// The elements, as an xtensor that copies nothing and lives as long as the handle is valid.
    StridedTensorView<const T> value() const;
    /// The only element. Throws ShapeError if there are more.
    T item() const;

    /// The gradient that sweeps have left here: of a variable, a watched parameter or a retained value.
    /// Throws GradientError if there is none.
    TensorView<const T> grad() const;
    bool has_grad() const;
    bool needs_gradient() const { return node().needs_gradient; }

    /// Asks sweeps to keep this value's gradient for `grad()`.
    const Var& retain() const;

    /// Calls `hook(gradient)` with this value's complete gradient, a Var, in each sweep that reaches it. A hook that
    /// returns a Var of the same shape replaces the gradient.
    template <class F>
    void on_gradient(F&& hook) const;

    /// The t-th slice along the first axis, a view; t < 0 counts from the end.
    Var operator[](std::ptrdiff_t t) const;

    /// Whether the handle was ever given a value.
    explicit operator bool() const { return tape_ != nullptr; }
    NodeIndex index() const { return index_; }

private:
    friend class Tape<T>;
    template <class>
    friend class Steps;
    Var(Tape<T>* tape, NodeIndex index, std::uint32_t stamp) : tape_(tape), index_(index), stamp_(stamp) {}

    const Node<T>& node() const;

    Tape<T>* tape_ = nullptr;
    NodeIndex index_ = 0;
    std::uint32_t stamp_ = 0;
};

}  // namespace xtape
