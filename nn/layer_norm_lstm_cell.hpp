#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "nn/initialize.hpp"
#include "nn/layer_norm.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// An LSTM whose products and cell state are normalised: z = norm_x(W_x x) + norm_h(W_h h) + b, split into i, f, o and g as in
/// LSTMCell; c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g),  h_t = σ(o) ⊙ tanh(norm_c(c_t)).  x (B, D), h and c (B, H).
/// (Ba et al., 2016, supplement) The biases of norm_x and norm_h, which would only be added to b, are left out.
template <class T>
struct LayerNormLSTMCell {
    struct State {
        Var<T> h, c;
    };

    LayerNormLSTMCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, double epsilon = 1e-5)
        : weight(Shape{4 * hidden_size, input_size + hidden_size}, "weight"),
          bias(Shape{4 * hidden_size}, "bias"),
          norm_x(4 * hidden_size, {.epsilon = epsilon, .bias = false}),
          norm_h(4 * hidden_size, {.epsilon = epsilon, .bias = false}),
          norm_c(hidden_size, {.epsilon = epsilon}) {
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
        return every_step([=, this](const Var<T>& x, const State& s) -> State {
            detail::check_step("LayerNormLSTMCell", x, input_size(), s, hidden_size());
            const Var<T> z = norm_x(matmul(x, w_x)) + norm_h(matmul(s.h, w_h)) + b;
            const auto [i, f, o, g] = split<4>(z);
            const Var<T> c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            const Var<T> h = sigmoid(o) * tanh(norm_c(c));
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
        f("norm_x", norm_x);
        f("norm_h", norm_h);
        f("norm_c", norm_c);
    }

    Parameter<T> weight, bias;
    LayerNorm<T> norm_x, norm_h, norm_c;
};

}  // namespace xtape::nn
