#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "examples/name_list.hpp"
#include "examples/sampling.hpp"
#include "nn/nn.hpp"

namespace examples {

/// Names as symbols, packed: what is read, from the 0 before the first character on, and what comes next, to the 0 behind the
/// last one.
struct NameBatch {
    NameBatch(const Alphabet& alphabet, const std::vector<std::string>& names) {
        std::vector<std::vector<Symbol>> texts;
        std::vector<std::size_t> lengths;
        for (const std::string& name : names) {
            texts.push_back(alphabet.symbols_and_ends(name));
            lengths.push_back(texts.back().size() - 1);
        }
        layout = std::make_shared<const xtape::nn::PackedLayout>(lengths);
        inputs.resize(layout->size());
        targets.resize(layout->size());
        for (std::size_t b = 0; b < names.size(); ++b) {
            for (std::size_t t = 0; t < lengths[b]; ++t) {
                inputs[layout->row(t, b)] = texts[b][t];
                targets[layout->row(t, b)] = texts[b][t + 1];
            }
        }
    }
    std::shared_ptr<const xtape::nn::PackedLayout> layout;
    std::vector<Symbol> inputs, targets;  // in the order of the layout
};

/// Says of each beginning of a name how likely each character is to be the next one.
template <class Cell>
struct NameModel {
    NameModel(std::size_t alphabet_size, std::size_t embedding_size, std::size_t hidden_size,
              xtape::nn::Engine& engine)
        : embedding(alphabet_size, embedding_size, engine),
          cell(embedding_size, hidden_size, engine),
          output(hidden_size, alphabet_size, engine) {}

    /// Mean bits per character, the end included.
    xtape::Var<float> bits(xtape::Tape<float>& tape, const NameBatch& batch) const {
        const xtape::nn::PackedSequence<float> xs{embedding(tape, batch.inputs), batch.layout};
        const xtape::Var<float> scores = output(xtape::nn::unroll(cell, xs).outputs.rows);
        return xtape::nn::cross_entropy(scores, batch.targets) * (1 / std::numbers::ln2);
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("cell", cell);
        f("output", output);
    }

    xtape::nn::Embedding<float> embedding;
    Cell cell;
    xtape::nn::Linear<float> output;
};

/// As many names as asked for, all written side by side, each of which goes on from `beginning`; of at most `longest`
/// characters.
template <class Cell>
std::vector<std::string> write_names(const NameModel<Cell>& model, const Alphabet& alphabet,
                                     const std::string& beginning, std::size_t count, double temperature,
                                     std::size_t longest, std::mt19937_64& random) {
    std::vector<Symbol> read = alphabet.symbols(beginning);
    read.insert(read.begin(), 0);
    std::vector<std::string> names(count, beginning);
    std::vector<bool> ended(count, false);
    std::vector<Symbol> last(count);
    xtape::Tape<float> tape;
    xtape::nn::CarriedState<typename Cell::State> carried;
    for (std::size_t t = 0; t < read.size() + longest && count > 0; ++t) {
        if (t < read.size()) std::fill(last.begin(), last.end(), read[t]);
        tape.clear();
        const xtape::NoRecording values_only(tape);
        const xtape::Var<float> xs = unsqueeze(model.embedding(tape, last), 0);  // (1, B, D)
        const auto scores = model.output(xtape::nn::unroll(model.cell, xs, carried).outputs[0]).value();
        if (t + 1 < read.size()) continue;
        for (std::size_t b = 0; b < count; ++b) {
            const Symbol next = draw({&scores(b, 0), alphabet.size()}, temperature, random);
            last[b] = next;
            ended[b] = ended[b] || next == 0;
            if (!ended[b]) names[b] += alphabet.character(next);
        }
        if (std::all_of(ended.begin(), ended.end(), [](bool end) { return end; })) break;
    }
    return names;
}

}  // namespace examples
