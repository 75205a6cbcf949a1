#pragma once

#include <cstddef>

#include "nn/nn.hpp"

namespace examples {

/// The adding problem: numbers between 0 and 1, two of them marked, one in each half; what is wanted after the last
/// step is the sum of the two. (Hochreiter & Schmidhuber, 1997, in the form of Le, Jaitly & Hinton, 2015.)
struct AddingSequences {
    /// B sequences of T numbers. Throws std::invalid_argument if T has no two halves.
    AddingSequences(std::size_t T, std::size_t B, xtape::nn::Engine& engine);

    xt::xtensor<float, 3> xs;    ///< (T, B, 2): number, mark
    xt::xtensor<float, 2> sums;  ///< (B, 1)

    /// The mean square error of always saying 1, the mean of the sum: its variance, 2 · 1/12.
    static constexpr double baseline = 1.0 / 6;
};

/// Reads such a sequence with any cell of float that has an initial state, and says the sum.
template <class Cell>
struct Adder {
    Adder(std::size_t hidden, xtape::nn::Engine& engine)
        : cell(2, hidden, engine), readout(hidden, 1, engine) {}

    /// Mean square error of what is read from the last state.
    xtape::Var<float> loss(xtape::Tape<float>& tape, const AddingSequences& data) const {
        const auto last = xtape::nn::unroll_states(cell, tape.constant(data.xs)).back();
        return xtape::nn::mse(readout(xtape::nn::output_of(last)), tape.constant(data.sums));
    }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("readout", readout);
    }

    Cell cell;
    xtape::nn::Linear<float> readout;
};

}  // namespace examples
