#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/engine.hpp"
#include "nn/unroll.hpp"

// Long sequences in little memory. Only the state between segments of steps is kept; the way back computes each segment
// again from there. That takes one more forward pass, about a third of the time of a training step, and the memory of
// one segment and all checkpoints: with T steps least for segments of some √T steps. (Chen et al., 2016)

namespace xtape::nn {

struct CheckpointOptions {
    /// Steps from one checkpoint to the next.
    std::size_t every = 0;
    /// In place of `every`: bytes for the values of checkpoints and one segment. The longest segments that fit are taken.
    std::size_t memory = 0;
    /// What the steps draw random numbers from, if they do and the cell doesn't say so itself, by a member engine().
    Engine* engine = nullptr;
    /// False keeps everything after all, with the same blocks of time: what checkpointing agrees with bit by bit.
    bool recompute = true;
};

template <>
inline constexpr bool detail::is_on_tape<CheckpointOptions> = false;

/// How a sequence will be cut, and the bytes of values that this takes.
struct CheckpointPlan {
    std::size_t every;
    std::size_t checkpoints;
    std::size_t bytes;
};

/// The longest segments of a sequence of `steps` with which the values take no more than `memory` bytes. Throws
/// std::invalid_argument, with the least that would do, if there are none.
CheckpointPlan plan_checkpoints(std::size_t steps, std::size_t bytes_per_step,
                                std::size_t bytes_per_checkpoint, std::size_t memory);

namespace detail {

/// A cell is used again when the sweep comes by.
template <class Cell>
concept Lasting = std::is_lvalue_reference_v<Cell>;

template <class Cell>
Engine* engine_of(Cell& cell, Engine* given) {
    if constexpr (requires { cell.engine(); }) {
        if (given == nullptr) return &cell.engine();
    }
    return given;
}

/// Runs something again with the numbers that were drawn the first time.
class SameDraws {
public:
    explicit SameDraws(Engine* engine) : engine_(engine) {}

    template <class F>
    auto run(F&& compute) {
        if (engine_ == nullptr) return compute();
        if (!start_) {
            start_ = *engine_;
            return compute();
        }
        struct PutBack {
            Engine& engine;
            Engine now;
            ~PutBack() { engine = now; }
        } const put_back{*engine_, *engine_};
        *engine_ = *start_;
        return compute();
    }

private:
    Engine* engine_;
    std::optional<Engine> start_;
};

/// Runs `steps` of them, and what is asked of the states after each.
template <class Step, class T, class State, class Extra>
std::vector<Var<T>> run_segment(Step& step, const Var<T>& xs, const State& state, std::size_t begin,
                                std::size_t end, Extra& extra) {
    const Var<T> segment = slice(xs, 0, static_cast<std::ptrdiff_t>(begin), static_cast<std::ptrdiff_t>(end));
    const auto states = run_steps(step, segment, state);
    std::vector<Var<T>> results;
    for (const Var<T>& var : vars_of(states.back())) results.push_back(var);
    extra(states, begin, results);
    return results;
}

/// How to cut a sequence of `steps`, of which xs is the beginning: from the bytes that a step and a checkpoint take, found
/// by recording some steps and forgetting them.
template <class Step, class T, class State>
std::size_t planned(Step& step, const Var<T>& xs, const State& state, std::size_t steps, std::size_t memory) {
    Tape<T>& tape = xs.tape();
    const auto bytes_of = [&](std::size_t count) {
        const auto before = tape.mark();
        const std::size_t used = tape.used();
        const auto nothing = [](const auto&, std::size_t, const auto&) {};
        run_segment(step, xs, state, 0, count, nothing);
        const std::size_t bytes = tape.used() - used;
        tape.rewind_but_watch(before);
        return bytes;
    };
    std::size_t of_checkpoint = 0;
    for (const Var<T>& var : vars_of(state)) of_checkpoint += var.size() * sizeof(T) + buffer_alignment;
    const std::size_t recorded = xs.shape()[0];
    const std::size_t of_step =
        recorded < 16 ? bytes_of(recorded) / recorded + 1 : (bytes_of(16) - bytes_of(8)) / 8;
    return plan_checkpoints(steps, of_step, of_checkpoint, memory).every;
}

/// Runs a sequence in segments of steps. `Step` is a cell's.
template <class T, class Step>
class Segments {
public:
    template <class Cell>
    Segments(Cell& cell, Tape<T>& tape, std::size_t batch, const CheckpointOptions& options)
        : tape_(tape),
          step_(std::make_shared<Step>(step_on(cell, tape, batch))),
          engine_(engine_of(cell, options.engine)),
          options_(options) {
        if ((options.every == 0) == (options.memory == 0)) {
            throw std::invalid_argument("[unroll] checkpoints every " + std::to_string(options.every) +
                                        " steps, within " + std::to_string(options.memory) +
                                        " bytes: set either `every` or `memory`");
        }
    }

    /// Keeps to the budget, if there is one, for a sequence of `steps` that begins with xs.
    template <class State>
    void plan(const Var<T>& xs, const State& state, std::size_t steps) {
        if (options_.every > 0) return;
        const std::optional<Engine> before = engine_ ? std::optional(*engine_) : std::nullopt;
        options_.every = planned(*step_, xs, state, steps, options_.memory);
        if (before) *engine_ = *before;  // what is forgotten has drawn nothing
    }

