#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "autograd/statement.hpp"
#include "autograd/tape.hpp"

namespace xtape {

struct BackwardOptions {
    /// Gives the memory of values to gradients as the sweep passes: the peak is lower, but no further sweep can go
    /// over this tape; only Tape::clear is left.
    bool release_values = false;
};

/// Adds the gradient of `loss`, a scalar, to every parameter and variable that it depends on.
/// Throws GradientError if the loss has several elements or depends on nothing that wants a gradient. If anything
/// throws, a hook of the user's say, no gradient has changed.
template <class T>
void backward(const Var<T>& loss, BackwardOptions options = {});

template <Tensor X>
void backward(const X& loss, BackwardOptions options = {}) {
    backward(as_var(loss), options);
}

/// The same from the gradient `seed` of a value of any shape: adds Σ seed · ∂y. Throws ShapeError unless the
/// shapes are equal.
template <class T>
void backward(const Var<T>& y, const Var<T>& seed, BackwardOptions options = {});

template <class T>
struct GradOptions {
    /// The result is recorded, by the same rules, so that it can be differentiated again.
    bool create_graph = false;
    /// The gradient of y; an empty Var is 1, for a scalar y.
    Var<T> seed = {};
};

/// Gradients of y with regard to each x; zeros for an x that y doesn't depend on. Touches no parameter.
template <class T>
std::vector<Var<T>> grad(const Var<T>& y, std::span<const Var<T>> xs, const GradOptions<T>& options = {});
template <class T>
std::vector<Var<T>> grad(const Var<T>& y, std::initializer_list<Var<T>> xs,
                         const GradOptions<T>& options = {}) {
    return grad(y, std::span(xs.begin(), xs.size()), options);
}

template <class T>
std::vector<Var<T>> grad(const Var<T>& y, const std::vector<Var<T>>& xs, const GradOptions<T>& options = {}) {
    return grad(y, std::span<const Var<T>>(xs), options);
}

/// The value as a constant: no gradient passes.
template <class T>
Var<T> stop_gradient(const Var<T>& x);
template <Tensor X>
auto stop_gradient(const X& x) {
    return stop_gradient(as_var(x));
}

/// What a rule sees of the node whose gradient it hands on.
template <class T>
class Pull {
public:
    Pull(Tape<T>& tape, NodeIndex index, const Var<T>& gradient)
        : tape_(tape), node_(tape.at(index)), index_(index), gradient_(gradient) {}
    Pull(const Pull&) = delete;
    Pull& operator=(const Pull&) = delete;

    Tape<T>& tape() const { return tape_; }
    const Node<T>& node() const { return node_; }
    NodeIndex index() const { return index_; }
    template <class P>
    const P& payload() const {
        return *static_cast<const P*>(node_.payload);
    }

    /// The node's inputs, its value and its gradient.
    Var<T> input(std::size_t k) const { return tape_[node_.inputs[k]]; }
    Var<T> result() const { return tape_[index_]; }
    const Var<T>& gradient() const { return gradient_; }

    /// Whether input k wants a gradient.
    virtual bool wants(std::size_t k) const = 0;

    /// Adds to the gradient of input k. What is larger than the input is summed over the axes that the input was
    /// broadcast along; what is smaller is broadcast.
    virtual void add(std::size_t k, const Var<T>& contribution) = 0;
    /// An expression is added as it is computed, without being stored.
    template <Expression E>
    void add(std::size_t k, const E& contribution) {
        add_statement(k, statement_of(contribution));
    }

    /// Adds aᵀ dy, a M×K and dy M×N, to the gradient of input k. What many nodes add to the same matrix may be computed
    /// as one product.
    virtual void add_product(std::size_t k, const Var<T>& a, const Var<T>& dy);

protected:
    ~Pull() = default;
    virtual void add_statement(std::size_t k, const Statement<T>& contribution) = 0;

private:
    Tape<T>& tape_;
    const Node<T>& node_;
    NodeIndex index_;
    Var<T> gradient_;
};

}  // namespace xtape
