#pragma once

#include <cstddef>

#include "nn/lstm_cell.hpp"
#include "nn/unroll.hpp"

namespace examples {

/// The equations of nn::LSTMCell with the gates i, f, o as values of their own, which the cell itself computes inside
/// of larger statements. It reads another cell's parameters, and so shows what that one does.
///     gates = σ([i f o]),  c_t = f ⊙ c_{t-1} + i ⊙ tanh(g),  h_t = o ⊙ tanh(c_t)
/// x (B, D), h and c (B, H), gates (B, 3H).
template <class T>
struct RecordingLSTM {
    using Var = xtape::Var<T>;
    struct State {
        Var h, c, gates;
    };

    /// Refers to the cell, which has to live as long.
    explicit RecordingLSTM(const xtape::nn::LSTMCell<T>& recorded) : cell(recorded) {}

    auto on(xtape::Tape<T>& tape) const {
        const auto D = static_cast<std::ptrdiff_t>(cell.input_size());
        const auto H = static_cast<std::ptrdiff_t>(cell.hidden_size());
        const Var w = transpose(tape.watch(cell.weight)), b = tape.watch(cell.bias);
        const Var w_x = slice(w, 0, 0, D), w_h = slice(w, 0, D);
        return xtape::nn::every_step([=](const Var& x, const State& before) -> State {
            const Var z = matmul(x, w_x) + matmul(before.h, w_h) + b;
            const Var gates = sigmoid(slice(z, 1, 0, 3 * H));
            const auto [i, f, o] = split<3>(gates);
            const Var c = f * before.c + i * tanh(slice(z, 1, 3 * H));
            const Var h = o * tanh(c);
            return {h, c, gates};
        });
    }

    State initial_state(xtape::Tape<T>& tape, std::size_t batch) const {
        const Var zero = xtape::nn::zeros(tape, {batch, cell.hidden_size()});
        return {zero, zero, xtape::nn::zeros(tape, {batch, 3 * cell.hidden_size()})};
    }

    const xtape::nn::LSTMCell<T>& cell;
};

}  // namespace examples
