#pragma once

#include <cstddef>
#include <span>

#include "autograd/matrix_view.hpp"
#include "autograd/packed_matrix.hpp"

// The compiled loops in which the time goes, once for each instruction set, so that a library that runs on every
// processor is fast on this one. Statements aren't among them: they are compiled in the user's program, with its flags.

namespace xtape {

enum class InstructionSet { baseline, avx2, avx512 };

/// What products are added to: rows of values, the same one again and again with a stride of 0, or nothing.
template <class T>
struct ProductStart {
    const T* data = nullptr;
    std::ptrdiff_t row_stride = 0;
};

/// c = start + a times some columns of a packed matrix; a few rows, all columns whole vectors. A panel follows the one
/// before it at panel_stride.
template <class T>
using ProductTile = void (*)(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                             const ProductStart<T>& start, T* c, std::ptrdiff_t c_stride);

/// Products are summed by slices of k of at most this length: so many rows of a panel stay in the first-level cache while
/// the rows of a pass over it.
inline constexpr std::size_t product_depth = 192;

template <class T>
struct Kernels {
    InstructionSet set;

    // ---- rows of n neighbours ----
    /// to += from
    void (*add)(std::size_t n, const T* from, T* to);
    T (*sum)(std::size_t n, const T* from);
    /// The largest or smallest of `best` and the row; NaN if there is one.
    T (*max)(std::size_t n, const T* x, T best);
    T (*min)(std::size_t n, const T* x, T best);
    /// The same for each of n columns.
    void (*max_each)(std::size_t n, const T* x, T* best);
    void (*min_each)(std::size_t n, const T* x, T* best);
    T (*logsumexp)(std::size_t n, const T* x);
    void (*softmax)(std::size_t n, const T* x, T* y);
    void (*log_softmax)(std::size_t n, const T* x, T* y);
    /// Their gradients: dx is written if this is its first contribution, else added to; it may be dy.
    void (*pull_logsumexp)(std::size_t n, const T* x, T y, T dy, bool first, T* dx);
    void (*pull_softmax)(std::size_t n, const T* y, const T* dy, bool first, T* dx);
    void (*pull_log_softmax)(std::size_t n, const T* y, const T* dy, bool first, T* dx);

    // ---- products by a packed matrix ----
    std::size_t width;        // values in a register
    std::size_t panel_width;  // columns of a panel of the packed matrix
    /// Whether these products can compete with a BLAS that chooses its kernels at run time.
    bool wide;
    void (*pack)(const MatrixView<const T>& b, T* memory);
    void (*multiply)(const MatrixView<const T>& a, const PackedMatrix<T>& b, const ProductStart<T>& start,
                     const MatrixView<T>& c);
    /// The tile for some rows of a product by b and some vectors of its columns, and how many rows and columns it takes
    /// at most.
    ProductTile<T> (*tile)(const PackedMatrix<T>& b, std::size_t rows, std::size_t vectors);
    std::size_t (*tile_rows)(const PackedMatrix<T>& b);
    std::size_t (*tile_columns)(const PackedMatrix<T>& b, std::size_t rows);
};

/// The fastest that this processor can run, or the fastest up to the one that the environment variable
/// XTAPE_INSTRUCTION_SET names (baseline, avx2 or avx512; anything else is an error). Chosen once.
template <class T>
const Kernels<T>& kernels();

/// All that this processor can run, the slowest first.
template <class T>
std::span<const Kernels<T>* const> available_kernels();

namespace detail {
/// Defined by instruction_set.cpp, which cmake/kernels.cmake compiles once for each set.
template <InstructionSet set, class T>
struct CompiledFor {
    static const Kernels<T> kernels;
};
template <>
const Kernels<float> CompiledFor<InstructionSet::baseline, float>::kernels;
template <>
const Kernels<double> CompiledFor<InstructionSet::baseline, double>::kernels;
template <>
const Kernels<float> CompiledFor<InstructionSet::avx2, float>::kernels;
template <>
const Kernels<double> CompiledFor<InstructionSet::avx2, double>::kernels;
template <>
const Kernels<float> CompiledFor<InstructionSet::avx512, float>::kernels;
template <>
const Kernels<double> CompiledFor<InstructionSet::avx512, double>::kernels;
}  // namespace detail

}  // namespace xtape
