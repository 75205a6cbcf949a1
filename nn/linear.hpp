#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include "nn/initialize.hpp"

namespace xtape::nn {

/// y = x Wᵀ + b, for x (..., inputs): y (..., outputs). W (outputs, inputs) starts normal with deviation
/// √(2 / (inputs + outputs)), b (outputs) with 0. Throws ShapeError for other inputs.
template <class T>
struct Linear {
    Linear(std::size_t input_size, std::size_t output_size, Engine& engine)
        : weight(Shape{output_size, input_size}, "weight"), bias(Shape{output_size}, "bias") {
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
        return matmul(x, transpose(tape.watch(weight))) + tape.watch(bias);
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        f("bias", bias);
    }

    Parameter<T> weight, bias;
};

}  // namespace xtape::nn
