#include "autograd/strided.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "autograd/arena.hpp"
#include "autograd/kernels/kernels.hpp"
#include "autograd/rows.hpp"

namespace xtape {
namespace {

template <class T>
T sum_steps(std::size_t n, const T* from, std::ptrdiff_t stride) {
    constexpr std::size_t block = 256;
    if (n > block) {
        const std::size_t half = n / 2;
        return sum_steps(half, from, stride) +
               sum_steps(n - half, from + static_cast<std::ptrdiff_t>(half) * stride, stride);
    }
    T sum = 0;
    for (std::size_t i = 0; i < n; ++i, from += stride) sum += *from;
    return sum;
}

}  // namespace

template <class T>
T sum_row(std::size_t n, const T* from) {
    return kernels<T>().sum(n, from);
}

template <class T>
void copy_row(std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride) {
    if (from_stride == 1 && to_stride == 1) {
        std::memcpy(to, from, n * sizeof(T));
        return;
    }
    for (std::size_t i = 0; i < n; ++i, from += from_stride, to += to_stride) *to = *from;
}

template <class T>
void add_row(std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride) {
    if (from_stride == 1 && to_stride == 1) {
        kernels<T>().add(n, from, to);
    } else if (from_stride == 1 && to_stride == 0) {
        *to += sum_row(n, from);
    } else if (to_stride == 0) {
        *to += sum_steps(n, from, from_stride);
    } else {
        for (std::size_t i = 0; i < n; ++i, from += from_stride, to += to_stride) *to += *from;
    }
}

template <class T>
void add_columns(std::size_t rows, std::size_t columns, const T* from, std::ptrdiff_t row_stride, T* to) {
    constexpr std::size_t row_block = 128;
    constexpr std::size_t column_block = 512;
    if (rows <= row_block) {
        for (std::size_t i = 0; i < rows; ++i, from += row_stride) add_row(columns, from, 1, to, 1);
        return;
    }
    // By halves, so that the error of a long sum hardly grows with its length.
    const std::size_t half = rows / 2;
    const T* const second = from + static_cast<std::ptrdiff_t>(half) * row_stride;
    alignas(buffer_alignment) T sum[column_block];
    for (std::size_t j = 0; j < columns; j += column_block) {
        const std::size_t width = std::min(column_block, columns - j);
        for (const auto& [first_row, count] : {std::pair(from, half), std::pair(second, rows - half)}) {
            std::fill_n(sum, width, T(0));
            add_columns(count, width, first_row + j, row_stride, sum);
            add_row(width, static_cast<const T*>(sum), 1, to + j, 1);
        }
    }
}

template <class T>
void copy_strided(const Shape& shape, const T* from, const Strides& from_strides, T* to,
                  const Strides& to_strides) {
    Rows<2> rows(shape);
    rows.add(from_strides);
    rows.add(to_strides);
    rows.merge();
    if (rows.empty()) return;
    do {
        copy_row(rows.row_length(), from + rows.offset(0), rows.inner_stride(0), to + rows.offset(1),
                 rows.inner_stride(1));
    } while (rows.next());
}

template <class T>
void add_strided(const Shape& shape, const T* from, const Strides& from_strides, T* to,
                 const Strides& to_strides) {
    Rows<2> rows(shape);
    rows.add(from_strides);
    rows.add(to_strides);
    rows.merge();
    if (rows.empty()) return;
    if (rows.rank() == 2 && rows.outer_stride(1) == 0 && rows.inner_stride(1) == 1 &&
        rows.inner_stride(0) == 1) {
        add_columns(rows.outer_extent(), rows.row_length(), from, rows.outer_stride(0), to);
        return;
    }
    do {
        add_row(rows.row_length(), from + rows.offset(0), rows.inner_stride(0), to + rows.offset(1),
                rows.inner_stride(1));
    } while (rows.next());
}

#define XTAPE_INSTANTIATE(T)                                                                \
    template void copy_strided(const Shape&, const T*, const Strides&, T*, const Strides&); \
    template void add_strided(const Shape&, const T*, const Strides&, T*, const Strides&);  \
    template void copy_row(std::size_t, const T*, std::ptrdiff_t, T*, std::ptrdiff_t);      \
    template void add_row(std::size_t, const T*, std::ptrdiff_t, T*, std::ptrdiff_t);       \
    template void add_columns(std::size_t, std::size_t, const T*, std::ptrdiff_t, T*);      \
    template T sum_row(std::size_t, const T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
