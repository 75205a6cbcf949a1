#pragma once

#include <cstddef>
#include <type_traits>

namespace xtape {

/// A matrix in memory that someone else owns: element (i, j) is data[i * row_stride + j * col_stride].
/// Transposes and blocks are views again; strides may be anything, 0 and negative ones included.
template <class T>
struct MatrixView {
    T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t col_stride = 1;

    constexpr MatrixView() = default;

    /// Row-major and contiguous.
    constexpr MatrixView(T* data_, std::size_t rows_, std::size_t cols_)
        : MatrixView(data_, rows_, cols_, static_cast<std::ptrdiff_t>(cols_)) {}

    constexpr MatrixView(T* data_, std::size_t rows_, std::size_t cols_, std::ptrdiff_t row_stride_,
                         std::ptrdiff_t col_stride_ = 1)
        : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_), col_stride(col_stride_) {}

    constexpr operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
        return {data, rows, cols, row_stride, col_stride};
    }

    constexpr T* at(std::size_t i, std::size_t j) const {
        return data + static_cast<std::ptrdiff_t>(i) * row_stride +
               static_cast<std::ptrdiff_t>(j) * col_stride;
    }

    constexpr T& operator()(std::size_t i, std::size_t j) const { return *at(i, j); }

    constexpr MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }

    constexpr MatrixView row_block(std::size_t begin, std::size_t count) const {
        return {at(begin, 0), count, cols, row_stride, col_stride};
    }

    constexpr MatrixView column_block(std::size_t begin, std::size_t count) const {
        return {at(0, begin), rows, count, row_stride, col_stride};
    }
};

}  // namespace xtape
