#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "nn/bias.hpp"
#include "nn/initialize.hpp"
#include "nn/state_tensor.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// Where the reset gate acts: on the state before it is multiplied, as in the original, or on the product, as in cuDNN
/// and PyTorch, which lets all of h be multiplied at once.
enum class Reset { before_product, after_product };

struct GRUCellOptions {
    Reset reset = Reset::after_product;
    bool bias = true;
};

/// r = σ(W_r x + U_r h + b_r),  z = σ(W_z x + U_z h + b_z),  h' = (1 - z) ⊙ n + z ⊙ h,  where
///     reset before the product:  n = tanh(W_n x + b_n + U_n (r ⊙ h))           (Cho et al., 2014)
///     reset after the product:   n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
/// x (B, D), h (B, H).
///
/// weight_x is 3H×D, weight_h 3H×H and bias 3H, rows in the order r, z, n; bias_n (H) is c_n. Weights start normal with
/// deviation √(2 / (D + H)), biases with 0. Without biases both are empty.
template <class T>
struct GRUCell {
    using State = Var<T>;

    GRUCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, GRUCellOptions options = {})
        : weight_x(Shape{3 * hidden_size, input_size}, "weight_x"),
          weight_h(Shape{3 * hidden_size, hidden_size}, "weight_h"),
          bias(Shape{options.bias ? 3 * hidden_size : 0}, "bias"),
          bias_n(Shape{options.bias ? hidden_size : 0}, "bias_n"),
          reset(options.reset) {
        const double deviation = std::sqrt(2.0 / static_cast<double>(input_size + hidden_size));
        normal(weight_x, deviation, engine);
        normal(weight_h, deviation, engine);
    }
    GRUCell(std::size_t input_size, std::size_t hidden_size, Engine& engine, Reset form)
        : GRUCell(input_size, hidden_size, engine, GRUCellOptions{.reset = form}) {}

    std::size_t input_size() const { return weight_x.shape()[1]; }
    std::size_t hidden_size() const { return weight_h.shape()[1]; }

    /// The step of a sequence on this tape, (x, h) -> h. Throws ShapeError for other shapes.
    auto on(Tape<T>& tape) const {
        const auto H = static_cast<std::ptrdiff_t>(hidden_size());
        const Var<T> w = transpose(tape.watch(weight_x));
        const Var<T> u = transpose(tape.watch(weight_h));
        const Var<T> b = detail::watch_bias(tape, bias);
        const bool after = reset == Reset::after_product;
        const Var<T> c_n = after ? detail::watch_bias(tape, bias_n) : Var<T>();
        const Var<T> w_rz = after ? Var<T>() : slice(w, 1, 0, 2 * H);
        const Var<T> w_n = after ? Var<T>() : slice(w, 1, 2 * H);
        const Var<T> u_rz = after ? Var<T>() : slice(u, 1, 0, 2 * H);
        const Var<T> u_n = after ? Var<T>() : slice(u, 1, 2 * H);
        const Var<T> b_rz = after || !b ? Var<T>() : slice(b, 0, 0, 2 * H);
        const Var<T> b_n = after || !b ? Var<T>() : slice(b, 0, 2 * H);
        // (1 - z) n + z h is written as h + (1 - z) (n - h), where z and n occur once: one statement computes both.
        return every_step([=, this](const Var<T>& x, const Var<T>& h) -> Var<T> {
            detail::check_step("GRUCell", x, input_size(), h, hidden_size());
            if (after) {
                const auto [x_r, x_z, x_n] = split<3>(detail::with_bias(matmul(x, w), b));
                const auto [h_r, h_z, h_n] = split<3>(matmul(h, u));
                const auto z = sigmoid(x_z + h_z);
                const auto r = sigmoid(x_r + h_r);
                if (!c_n) return h + (1 - z) * (tanh(x_n + r * h_n) - h);
                return h + (1 - z) * (tanh(x_n + r * (h_n + c_n)) - h);
            }
            const auto [r, z] = split<2>(detail::with_bias(matmul(x, w_rz) + matmul(h, u_rz), b_rz));
            const Var<T> n = detail::with_bias(matmul(x, w_n) + matmul(sigmoid(r) * h, u_n), b_n);
            return h + (1 - sigmoid(z)) * (tanh(n) - h);
        });
    }

    Var<T> operator()(const Var<T>& x, const Var<T>& h) const { return on(x.tape())(x, h); }

    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return zeros(tape, {batch, hidden_size()});
    }

    template <class F>
    void visit(F&& f) {
        f("weight_x", weight_x);
        f("weight_h", weight_h);
        if (bias.size() == 0) return;
        f("bias", bias);
        if (reset == Reset::after_product) f("bias_n", bias_n);
    }
    /// As torch.nn.GRUCell has them, with two biases. Throws std::invalid_argument for the form that it hasn't.
    template <class F>
    void visit_state_dict(F&& f) {
        if (reset == Reset::before_product) {
            throw std::invalid_argument(
                "[GRUCell] a state dict of PyTorch for Reset::before_product: expected "
                "Reset::after_product, the only form that PyTorch has");
        }
        f("weight_ih", weight_x);
        f("weight_hh", weight_h);
        if (bias.size() == 0) return;
        f("bias_ih", bias);
        f("bias_hh", StateTensor(bias).blocks(3, {0, 1}).added().then(StateTensor(bias_n)));
    }

    Parameter<T> weight_x, weight_h, bias, bias_n;
    Reset reset;
};

}  // namespace xtape::nn
