#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "nn/bias.hpp"
#include "nn/initialize.hpp"
#include "nn/state_tensor.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

struct LSTMCellOptions {
    bool bias = true;
    /// P; 0: h isn't projected.
    std::size_t projection_size = 0;
};

/// z = W [x; h] + b, split into the pre-activations of the gates i, f, o and of the candidate g;
/// c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g),  h_t = σ(o) ⊙ tanh(c_t).  x (B, D), h and c (B, H).
/// (Hochreiter and Schmidhuber, 1997; the forget gate of Gers et al., 2000)
///
/// W is 4H×(D+H), rows in the order i, f, o, g; it starts normal with deviation √(2 / (D + H)). The bias starts with 0,
/// its forget rows with 1; without a bias it is empty.
///
/// With a projection h_t = W_p (σ(o) ⊙ tanh(c_t)), of shape (B, P); W is 4H×(D+P), W_p P×H. (Sak et al., 2014) Throws
/// std::invalid_argument unless P < H.
template <class T>
struct LSTMCell {
    struct State {
        Var<T> h, c;
    };

    LSTMCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, LSTMCellOptions options = {})
        : weight(Shape{4 * hidden_size,
                       input_size + (options.projection_size > 0 ? options.projection_size : hidden_size)},
                 "weight"),
          bias(Shape{options.bias ? 4 * hidden_size : 0}, "bias"),
          projection(Shape{options.projection_size, options.projection_size > 0 ? hidden_size : 0},
                     "projection") {
        if (options.projection_size > 0 && options.projection_size >= hidden_size) {
            throw std::invalid_argument(
                "[LSTMCell] projection_size is " + std::to_string(options.projection_size) +
                ": expected less than the hidden size, " + std::to_string(hidden_size));
        }
        normal(weight, std::sqrt(2.0 / static_cast<double>(weight.shape()[1])), engine);
        if (options.bias) std::fill_n(bias.data() + hidden_size, hidden_size, T(1));
        if (options.projection_size > 0) xavier_normal(projection, engine);
    }

    std::size_t input_size() const { return weight.shape()[1] - output_size(); }
    std::size_t hidden_size() const { return weight.shape()[0] / 4; }
    /// Of h: H or P.
    std::size_t output_size() const { return projection.size() > 0 ? projection.shape()[0] : hidden_size(); }

    /// The step of a sequence on this tape, (x, {h, c}) -> {h, c}. Throws ShapeError for other shapes.
    auto on(Tape<T>& tape) const {
        const auto D = static_cast<std::ptrdiff_t>(input_size());
        const Var<T> w = transpose(tape.watch(weight));
        const Var<T> w_x = slice(w, 0, 0, D);
        const Var<T> w_h = slice(w, 0, D);
        const Var<T> b = detail::watch_bias(tape, bias);
        const Var<T> w_p = projection.size() > 0 ? transpose(tape.watch(projection)) : Var<T>();
        return every_step([=, this](const Var<T>& x, const State& s) -> State {
            if (w_p) {
                detail::check_step("LSTMCell", x, input_size(), s.h, output_size());
                detail::check_step("LSTMCell", x, input_size(), s.c, hidden_size());
            } else {
                detail::check_step("LSTMCell", x, input_size(), s, hidden_size());
            }
            const auto [i, f, o, g] = split<4>(detail::with_bias(matmul(x, w_x) + matmul(s.h, w_h), b));
            const Var<T> c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            const Var<T> h = sigmoid(o) * tanh(c);
            return {w_p ? Var<T>(matmul(h, w_p)) : h, c};
        });
    }

    State operator()(const Var<T>& x, const State& s) const { return on(x.tape())(x, s); }

    State initial_state(Tape<T>& tape, std::size_t batch) const {
        const Var<T> zero = zeros(tape, {batch, hidden_size()});
        return {projection.size() > 0 ? zeros(tape, {batch, output_size()}) : zero, zero};
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        if (bias.size() > 0) f("bias", bias);
        if (projection.size() > 0) f("projection", projection);
    }
    /// As torch.nn.LSTMCell has them, with two biases and rows in the order i, f, g, o.
    template <class F>
    void visit_state_dict(F&& f) {
        const StateTensor w = StateTensor(weight).blocks(4, {0, 1, 3, 2});
        f("weight_ih", w.columns(0, input_size()));
        f("weight_hh", w.columns(input_size(), weight.shape()[1]));
        if (bias.size() > 0) {
            const StateTensor b = StateTensor(bias).blocks(4, {0, 1, 3, 2});
            f("bias_ih", b);
            f("bias_hh", b.added());
        }
        if (projection.size() > 0) f("weight_hr", projection);
    }

    Parameter<T> weight, bias, projection;
};

}  // namespace xtape::nn
