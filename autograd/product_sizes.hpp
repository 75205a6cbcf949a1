#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

#include "autograd/error.hpp"
#include "autograd/matrix_view.hpp"
#include "autograd/shape.hpp"

namespace xtape::detail {

/// What every product asks of its operands: a m×k, b k×n and c m×n, whose rows are contiguous and apart.
template <class T>
void check_product(const MatrixView<const T>& a, std::size_t b_rows, std::size_t b_cols, T beta,
                   const MatrixView<T>& c) {
    if (a.cols != b_rows || a.rows != c.rows || b_cols != c.cols)
        throw ShapeError("[gemm] " + to_string(Shape{a.rows, a.cols}) + " times " +
                         to_string(Shape{b_rows, b_cols}) + " into " + to_string(Shape{c.rows, c.cols}) +
                         ": expected (m, k) times (k, n) into (m, n)");
    if ((c.cols > 1 && c.col_stride != 1) ||
        (c.rows > 1 && c.row_stride < static_cast<std::ptrdiff_t>(c.cols)))
        throw ShapeError("[gemm] the result " + to_string(Shape{c.rows, c.cols}) + " has row stride " +
                         std::to_string(c.row_stride) + " and column stride " + std::to_string(c.col_stride) +
                         ": expected unit column stride and rows that don't overlap");
    if (beta != T(0) && beta != T(1))
        throw std::invalid_argument("[gemm] beta is " + std::to_string(beta) + ": expected 0 or 1");
}

}  // namespace xtape::detail
