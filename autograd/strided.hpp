#pragma once

#include <cstddef>

#include "autograd/shape.hpp"

// Plain loops over elements with strides: what views, broadcasting and gradients are moved with.

namespace xtape {

/// to = from, element by element; a source stride of 0 repeats.
template <class T>
void copy_strided(const Shape& shape, const T* from, const Strides& from_strides, T* to,
                  const Strides& to_strides);

/// to += from; where a target stride is 0 the source is summed along that axis, blockwise, so that long sums keep
/// their accuracy.
template <class T>
void add_strided(const Shape& shape, const T* from, const Strides& from_strides, T* to,
                 const Strides& to_strides);

/// The one for the first contribution, the other for those after it.
template <class T>
void put_strided(bool first, const Shape& shape, const T* from, const Strides& from_strides, T* to,
                 const Strides& to_strides) {
    if (first)
        copy_strided(shape, from, from_strides, to, to_strides);
    else
        add_strided(shape, from, from_strides, to, to_strides);
}

/// to[j] += Σ_i from[i, j], for rows of neighbours `row_stride` apart.
template <class T>
void add_columns(std::size_t rows, std::size_t columns, const T* from, std::ptrdiff_t row_stride, T* to);

/// Row loops that these are made of. A stride counts elements; 0 sums into, or repeats, one element.
template <class T>
void copy_row(std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride);
template <class T>
void add_row(std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride);
/// The sum of n neighbours, by halves down to blocks of a few vectors.
template <class T>
T sum_row(std::size_t n, const T* from);

}  // namespace xtape
