#pragma once

#include <cmath>
#include <cstddef>

#include "nn/bias.hpp"
#include "nn/initialize.hpp"
#include "nn/state_tensor.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

enum class Activation { tanh, relu };

struct RNNCellOptions {
    Activation activation = Activation::tanh;
    bool bias = true;
};

/// h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h), or relu in place of tanh (Elman, 1990). x (B, D), h (B, H).
///
/// Both weights start normal with deviation √(2 / (D + H)), the bias with 0. Without a bias b_h is empty.
template <class T>
struct RNNCell {
    using State = Var<T>;

    RNNCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, RNNCellOptions options = {})
        : w_xh(Shape{hidden_size, input_size}, "w_xh"),
          w_hh(Shape{hidden_size, hidden_size}, "w_hh"),
          b_h(Shape{options.bias ? hidden_size : 0}, "b_h"),
          activation(options.activation) {
        const double deviation = std::sqrt(2.0 / static_cast<double>(input_size + hidden_size));
        normal(w_xh, deviation, engine);
        normal(w_hh, deviation, engine);
    }
    RNNCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, Activation function)
        : RNNCell(input_size, hidden_size, engine, RNNCellOptions{.activation = function}) {}

    std::size_t input_size() const { return w_xh.shape()[1]; }
    std::size_t hidden_size() const { return w_xh.shape()[0]; }

    /// The step of a sequence on this tape, (x, h) -> h. Throws ShapeError for an x or h of another shape.
    auto on(Tape<T>& tape) const {
        const Var<T> wx = transpose(tape.watch(w_xh));
        const Var<T> wh = transpose(tape.watch(w_hh));
        const Var<T> b = detail::watch_bias(tape, b_h);
        return every_step([=, this](const Var<T>& x, const Var<T>& h) -> Var<T> {
            detail::check_step("RNNCell", x, input_size(), h, hidden_size());
            const Var<T> z = detail::with_bias(matmul(x, wx) + matmul(h, wh), b);
            if (activation == Activation::relu) return relu(z);
            return tanh(z);
        });
    }

    Var<T> operator()(const Var<T>& x, const Var<T>& h) const { return on(x.tape())(x, h); }

    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return zeros(tape, {batch, hidden_size()});
    }

    template <class F>
    void visit(F&& f) {
        f("w_xh", w_xh);
        f("w_hh", w_hh);
        if (b_h.size() > 0) f("b_h", b_h);
    }
    /// As torch.nn.RNNCell has them, with two biases.
    template <class F>
    void visit_state_dict(F&& f) {
        f("weight_ih", w_xh);
        f("weight_hh", w_hh);
        if (b_h.size() == 0) return;
        f("bias_ih", b_h);
        f("bias_hh", StateTensor(b_h).added());
    }

    Parameter<T> w_xh, w_hh, b_h;
    Activation activation;
};

}  // namespace xtape::nn
