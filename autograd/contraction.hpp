#pragma once

#include "autograd/matmul.hpp"

namespace xtape {

/// Computes a sum of products and records it as one node: see contraction.cpp. Each left operand's leading axes must
/// merge into rows, each right operand is a matrix, and every addend broadcasts to `shape`.
template <class T>
Var<T> record_affine(Tape<T>& tape, const Affine<T>& affine, const Shape& shape);

}  // namespace xtape
