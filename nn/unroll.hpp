#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/packed_sequence.hpp"
#include "nn/state.hpp"

// Runs any cell over time. A cell is a function (x, state) -> state, or has a member `on(tape)` or `on(tape, batch)` that
// gives one: there it looks up, once for the sequence, what all steps need. If it also has `State` and
// `initial_state(tape, batch)`, it can be unrolled without being given a state. In a batch of sequences of different
// lengths the first axis of everything in the state is the batch, of which later steps see the first rows.

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
decltype(auto) step_on(Cell& cell, Tape<T>& tape, std::size_t batch) {
    if constexpr (requires { cell.on(tape, batch); })
        return cell.on(tape, batch);
    else if constexpr (requires { cell.on(tape); })
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

namespace detail {

template <class T, class Step, class State>
std::span<const State> run_steps(Step& step, const Var<T>& xs, State state) {
    Tape<T>& tape = xs.tape();
    const std::size_t steps = xs.shape()[0];
    State* const states = tape.template allocate_records<State>(steps);
    constexpr bool alike = is_every_step<std::remove_cvref_t<Step>>;
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

template <class T>
void check_sequence(const Var<T>& xs) {
    if (xs.rank() > 0 && xs.shape()[0] > 0) return;
    throw ShapeError("[unroll] a sequence of shape " + to_string(xs.shape()) +
                     ": expected (T, B, D) with at least one step");
}

/// Samples of a sequence (T, B, ...), or none if it has no such axis.
template <class T>
std::size_t samples_of(const Var<T>& xs) {
    return xs.rank() < 2 ? 0 : xs.shape()[1];
}

}  // namespace detail

/// The state after each step of xs (T, ...), in the tape's memory: state_t = cell(xs[t], state_{t-1}).
/// Throws ShapeError for a sequence of no steps.
template <class Cell, class T, class State = cell_state<Cell, T>>
std::span<const State> unroll_states(Cell&& cell, const Var<T>& xs, State state) {
    detail::check_sequence(xs);
    auto&& step = detail::step_on(cell, xs.tape(), detail::samples_of(xs));
    return detail::run_steps(step, xs, state);
}

/// The same from the cell's initial state, for xs (T, B, ...).
template <class Cell, class T>
auto unroll_states(Cell&& cell, const Var<T>& xs) {
    return unroll_states(cell, xs, cell_state<Cell, T>(cell.initial_state(xs.tape(), batch_of(xs))));
}

template <class Sequence, class State>
struct Unrolled {
    Sequence outputs;  // of all steps, (T, B, H), or packed as the inputs were
    State state;       // after the last one
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

/// A layer is what runs over a whole sequence by itself, as several cells do: it has `is_layer`, a `State` and a member
/// unroll(xs, state).
template <class L>
concept Layer = requires {
    std::remove_cvref_t<L>::is_layer;
};

/// Runs the cell over xs (T, B, D), from `state`. Throws ShapeError for a sequence of no steps.
///
///     const auto [outputs, last] = unroll(cell, xs);
template <class Cell, class T, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell>) Unrolled<Var<T>, State> unroll(Cell&& cell, const Var<T>& xs, State state) {
    const std::span<const State> states = unroll_states(cell, xs, state);
    return {stack_outputs(states), states.back()};
}

namespace detail {

/// Some rows of each Var of a state.
template <class State>
State rows_of(const State& state, std::size_t begin, std::size_t end) {
    return map_state(state, [&](const auto& var) {
        if (begin == 0 && end == var.shape()[0]) return var;
        return slice(var, 0, static_cast<std::ptrdiff_t>(begin), static_cast<std::ptrdiff_t>(end));
    });
}

/// Runs sequences of different lengths as stretches of steps with equally many of them, each a dense batch:
/// run(xs (steps, running, ...), state) -> Unrolled.
template <class T, class State, class Run>
Unrolled<PackedSequence<T>, State> run_stretches(const PackedSequence<T>& xs, State state, Run run) {
    const PackedLayout& layout = *xs.layout;
    for (const Var<T>& var : vars_of(state)) {
        if (var.rank() > 0 && var.shape()[0] == layout.batch()) continue;
        throw ShapeError("[unroll] a state of shape " + to_string(var.shape()) + " for " +
                         std::to_string(layout.batch()) + " sequences: expected (B, ...)");
    }
    state = map_state(state, [&](const Var<T>& var) { return take(var, layout.order()); });
    std::vector<Var<T>> outputs;
    std::vector<State> ended;  // the shortest sequences' first
    for (std::size_t t = 0; t < layout.steps();) {
        const std::size_t running = layout.running(t);
        std::size_t end = t + 1;
        while (end < layout.steps() && layout.running(end) == running) ++end;
        const Var<T> rows = slice(xs.rows, 0, static_cast<std::ptrdiff_t>(layout.start(t)),
                                  static_cast<std::ptrdiff_t>(layout.start(end)));
        Shape shape = rows.shape();
        shape.set(0, running);
        shape.insert(0, end - t);
        const auto [output, last] = run(reshape_to(rows, shape), state);
        shape = output.shape();
        shape.erase(0);
        shape.set(0, output.shape()[0] * output.shape()[1]);
        outputs.push_back(reshape_to(output, shape));
        const std::size_t going_on = end < layout.steps() ? layout.running(end) : 0;
        ended.push_back(rows_of(last, going_on, running));
        if (going_on > 0) state = rows_of(last, 0, going_on);
        t = end;
    }
    const State last = state_of<State>([&](std::size_t k) {
        std::vector<Var<T>> parts;
        for (std::size_t i = ended.size(); i-- > 0;) parts.push_back(vars_of(ended[i])[k]);
        return take(concatenate(parts), layout.places());
    });
    return {{concatenate(outputs), xs.layout}, last};
}

}  // namespace detail

/// Runs the cell over sequences of different lengths, at the cost of their real steps: `state`, and the one that is left
/// after the last step of each sample, in the order of the samples. Throws ShapeError for another number of samples.
template <class Cell, class T, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell>) Unrolled<PackedSequence<T>, State> unroll(Cell&& cell, const PackedSequence<T>& xs,
                                                                 State state) {
    auto&& step = detail::step_on(cell, xs.rows.tape(), xs.layout->batch());
    return detail::run_stretches(xs, state, [&](const Var<T>& stretch, const State& from) {
        const auto states = detail::run_steps(step, stretch, from);
        return Unrolled<Var<T>, State>{stack_outputs(states), states.back()};
    });
}

/// The same of a layer.
template <Layer L, class Sequence, class... Options>
auto unroll(L&& layer, const Sequence& xs, typename std::remove_cvref_t<L>::State state,
            const Options&... options) {
    return layer.unroll(xs, state, options...);
}

/// From the initial state of the cell or layer.
template <class Cell, class Sequence>
auto unroll(Cell&& cell, const Sequence& xs) {
    auto& tape = elements_of(xs).tape();
    using T = typename std::remove_cvref_t<decltype(elements_of(xs))>::value_type;
    return unroll(cell, xs, cell_state<Cell, T>(cell.initial_state(tape, batch_of(xs))));
}

/// From the state that was carried here, and carries the last one on: a window of truncated BPTT.
template <class Cell, class Sequence, class State>
auto unroll(Cell&& cell, const Sequence& xs, CarriedState<State>& carried) {
    const auto run = [&] {
        if (carried.empty()) return unroll(cell, xs);
        return unroll(cell, xs, carried.on(elements_of(xs).tape()));
    };
    const auto result = run();
    carried.keep(result.state);
    return result;
}

}  // namespace xtape::nn
