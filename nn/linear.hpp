#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include "nn/bias.hpp"
#include "nn/initialize.hpp"

namespace xtape::nn {

struct LinearOptions {
    bool bias = true;
};

/// y = x Wᵀ + b, for x (..., inputs): y (..., outputs). W (outputs, inputs) starts normal with deviation
/// √(2 / (inputs + outputs)), b (outputs) with 0; without a bias b is empty. Throws ShapeError for other inputs.
template <class T>
struct Linear {
    Linear(std::size_t input_size, std::size_t output_size, Engine& engine, LinearOptions options = {})
        : weight(Shape{output_size, input_size}, "weight"),
          bias(Shape{options.bias ? output_size : 0}, "bias") {
        xavier_normal(weight, engine);
    }

    std::size_t input_size() const { return weight.shape()[1]; }
    std::size_t output_size() const { return weight.shape()[0]; }

    Var<T> operator()(const Var<T>& x) const {
        if (x.rank() == 0 || x.shape().back() != input_size()) {
            throw ShapeError("[Linear] an input of shape " + to_string(x.shape()) +
                             " for a weight of shape " + to_string(weight.shape()) + ": expected (..., " +
                             std::to_string(input_size()) + ")");
        }
        Tape<T>& tape = x.tape();
        return detail::with_bias(matmul(x, transpose(tape.watch(weight))), detail::watch_bias(tape, bias));
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        if (bias.size() > 0) f("bias", bias);
    }

    Parameter<T> weight, bias;
};

}  // namespace xtape::nn
