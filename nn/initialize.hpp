#pragma once

#include <cmath>
#include <cstddef>
#include <functional>

#include "nn/engine.hpp"
#include "nn/module.hpp"

// Starting values. All of them draw from an engine that the caller holds, in double, so that a seed gives the same
// model in float and in double.

namespace xtape::nn {

namespace detail {

/// A source of numbers, each independent of the ones before. The standard's distributions take long to compile.
std::function<double()> normal_numbers(double deviation, Engine& engine);
std::function<double()> uniform_numbers(double bound, Engine& engine);

template <Module M>
void fill(M& module, const std::function<double()>& draw) {
    for_each_parameter(module, [&]<class T>(Parameter<T>& parameter) {
        for (std::size_t k = 0; k < parameter.size(); ++k) parameter.data()[k] = static_cast<T>(draw());
    });
}

}  // namespace detail

/// Every element of every parameter independent, normal with mean 0.
template <Module M>
void normal(M& module, double deviation, Engine& engine) {
    detail::fill(module, detail::normal_numbers(deviation, engine));
}

/// Uniform in [-bound, bound).
template <Module M>
void uniform(M& module, double bound, Engine& engine) {
    detail::fill(module, detail::uniform_numbers(bound, engine));
}

/// Every element the same.
template <Module M>
void constant(M& module, double value) {
    for_each_parameter(module, [&]<class T>(Parameter<T>& parameter) {
        for (std::size_t k = 0; k < parameter.size(); ++k) parameter.data()[k] = static_cast<T>(value);
    });
}

/// What PyTorch starts its recurrent layers with: weights and biases uniform in ±1/√H.
template <Module M>
void pytorch_uniform(M& module, std::size_t hidden_size, Engine& engine) {
    uniform(module, 1 / std::sqrt(static_cast<double>(hidden_size)), engine);
}

/// Normal with deviation gain · √(2 / (inputs + outputs)), for a weight (outputs, inputs). Throws ShapeError for
/// anything but a matrix. Glorot and Bengio, 2010.
template <class T>
void xavier_normal(Parameter<T>& weight, Engine& engine, double gain = 1);
/// Uniform in ±gain · √(6 / (inputs + outputs)): the same deviation.
template <class T>
void xavier_uniform(Parameter<T>& weight, Engine& engine, double gain = 1);
/// Normal with deviation √(2 / inputs), which keeps the variance through a relu. He et al., 2015.
template <class T>
void kaiming_normal(Parameter<T>& weight, Engine& engine);
/// Uniform in ±√(6 / inputs).
template <class T>
void kaiming_uniform(Parameter<T>& weight, Engine& engine);
/// gain · Q with orthonormal rows, or columns if there are fewer of them, uniformly distributed. Saxe et al., 2013.
template <class T>
void orthogonal(Parameter<T>& weight, Engine& engine, double gain = 1);

}  // namespace xtape::nn
