#pragma once

#include <cstddef>

#include "benchmarks/nn_cells.hpp"

// Cells as a user writes them, without nn's: weights and equations. Each weight is one matrix with the rows of all gates.

namespace bench {

template <class T>
xtape::Parameter<T> parameter(const xtape::Shape& shape, const Buffer<T>& values) {
    xtape::Parameter<T> result(shape);
    fill(result, values);
    return result;
}

/// The parameters of a problem, in its layout.
template <class T>
struct Weights {
    explicit Weights(const Problem<T>& problem)
        : w_x(parameter({gate_count(problem.cell) * problem.size.hidden, problem.size.inputs}, problem.w_x)),
          w_h(parameter({gate_count(problem.cell) * problem.size.hidden, problem.size.hidden}, problem.w_h)),
          bias(parameter({gate_count(problem.cell) * problem.size.hidden}, problem.bias)),
          bias_n(parameter({problem.bias_n.size()}, problem.bias_n)) {}

    xtape::Parameter<T> w_x, w_h, bias, bias_n;
};

template <class T>
struct UserLstm : Weights<T> {
    using Var = xtape::Var<T>;
    struct State {
        Var h, c;
    };
    using Weights<T>::Weights;

    auto on(xtape::Tape<T>& tape) const {
        const Var w = transpose(tape.watch(this->w_x)), u = transpose(tape.watch(this->w_h)),
                  b = tape.watch(this->bias);
        return xtape::nn::every_step([=](const Var& x, const State& s) -> State {
            const auto [i, f, o, g] = xtape::split<4>(matmul(x, w) + matmul(s.h, u) + b);
            const Var c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            return {sigmoid(o) * tanh(c), c};
        });
    }
};

/// The reset gate acts before the product, as in Cho et al. (2014).
template <class T>
struct UserGru : Weights<T> {
    using Var = xtape::Var<T>;
    using State = Var;
    using Weights<T>::Weights;

    auto on(xtape::Tape<T>& tape) const {
        const auto H = static_cast<std::ptrdiff_t>(this->w_h.shape()[1]);
        const Var w = transpose(tape.watch(this->w_x)), u = transpose(tape.watch(this->w_h)),
                  b = tape.watch(this->bias);
        const Var w_rz = slice(w, 1, 0, 2 * H), u_rz = slice(u, 1, 0, 2 * H), b_rz = slice(b, 0, 0, 2 * H);
        const Var w_n = slice(w, 1, 2 * H), u_n = slice(u, 1, 2 * H), b_n = slice(b, 0, 2 * H);
        return xtape::nn::every_step([=](const Var& x, const Var& h) -> Var {
            const auto [r, z] = xtape::split<2>(matmul(x, w_rz) + matmul(h, u_rz) + b_rz);
            const Var n = matmul(x, w_n) + matmul(sigmoid(r) * h, u_n) + b_n;
            return h + (1 - sigmoid(z)) * (tanh(n) - h);
        });
    }
};

/// The reset gate acts after the product, as in PyTorch.
template <class T>
struct UserGruResetAfter : Weights<T> {
    using Var = xtape::Var<T>;
    using State = Var;
    using Weights<T>::Weights;

    auto on(xtape::Tape<T>& tape) const {
        const Var w = transpose(tape.watch(this->w_x)), u = transpose(tape.watch(this->w_h)),
                  b = tape.watch(this->bias), c_n = tape.watch(this->bias_n);
        return xtape::nn::every_step([=](const Var& x, const Var& h) -> Var {
            const auto [x_r, x_z, x_n] = xtape::split<3>(matmul(x, w) + b);
            const auto [h_r, h_z, h_n] = xtape::split<3>(matmul(h, u));
            const auto n = tanh(x_n + sigmoid(x_r + h_r) * (h_n + c_n));
            return h + (1 - sigmoid(x_z + h_z)) * (n - h);
        });
    }
};

/// The minimal gated unit of Zhou et al. (2016).
template <class T>
struct UserMgu : Weights<T> {
    using Var = xtape::Var<T>;
    using State = Var;
    using Weights<T>::Weights;

    auto on(xtape::Tape<T>& tape) const {
        const auto H = static_cast<std::ptrdiff_t>(this->w_h.shape()[1]);
        const Var w = transpose(tape.watch(this->w_x)), u = transpose(tape.watch(this->w_h)),
                  b = tape.watch(this->bias);
        const Var w_f = slice(w, 1, 0, H), u_f = slice(u, 1, 0, H), b_f = slice(b, 0, 0, H);
        const Var w_n = slice(w, 1, H), u_n = slice(u, 1, H), b_n = slice(b, 0, H);
        return xtape::nn::every_step([=](const Var& x, const Var& h) -> Var {
            const Var f = sigmoid(matmul(x, w_f) + matmul(h, u_f) + b_f);
            const Var n = matmul(x, w_n) + matmul(f * h, u_n) + b_n;
            return h + f * (tanh(n) - h);
        });
    }
};

}  // namespace bench
