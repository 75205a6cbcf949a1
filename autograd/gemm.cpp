#include "autograd/gemm.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <xtensor-blas/xblas.hpp>

#include "autograd/blas_threads.hpp"
#include "autograd/memory.hpp"
#include "autograd/product_sizes.hpp"

namespace xtape {
namespace {

using Index = xt::blas_index_t;

Index index(std::size_t value) {
    if (value > static_cast<std::size_t>(std::numeric_limits<Index>::max()))
        throw std::length_error("[gemm] size " + std::to_string(value) + " is larger than a BLAS index");
    return static_cast<Index>(value);
}

template <class T>
void fill_zero(const MatrixView<T>& c) {
    for (std::size_t i = 0; i < c.rows; ++i)
        for (std::size_t j = 0; j < c.cols; ++j) c(i, j) = T(0);
}

/// What BLAS takes: a row-major matrix or its transpose, and the distance between its rows.
template <class T>
struct BlasOperand {
    const T* data;
    Index leading;
    cxxblas::Transpose op;
};

/// True when consecutive rows can be addressed with a BLAS leading dimension.
template <class T>
bool is_row_major(const MatrixView<const T>& a) {
    bool unit = a.col_stride == 1 || a.cols == 1;
    return unit &&
           (a.rows == 1 || a.row_stride >= static_cast<std::ptrdiff_t>(std::max<std::size_t>(a.cols, 1)));
}

template <class T>
Index leading_dimension(const MatrixView<const T>& a) {
    return a.rows == 1 ? index(std::max<std::size_t>(a.cols, 1))
                       : index(static_cast<std::size_t>(a.row_stride));
}

/// A matrix BLAS can read: a itself, or a copy of it in `copy`, whose memory outlives the call for the next
/// one.
template <class T>
BlasOperand<T> operand(const MatrixView<const T>& a, std::vector<T>& copy) {
    if (is_row_major(a)) return {a.data, leading_dimension(a), cxxblas::NoTrans};
    MatrixView<const T> t = a.transposed();
    if (is_row_major(t)) return {t.data, leading_dimension(t), cxxblas::Trans};
    copy.resize(a.rows * a.cols);
    MatrixView<T> dense(copy.data(), a.rows, a.cols);
    for (std::size_t i = 0; i < a.rows; ++i)
        for (std::size_t j = 0; j < a.cols; ++j) dense(i, j) = a(i, j);
    return {copy.data(), index(a.cols), cxxblas::NoTrans};
}

/// c = a x + c for a column x and a column c.
template <class T>
void add_matrix_times_column(const MatrixView<const T>& a, const MatrixView<const T>& x,
                             const MatrixView<T>& c) {
    thread_local std::vector<T> a_copy, x_copy;
    BlasOperand<T> matrix = operand(a, a_copy), column = operand(x, x_copy);
    bool stored = matrix.op == cxxblas::NoTrans;
    const OneBlasThread one_thread;
    cxxblas::gemv<Index>(cxxblas::RowMajor, matrix.op, index(stored ? a.rows : a.cols),
                         index(stored ? a.cols : a.rows), T(1), matrix.data, matrix.leading, column.data,
                         column.leading, T(1), c.data,
                         c.rows == 1 ? 1 : index(static_cast<std::size_t>(c.row_stride)));
}

/// c = a b + beta c for a column a and a row b.
template <class T>
void multiply_column_by_row(const MatrixView<const T>& a, const MatrixView<const T>& b, T beta,
                            const MatrixView<T>& c) {
    for (std::size_t i = 0; i < c.rows; ++i) {
        const T factor = *a.at(i, 0);
        const T* const __restrict row = b.data;
        T* const __restrict to = c.at(i, 0);
        if (beta == T(0))
            for (std::size_t j = 0; j < c.cols; ++j) to[j] = factor * row[j];
        else
            for (std::size_t j = 0; j < c.cols; ++j) to[j] += factor * row[j];
    }
}

/// Memory for a right operand that is packed for one product: a block of rows and columns that fits the second-level
/// cache.
constexpr std::size_t block_bytes = std::size_t(1) << 20;
constexpr std::size_t least_rows = 768;  // so that c is read and written seldom
constexpr std::size_t panel = 48;        // a multiple of every kernel's

/// c = a b + beta c by packing b on the way, where that beats BLAS.
template <class T>
bool multiply_packed(const MatrixView<const T>& a, const MatrixView<const T>& b, T beta,
                     const MatrixView<T>& c) {
    if (!packing_pays<T>(c.rows, b.rows, c.cols, 1, b.col_stride != 1)) return false;
    thread_local const Memory memory(block_bytes);
    constexpr std::size_t size = block_bytes / sizeof(T);
    const std::size_t all_columns = (b.cols + panel - 1) / panel * panel;
    const std::size_t rows = std::min(b.rows, std::max(size / all_columns, least_rows));
    const std::size_t columns = size / rows / panel * panel;
    for (std::size_t row = 0; row < b.rows; row += rows) {
        const std::size_t depth = std::min(rows, b.rows - row);
        for (std::size_t begin = 0; begin < b.cols; begin += columns) {
            const std::size_t count = std::min(columns, b.cols - begin);
            PackedMatrix<T> block =
                pack(b.row_block(row, depth).column_block(begin, count), reinterpret_cast<T*>(memory.data()));
            // What is left over for a last block mustn't decide how its sums are made.
            if (depth < b.rows || count < b.cols) block.sums = 1;
            gemm(a.column_block(row, depth), block, row > 0 ? T(1) : beta, c.column_block(begin, count));
        }
    }
    return true;
}

}  // namespace

template <class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, MatrixView<const std::type_identity_t<T>> b,
          std::type_identity_t<T> beta, MatrixView<T> c) {
    detail::check_product<T>(a, b.rows, b.cols, beta, c);
    if (c.rows == 0 || c.cols == 0) return;
    // BLAS libraries disagree on whether 0 · NaN in c is 0 for gemv and for k = 0, so these are cleared here.
    bool vector = c.rows == 1 || c.cols == 1;
    if (beta == T(0) && (vector || a.cols == 0)) fill_zero(c);
    if (a.cols == 0) return;

    if (c.cols == 1) return add_matrix_times_column<T>(a, b, c);
    if (c.rows == 1) return add_matrix_times_column<T>(b.transposed(), a.transposed(), c.transposed());
    // BLAS packs both operands for this.
    if (a.cols == 1 && b.col_stride == 1) return multiply_column_by_row<T>(a, b, beta, c);
    if (multiply_packed<T>(a, b, beta, c)) return;
    thread_local std::vector<T> a_copy, b_copy;
    BlasOperand<T> left = operand<T>(a, a_copy), right = operand<T>(b, b_copy);
    const OneBlasThread one_thread;
    cxxblas::gemm<Index>(cxxblas::RowMajor, left.op, right.op, index(c.rows), index(c.cols), index(a.cols),
                         T(1), left.data, left.leading, right.data, right.leading, beta, c.data,
                         index(static_cast<std::size_t>(c.row_stride)));
}

template void gemm<float>(MatrixView<const float>, MatrixView<const float>, float, MatrixView<float>);
template void gemm<double>(MatrixView<const double>, MatrixView<const double>, double, MatrixView<double>);

}  // namespace xtape
