#pragma once

#include "autograd/autograd.hpp"

// Cells may do without a bias: then its parameter is empty, and so is the Var.

namespace xtape::nn::detail {

template <class T>
Var<T> watch_bias(Tape<T>& tape, const Parameter<T>& bias) {
    return bias.size() > 0 ? tape.watch(bias) : Var<T>();
}

template <class T>
Affine<T> with_bias(Affine<T> products, const Var<T>& bias) {
    if (bias) products.add_addend(bias);
    return products;
}

}  // namespace xtape::nn::detail
