#pragma once

#include <cstddef>

#include "examples/text.hpp"
#include "nn/nn.hpp"

namespace examples {

/// A vector for each symbol, a cell that reads them one after the other, a linear layer that turns what the cell
/// puts out into a score for each symbol that may come next.
template <class Cell>
struct CharModel {
    using State = xtape::nn::CarriedState<typename Cell::State>;

    CharModel(std::size_t vocabulary, std::size_t embedding_size, std::size_t hidden_size,
              xtape::nn::Engine& engine)
        : embedding(xtape::Shape{vocabulary, embedding_size}, "embedding"),
          cell(embedding_size, hidden_size, engine),
          output(hidden_size, vocabulary, engine) {
        xtape::nn::normal(embedding, 0.3, engine);
    }

    /// The vectors (T, B, D) of symbols (T, B).
    template <class Symbols>
    xtape::Var<float> embed(xtape::Tape<float>& tape, const Symbols& symbols) const {
        return take(tape.watch(embedding), symbols);
    }

    /// Scores (T, B, V) of the symbols after `inputs` (T, B); the state is carried on.
    template <class Symbols>
    xtape::Var<float> operator()(xtape::Tape<float>& tape, const Symbols& inputs, State& carried) const {
        return output(xtape::nn::unroll(cell, embed(tape, inputs), carried).outputs);
    }

    /// Cross-entropy of what comes next in a window that continues the last one.
    xtape::Var<float> loss(xtape::Tape<float>& tape, const xtape::nn::Windows<Symbol>::Window& window,
                           State& carried) const {
        if (window.starts_anew) carried.forget();
        return xtape::nn::cross_entropy((*this)(tape, window.inputs, carried), window.targets);
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("cell", cell);
        f("output", output);
    }

    xtape::Parameter<float> embedding;
    Cell cell;
    xtape::nn::Linear<float> output;
};

}  // namespace examples