    /// The state after all steps. `extra(states, first_step, results)` adds what else is wanted of each segment, and
    /// `take(results)` gets it.
    template <class State, class Extra, class Take>
    State run(const Var<T>& xs, State state, Extra extra, Take take) const {
        const std::size_t steps = xs.shape()[0];
        for (std::size_t begin = 0; begin < steps; begin += options_.every) {
            const std::size_t end = std::min(begin + options_.every, steps);
            const auto draws = std::make_shared<SameDraws>(engine_);
            const auto compute = [draws, xs, state, begin, end, extra, step = step_]() mutable {
                return draws->run([&] { return run_segment(*step, xs, state, begin, end, extra); });
            };
            const auto results = checkpoint<T>(tape_, compute, {.recompute = options_.recompute});
            state = state_of<State>([&](std::size_t k) { return results[k]; });
            take(results);
        }
        return state;
    }
    /// With all outputs.
    template <class State>
    Unrolled<Var<T>, State> unroll(const Var<T>& xs, const State& state) const {
        std::vector<Var<T>> outputs;
        const State last = run(
            xs, state,
            [](const auto& states, std::size_t, auto& results) { results.push_back(stack_outputs(states)); },
            [&](const auto& results) { outputs.push_back(results.back()); });
        return {concatenate(outputs), last};
    }

private:
    Tape<T>& tape_;
    std::shared_ptr<Step> step_;
    Engine* engine_;
    CheckpointOptions options_;
};

template <class Cell, class T, class State>
auto planned_segments(Cell& cell, const Var<T>& xs, const State& state, const CheckpointOptions& options) {
    check_sequence(xs);
    using Step = std::remove_cvref_t<decltype(step_on(cell, xs.tape(), samples_of(xs)))>;
    Segments<T, Step> segments(cell, xs.tape(), samples_of(xs), options);
    segments.plan(xs, state, xs.shape()[0]);
    return segments;
}

}  // namespace detail

/// As unroll, in the memory of one segment's steps beside that of the outputs: for xs (T, B, ...) from `state`. The cell
/// must live as long as what is recorded. Throws TapeError from the sweep if a step does otherwise the second time, and
/// std::invalid_argument for options that don't say how to cut the sequence.
template <class Cell, class T, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell> &&
         detail::Lasting<Cell>) Unrolled<Var<T>, State> unroll(Cell&& cell, const Var<T>& xs, State state,
                                                               const CheckpointOptions& options) {
    return detail::planned_segments(cell, xs, state, options).unroll(xs, state);
}

/// The same of sequences of different lengths, whose stretches of steps with equally many of them are cut.
template <class Cell, class T, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell> && detail::Lasting<Cell>) Unrolled<PackedSequence<T>, State> unroll(
    Cell&& cell, const PackedSequence<T>& xs, State state, const CheckpointOptions& options) {
    Tape<T>& tape = xs.rows.tape();
    const std::size_t batch = xs.layout->batch();
    using Step = std::remove_cvref_t<decltype(detail::step_on(cell, tape, batch))>;
    detail::Segments<T, Step> segments(cell, tape, batch, options);
    return detail::run_stretches(xs, state, [&](const Var<T>& stretch, const State& from) {
        segments.plan(stretch, from, xs.layout->steps());
        return segments.unroll(stretch, from);
    });
}

/// From the initial state of the cell or layer.
template <class Cell, class Sequence>
auto unroll(Cell&& cell, const Sequence& xs, const CheckpointOptions& options) {
    using T = typename std::remove_cvref_t<decltype(elements_of(xs))>::value_type;
    const auto start = cell.initial_state(elements_of(xs).tape(), batch_of(xs));
    return unroll(cell, xs, cell_state<Cell, T>(start), options);
}

/// The state after the last step, alone: the memory is that of one segment and the checkpoints, whatever T.
template <class Cell, class T, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell> && detail::Lasting<Cell>) State
    final_state(Cell&& cell, const Var<T>& xs, State state, const CheckpointOptions& options) {
    return detail::planned_segments(cell, xs, state, options)
        .run(
            xs, state, [](const auto&, std::size_t, const auto&) {}, [](const auto&) {});
}

template <class T, class State>
struct UnrolledLoss {
    Var<T> loss;
    State state;  // after the last step
};

/// A loss of the outputs, computed for each segment along with its steps, so that what leads from an output to its loss
/// takes memory for one segment only: the sum of loss(outputs (steps, B, H), first_step) over the segments. `loss` and
/// what it refers to must live as long as what is recorded.
template <class Cell, class T, class Loss, TapeState State = cell_state<Cell, T>>
requires(!Layer<Cell> && detail::Lasting<Cell>) UnrolledLoss<T, State> unroll_loss(
    Cell&& cell, const Var<T>& xs, State state, const CheckpointOptions& options, Loss loss) {
    std::vector<Var<T>> losses;
    const State last = detail::planned_segments(cell, xs, state, options)
                           .run(
                               xs, state,
                               [loss](const auto& states, std::size_t first_step, auto& results) {
                                   results.push_back(loss(stack_outputs(states), first_step));
                               },
                               [&](const auto& results) { losses.push_back(results.back()); });
    return {sum(stack(losses)), last};
}

}  // namespace xtape::nn
