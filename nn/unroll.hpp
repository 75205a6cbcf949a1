#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "nn/state.hpp"

// Runs any cell over time. A cell is a function (x, state) -> state, or has a member `on(tape)` that gives one: there it
// looks up, once for the sequence, what all steps need. If it also has `State` and `initial_state(tape, batch)`, it can
// be unrolled without being given a state.

namespace xtape::nn {

/// A step that promises to do the same at every time: the same ops, with the same numbers in them, on the next input and
/// on the state that it left the last time. `unroll` then runs it three times, and if those steps turn out to be alike
/// has the tape repeat them, at the speed of a loop written by hand. Don't wrap a step that looks at the time, draws
/// random numbers, or branches on values.
///
///     auto on(Tape<T>& tape) const {
///         const Var<T> w = tape.watch(weight);
///         return every_step([=](const Var<T>& x, const Var<T>& h) -> Var<T> { return tanh(matmul(h, w) + x); });
///     }
template <class F>
struct EveryStep : F {
    using F::operator();
};
template <class F>
EveryStep<F> every_step(F step) {
    return EveryStep<F>{std::move(step)};
}

namespace detail {

template <class Step>
inline constexpr bool is_every_step = false;
template <class F>
inline constexpr bool is_every_step<EveryStep<F>> = true;
template <class Step>
inline constexpr bool is_every_step<std::reference_wrapper<Step>> = is_every_step<std::remove_const_t<Step>>;

template <class Cell, class T>
decltype(auto) step_on(Cell& cell, Tape<T>& tape) {
    if constexpr (requires { cell.on(tape); })
        return cell.on(tape);
    else
        return std::ref(cell);
}

template <class Cell, class T>
struct CellState {
    using type = Var<T>;
};
template <class Cell, class T>
requires requires { typename Cell::State; }
struct CellState<Cell, T> {
    using type = typename Cell::State;
};

}  // namespace detail

/// Cell::State, or Var<T> for a cell that says nothing.
template <class Cell, class T>
using cell_state = typename detail::CellState<std::remove_cvref_t<Cell>, T>::type;

/// The state after each step of xs (T, ...), in the tape's memory: state_t = cell(xs[t], state_{t-1}).
/// Throws ShapeError for a sequence of no steps.
template <class Cell, class T, class State = cell_state<Cell, T>>
std::span<const State> unroll_states(Cell&& cell, const Var<T>& xs, State state) {
    if (xs.rank() == 0 || xs.shape()[0] == 0) {
        throw ShapeError("[unroll] a sequence of shape " + to_string(xs.shape()) +
                         ": expected (T, B, D) with at least one step");
    }
    Tape<T>& tape = xs.tape();
    auto&& step = detail::step_on(cell, tape);
    const std::size_t steps = xs.shape()[0];
    State* const states = tape.template allocate_records<State>(steps);
    constexpr bool alike = detail::is_every_step<std::remove_cvref_t<decltype(step)>>;
    Steps<T> recorder(tape, steps, alike);
    for (std::size_t t = 0; t < steps; ++t) {
        state = step(xs[static_cast<std::ptrdiff_t>(t)], std::as_const(state));
        std::construct_at(states + t, state);
        if constexpr (alike) {
            const auto vars = vars_of(state);
            const std::size_t repeated = recorder.done(vars);
            for (std::size_t k = 1; k <= repeated; ++k) {
                std::construct_at(states + t + k,
                                  state_of<State>([&](std::size_t i) { return recorder.later(vars[i], k); }));
            }
            t += repeated;
        } else {
            recorder.done({});
        }
    }
    return {states, steps};
}

/// The same from the cell's initial state, for xs (T, B, ...).
template <class Cell, class T>
auto unroll_states(Cell&& cell, const Var<T>& xs) {
    if (xs.rank() < 2) {
        throw ShapeError("[unroll] a sequence of shape " + to_string(xs.shape()) + ": expected (T, B, D)");
    }
    return unroll_states(cell, xs, cell_state<Cell, T>(cell.initial_state(xs.tape(), xs.shape()[1])));
}

template <class T, class State>
struct Unrolled {
    Var<T> outputs;  // of all steps, (T, B, H)
    State state;     // after the last one
};

/// The outputs, one after the other along a new first axis.
template <class State>
auto stack_outputs(std::span<const State> states) {
    using Output = std::remove_cvref_t<decltype(output_of(states[0]))>;
    if constexpr (is_var<State>) {
        return stack(states);
    } else {
        Output* const outputs = output_of(states[0]).tape().template allocate_records<Output>(states.size());
        for (std::size_t t = 0; t < states.size(); ++t) std::construct_at(outputs + t, output_of(states[t]));
        return stack(std::span<const Output>(outputs, states.size()));
    }
}

/// Runs the cell over xs (T, B, D), from `state`. Throws ShapeError for a sequence of no steps.
///
///     const auto [outputs, last] = unroll(cell, xs);
template <class Cell, class T, class State = cell_state<Cell, T>>
Unrolled<T, State> unroll(Cell&& cell, const Var<T>& xs, State state) {
    const std::span<const State> states = unroll_states(cell, xs, state);
    return {stack_outputs(states), states.back()};
}

/// From the cell's initial state.
template <class Cell, class T>
Unrolled<T, cell_state<Cell, T>> unroll(Cell&& cell, const Var<T>& xs) {
    const auto states = unroll_states(cell, xs);
    return {stack_outputs(states), states.back()};
}

/// From the state that was carried here, and carries the last one on: a window of truncated BPTT.
template <class Cell, class T, class State>
Unrolled<T, State> unroll(Cell&& cell, const Var<T>& xs, CarriedState<State>& carried) {
    if (carried.empty()) {
        const auto result = unroll(cell, xs);
        carried.keep(result.state);
        return result;
    }
    const auto result = unroll(cell, xs, carried.on(xs.tape()));
    carried.keep(result.state);
    return result;
}

}  // namespace xtape::nn
