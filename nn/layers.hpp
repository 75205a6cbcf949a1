#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/checkpointing.hpp"
#include "nn/dropout.hpp"
#include "nn/unroll.hpp"

// A layer is what `unroll(layer, xs, state)` runs over a sequence: a cell, or one of the structs below, which are made of
// layers and so can be put into each other:
//
//     nn::Stacked layers(std::vector<nn::Bidirectional<MyCell>>{...});
//     const auto [outputs, last] = unroll(layers, xs);
//
// Each has a member `unroll(xs, state, options...)`; `is_layer` tells it from a cell. Options, of checkpointing, are those of
// each cell in it.

namespace xtape::nn {

namespace detail {

template <class Layer>
struct LayerState {
    using type = Var<module_value<Layer>>;
};
template <class Layer>
requires requires { typename Layer::State; }
struct LayerState<Layer> {
    using type = typename Layer::State;
};

}  // namespace detail

/// Layer::State; of a cell that says nothing Var<T>, if it has T as a value_type.
template <class Layer>
using layer_state = typename detail::LayerState<Layer>::type;

/// Reads every sequence from its own end; outputs[t] is what the layer says after it has seen the end down to xs[t]. The
/// state is the one after xs[0].
template <class Layer>
struct Reversed {
    static constexpr bool is_layer = true;
    using State = layer_state<Layer>;

    explicit Reversed(Layer inner) : layer(std::move(inner)) {}

    template <class Sequence, class... Options>
    Unrolled<Sequence, State> unroll(const Sequence& xs, const State& state,
                                     const Options&... options) const {
        const auto [outputs, last] = nn::unroll(layer, reversed(xs), state, options...);
        return {reversed(outputs), last};
    }

    template <class T>
    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return layer.initial_state(tape, batch);
    }

    template <class F>
    void visit(F&& f) {
        f("layer", layer);
    }

    Layer layer;
};

template <class State>
struct BothWays {
    State forwards, backwards;
};

/// Two layers, of which one reads the sequences from their beginnings, the other one from their ends; the outputs of both for
/// the same x side by side. (Schuster and Paliwal, 1997)
template <class Layer>
struct Bidirectional {
    static constexpr bool is_layer = true;
    using State = BothWays<layer_state<Layer>>;

    Bidirectional(Layer from_the_start, Layer from_the_end)
        : forwards(std::move(from_the_start)), backwards(std::move(from_the_end)) {}

    template <class Sequence, class... Options>
    Unrolled<Sequence, State> unroll(const Sequence& xs, const State& state,
                                     const Options&... options) const {
        const auto ahead = nn::unroll(forwards, xs, state.forwards, options...);
        const auto back = nn::unroll(backwards, reversed(xs), state.backwards, options...);
        const auto both = concatenate({elements_of(ahead.outputs), elements_of(reversed(back.outputs))}, -1);
        return {with_elements(xs, both), {ahead.state, back.state}};
    }

    template <class T>
    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return State{forwards.initial_state(tape, batch), backwards.initial_state(tape, batch)};
    }

    template <class F>
    void visit(F&& f) {
        f("forwards", forwards);
        f("backwards", backwards);
    }

    Layer forwards, backwards;
};

/// Layers, each of which reads the outputs of the one before it. Dropout, if there is any, acts on the outputs of all but
/// the last one. The state is a vector of theirs.
template <class Layer>
struct Stacked {
    static constexpr bool is_layer = true;
    using State = std::vector<layer_state<Layer>>;

    /// Throws std::invalid_argument for no layers.
    explicit Stacked(std::vector<Layer> from_bottom_to_top, std::optional<Dropout> between = {})
        : layers(std::move(from_bottom_to_top)), dropout(between) {
        if (layers.empty()) throw std::invalid_argument("[Stacked] no layers: expected at least one");
    }

    /// Throws ShapeError unless there is a state for each layer.
    template <class Sequence, class... Options>
    Unrolled<Sequence, State> unroll(const Sequence& xs, const State& states,
                                     const Options&... options) const {
        if (states.size() != layers.size()) {
            throw ShapeError("[Stacked] " + std::to_string(states.size()) + " states for " +
                             std::to_string(layers.size()) + " layers: expected one for each");
        }
        Unrolled<Sequence, State> result{xs, states};
        for (std::size_t k = 0; k < layers.size(); ++k) {
            if (k > 0 && dropout)
                result.outputs = with_elements(result.outputs, (*dropout)(elements_of(result.outputs)));
            const auto above = nn::unroll(layers[k], result.outputs, states[k], options...);
            result.outputs = above.outputs;
            result.state[k] = above.state;
        }
        return result;
    }

    template <class T>
    State initial_state(Tape<T>& tape, std::size_t batch) const {
        State states;
        for (const Layer& layer : layers) states.push_back(layer.initial_state(tape, batch));
        return states;
    }

    template <class F>
    void visit(F&& f) {
        f("layers", layers);
        if (dropout) f("dropout", *dropout);
    }

    std::vector<Layer> layers;
    std::optional<Dropout> dropout;
};

}  // namespace xtape::nn
