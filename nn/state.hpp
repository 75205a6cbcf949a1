#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "autograd/autograd.hpp"

// What a cell hands from one step to the next: a Var, or a struct of up to four Vars of which one is called h, the
// output.

namespace xtape::nn {

/// Zeros, that no gradient is wanted for.
template <class T>
Var<T> zeros(Tape<T>& tape, const Shape& shape) {
    T* const elements = tape.allocate(element_count(shape));
    std::fill_n(elements, element_count(shape), T(0));
    return tape.borrow(shape, elements);
}

/// What a step puts out.
template <class State>
const auto& output_of(const State& state) {
    if constexpr (is_var<State>)
        return state;
    else
        return state.h;
}

namespace detail {

/// Stands for a Var when members are counted.
struct AnyVar {
    template <class T>
    operator Var<T>() const;  // NOLINT(google-explicit-constructor)
};

}  // namespace detail

/// How many Vars a state consists of.
template <class State>
constexpr std::size_t var_count() {
    using detail::AnyVar;
    if constexpr (is_var<State>)
        return 1;
    else if constexpr (requires { State{AnyVar(), AnyVar(), AnyVar(), AnyVar()}; })
        return 4;
    else if constexpr (requires { State{AnyVar(), AnyVar(), AnyVar()}; })
        return 3;
    else if constexpr (requires { State{AnyVar(), AnyVar()}; })
        return 2;
    else
        return 1;
}

/// The Vars of a state, in the order of its members.
template <class State>
auto vars_of(const State& state) {
    if constexpr (is_var<State>) {
        return std::array{state};
    } else if constexpr (var_count<State>() == 1) {
        const auto& [a] = state;
        return std::array{a};
    } else if constexpr (var_count<State>() == 2) {
        const auto& [a, b] = state;
        return std::array{a, b};
    } else if constexpr (var_count<State>() == 3) {
        const auto& [a, b, c] = state;
        return std::array{a, b, c};
    } else {
        const auto& [a, b, c, d] = state;
        return std::array{a, b, c, d};
    }
}

/// The state whose k-th Var is var(k).
template <class State, class F>
State state_of(F&& var) {
    if constexpr (is_var<State>) {
        return var(0);
    } else {
        return [&]<std::size_t... K>(std::index_sequence<K...>) { return State{var(K)...}; }
        (std::make_index_sequence<var_count<State>()>{});
    }
}

/// A state by value: what carries it from one life of a tape to the next, as truncated BPTT does from window to
/// window. The gradient ends there. After the first window nothing is allocated.
///
///     nn::CarriedState<nn::LSTMCell<float>::State> carried;
///     for (...) {
///         const auto [outputs, last] = unroll(cell, xs, carried);  // starts where the last window ended
///         ...
///         tape.clear();
///     }
template <class State>
class CarriedState {
public:
    using Element = typename std::remove_cvref_t<decltype(output_of(std::declval<State>()))>::value_type;

    bool empty() const { return empty_; }

    /// The next sequence starts from its cell's initial state.
    void forget() { empty_ = true; }

    /// Copies the values.
    void keep(const State& state) {
        const auto vars = vars_of(state);
        for (std::size_t k = 0; k < vars.size(); ++k) {
            const Var<Element> dense = contiguous(vars[k]);
            const Node<Element>& node = dense.tape().node(dense);
            arrays_[k].resize(node.shape);
            std::copy_n(node.value, node.size(), arrays_[k].data());
        }
        empty_ = false;
    }

    /// The state as constants on a tape. Throws TapeError if nothing was kept.
    State on(Tape<Element>& tape) const {
        if (empty_) throw TapeError("[CarriedState] nothing was kept: start from the cell's initial_state");
        return state_of<State>([&](std::size_t k) { return tape.constant(arrays_[k]); });
    }

private:
    std::array<Array<Element>, var_count<State>()> arrays_;
    bool empty_ = true;
};

namespace detail {

/// The part of each cell that isn't an equation: x must be (B, inputs) and every Var of the state (B, hidden).
template <class T, class State>
void check_step(const char* cell, const Var<T>& x, std::size_t inputs, const State& state,
                std::size_t hidden) {
    const Shape& shape = x.shape();
    bool fits = shape.size() == 2 && shape[1] == inputs;
    for (const Var<T>& var : vars_of(state)) {
        const Shape& of_state = var.shape();
        fits = fits && of_state.size() == 2 && of_state[0] == shape[0] && of_state[1] == hidden;
    }
    if (fits) return;
    std::string message =
        std::string("[") + cell + "] an input of shape " + to_string(shape) + " and a state of shape";
    for (const Var<T>& var : vars_of(state)) message += " " + to_string(var.shape());
    throw ShapeError(message + ": expected (B, " + std::to_string(inputs) + ") and (B, " +
                     std::to_string(hidden) + ")");
}

}  // namespace detail

}  // namespace xtape::nn
