#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"
#include "nn/array_list.hpp"

// What a cell hands from one step to the next: a Var, or a struct of up to four Vars of which one is called h, the
// output. The state of several layers is a struct or a vector of such states.

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

/// Stands for a member when these are counted.
struct AnyMember {
    template <class M>
    operator M() const;  // NOLINT(google-explicit-constructor)
};

template <class State>
constexpr std::size_t member_count() {
    using M = AnyMember;
    if constexpr (requires { State{M(), M(), M(), M()}; })
        return 4;
    else if constexpr (requires { State{M(), M(), M()}; })
        return 3;
    else if constexpr (requires { State{M(), M()}; })
        return 2;
    else
        return 1;
}

/// use(a, b, ...) with the members of a struct.
template <class State, class F>
auto with_members(const State& state, F&& use) {
    constexpr std::size_t count = member_count<State>();
    if constexpr (count == 1) {
        const auto& [a] = state;
        return use(a);
    } else if constexpr (count == 2) {
        const auto& [a, b] = state;
        return use(a, b);
    } else if constexpr (count == 3) {
        const auto& [a, b, c] = state;
        return use(a, b, c);
    } else {
        const auto& [a, b, c, d] = state;
        return use(a, b, c, d);
    }
}

}  // namespace detail

/// How many Vars the state of a cell consists of.
template <class State>
constexpr std::size_t var_count() {
    if constexpr (is_var<State>)
        return 1;
    else
        return detail::member_count<State>();
}

/// The Vars of the state of a cell, in the order of its members.
template <class State>
auto vars_of(const State& state) {
    if constexpr (is_var<State>)
        return std::array{state};
    else
        return detail::with_members(state, [](const auto&... vars) { return std::array{vars...}; });
}

/// The same state with change(var) in place of each Var, for the state of a cell or of several layers.
template <class State, class F>
State map_state(const State& state, F&& change) {
    if constexpr (is_var<State>) {
        return change(state);
    } else if constexpr (std::ranges::range<State>) {
        State changed = state;
        for (auto& part : changed) part = map_state(part, change);
        return changed;
    } else {
        return detail::with_members(state,
                                    [&](const auto&... parts) { return State{map_state(parts, change)...}; });
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

namespace detail {

template <class State>
auto any_var(const State& state) {
    if constexpr (is_var<State>)
        return state;
    else if constexpr (std::ranges::range<State>)
        return any_var(*std::ranges::begin(state));
    else
        return with_members(state, [](const auto& part, const auto&...) { return any_var(part); });
}

}  // namespace detail

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
    using Element = typename decltype(detail::any_var(std::declval<State>()))::value_type;

    bool empty() const { return arrays_.empty(); }

    /// The next sequence starts from its cell's initial state.
    void forget() {
        if (!empty()) spare_ = std::exchange(arrays_, {});
    }

    /// Copies the values.
    void keep(const State& state) {
        if (empty()) arrays_.swap(spare_);
        std::size_t count = 0;
        form_ = map_state(state, [&](const Var<Element>& var) {
            if (arrays_.size() == count) arrays_.emplace_back();
            const Var<Element> dense = contiguous(var);
            const Node<Element>& node = dense.tape().node(dense);
            arrays_[count].resize(node.shape);
            std::copy_n(node.value, node.size(), arrays_[count].data());
            ++count;
            return var;
        });
        arrays_.resize(count);
    }

    /// The state as constants on a tape. Throws TapeError if nothing was kept.
    State on(Tape<Element>& tape) const {
        const std::optional<State> form = form_of(arrays_.size());
        if (empty() || !form)
            throw TapeError("[CarriedState] nothing was kept: start from the cell's initial_state");
        std::size_t count = 0;
        return map_state(*form, [&](const Var<Element>&) { return tape.constant(arrays_[count++]); });
    }

    /// The values, none if it is empty. They may be loaded where nothing was kept, unless State has vectors in a struct or in a
    /// vector, which don't say how long they are.
    template <class F>
    void visit(F&& f) {
        ArrayList<Element> values{arrays_, [this](const std::vector<Shape>& shapes) -> std::string {
                                      if (shapes.empty() || form_of(shapes.size())) return "";
                                      return "one for each Var of the state";
                                  }};
        f("values", values);
    }

private:
    static std::size_t count_vars(const State& state) {
        std::size_t count = 0;
        map_state(state, [&](const Var<Element>& var) {
            ++count;
            return var;
        });
        return count;
    }

    /// A state of that many Vars, to be filled in; nothing if there is none.
    std::optional<State> form_of(std::size_t count) const {
        if (form_ && count_vars(*form_) == count) return form_;
        State form{};
        if constexpr (requires { form.resize(1); }) {
            form.resize(1);
            form.resize(count / std::max<std::size_t>(count_vars(form), 1));
        }
        if (count_vars(form) == count) return form;
        return {};
    }

    std::optional<State> form_;           // as it was kept last: the Vars have lost their tape
    std::vector<Array<Element>> arrays_;  // of each Var
    std::vector<Array<Element>> spare_;   // while the state is empty: memory for the next one
};

namespace detail {

template <class S>
inline constexpr bool is_on_tape = true;
template <class State>
inline constexpr bool is_on_tape<CarriedState<State>> = false;

}  // namespace detail

/// A state on a tape.
template <class S>
concept TapeState = detail::is_on_tape<S>;

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
