#pragma once

#include <cstddef>
#include <type_traits>

#include "autograd/matrix_view.hpp"
#include "autograd/packed_matrix.hpp"

namespace xtape {

/// c = a b + beta c with a m×k, b k×n and c m×n; the one place through which matrix products go.
/// a and b may have any strides: one unit stride goes to BLAS as it is, anything else is copied first.
/// c has unit column stride and must not overlap a or b. beta is 0 or 1; with 0, c is only written, so it
/// may hold anything, NaN included. k = 0 gives beta c.
/// Throws ShapeError when the sizes don't fit.
template <class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, MatrixView<const std::type_identity_t<T>> b,
          std::type_identity_t<T> beta, MatrixView<T> c);

/// Whether products of so many multiplications are done by a packed copy of b, so that the bits of an element are the same
/// in every block of the result that is as large.
template <class T>
bool multiplies_packed(std::size_t multiplications);

}  // namespace xtape
