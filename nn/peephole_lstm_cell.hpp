#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "nn/initialize.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// An LSTM whose gates see the cell state: with z = W [x; h] + b as in LSTMCell,
/// i = σ(z_i + p_i ⊙ c_{t-1}),  f = σ(z_f + p_f ⊙ c_{t-1}),  c_t = f ⊙ c_{t-1} + i ⊙ tanh(z_g),
/// o = σ(z_o + p_o ⊙ c_t),  h_t = o ⊙ tanh(c_t).  x (B, D), h and c (B, H).  (Gers and Schmidhuber, 2000)
///
/// The peepholes are 3×H, rows p_i, p_f, p_o, and start with 0, where the cell is an LSTMCell.
template <class T>
struct PeepholeLSTMCell {
    struct State {
        Var<T> h, c;
    };

    PeepholeLSTMCell(std::size_t input_size, std::size_t hidden_size, Engine& engine)
        : weight(Shape{4 * hidden_size, input_size + hidden_size}, "weight"),
          bias(Shape{4 * hidden_size}, "bias"),
          peepholes(Shape{3, hidden_size}, "peepholes") {
        normal(weight, std::sqrt(2.0 / static_cast<double>(input_size + hidden_size)), engine);
        std::fill_n(bias.data() + hidden_size, hidden_size, T(1));
    }

    std::size_t input_size() const { return weight.shape()[1] - hidden_size(); }
    std::size_t hidden_size() const { return weight.shape()[0] / 4; }

    /// The step of a sequence on this tape, (x, {h, c}) -> {h, c}. Throws ShapeError for other shapes.
    auto on(Tape<T>& tape) const {
        const auto D = static_cast<std::ptrdiff_t>(input_size());
        const Var<T> w = transpose(tape.watch(weight));
        const Var<T> w_x = slice(w, 0, 0, D);
        const Var<T> w_h = slice(w, 0, D);
        const Var<T> b = tape.watch(bias);
        const Var<T> p = tape.watch(peepholes);
        const Var<T> p_i = p[0], p_f = p[1], p_o = p[2];
        return every_step([=, this](const Var<T>& x, const State& s) -> State {
            detail::check_step("PeepholeLSTMCell", x, input_size(), s, hidden_size());
            const auto [i, f, o, g] = split<4>(matmul(x, w_x) + matmul(s.h, w_h) + b);
            const Var<T> c = sigmoid(f + p_f * s.c) * s.c + sigmoid(i + p_i * s.c) * tanh(g);
            const Var<T> h = sigmoid(o + p_o * c) * tanh(c);
            return {h, c};
        });
    }

    State operator()(const Var<T>& x, const State& s) const { return on(x.tape())(x, s); }

    State initial_state(Tape<T>& tape, std::size_t batch) const {
        const Var<T> zero = zeros(tape, {batch, hidden_size()});
        return {zero, zero};
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        f("bias", bias);
        f("peepholes", peepholes);
    }

    Parameter<T> weight, bias, peepholes;
};

}  // namespace xtape::nn
