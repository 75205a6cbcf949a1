#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "nn/initialize.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// An LSTM that writes what it forgets, i = 1 - f: with z = W [x; h] + b split into f, o and g,
/// c_t = σ(f) ⊙ c_{t-1} + (1 - σ(f)) ⊙ tanh(g),  h_t = σ(o) ⊙ tanh(c_t).  x (B, D), h and c (B, H).
/// (the variant CIFG of Greff et al., 2017)
///
/// W is 3H×(D+H), rows in the order f, o, g; it starts normal with deviation √(2 / (D + H)). The bias starts with 0,
/// its forget rows with 1.
template <class T>
struct CoupledLSTMCell {
    struct State {
        Var<T> h, c;
    };

    CoupledLSTMCell(std::size_t input_size, std::size_t hidden_size, Engine& engine)
        : weight(Shape{3 * hidden_size, input_size + hidden_size}, "weight"),
          bias(Shape{3 * hidden_size}, "bias") {
        normal(weight, std::sqrt(2.0 / static_cast<double>(input_size + hidden_size)), engine);
        std::fill_n(bias.data(), hidden_size, T(1));
    }

    std::size_t input_size() const { return weight.shape()[1] - hidden_size(); }
    std::size_t hidden_size() const { return weight.shape()[0] / 3; }

    /// The step of a sequence on this tape, (x, {h, c}) -> {h, c}. Throws ShapeError for other shapes.
    auto on(Tape<T>& tape) const {
        const auto D = static_cast<std::ptrdiff_t>(input_size());
        const Var<T> w = transpose(tape.watch(weight));
        const Var<T> w_x = slice(w, 0, 0, D);
        const Var<T> w_h = slice(w, 0, D);
        const Var<T> b = tape.watch(bias);
        // f c + (1 - f) g is written as g + f (c - g), where f occurs once.
        return every_step([=, this](const Var<T>& x, const State& s) -> State {
            detail::check_step("CoupledLSTMCell", x, input_size(), s, hidden_size());
            const auto [f, o, g] = split<3>(matmul(x, w_x) + matmul(s.h, w_h) + b);
            const Var<T> candidate = tanh(g);
            const Var<T> c = candidate + sigmoid(f) * (s.c - candidate);
            const Var<T> h = sigmoid(o) * tanh(c);
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
    }

    Parameter<T> weight, bias;
};

}  // namespace xtape::nn
