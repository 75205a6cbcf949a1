#pragma once

#include <cstddef>
#include <type_traits>

#include "autograd/call_log.hpp"
#include "autograd/matrix_view.hpp"

namespace xtape {

/// A right operand laid out once for many products by it: column panels as wide as the micro-kernel, each
/// stored row after row, so that every product streams through it. It doesn't own its memory, and the layout
/// belongs to the instruction set of the machine: pack, use and forget it within one process.
template <class T>
struct PackedMatrix {
    const T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    /// How many sums are added up for an element of a product.
    std::size_t sums = 1;

    /// A block of columns, from a multiple of packed_panel_width() to another or to the end. A product by it has the bits
    /// that the product by the whole matrix has there. Throws ShapeError for other columns.
    PackedMatrix columns(std::size_t begin, std::size_t count) const;
};

/// How many values pack() writes for a k×n matrix.
template <class T>
std::size_t packed_size(std::size_t k, std::size_t n);

/// How many columns lie together in a packed matrix.
template <class T>
std::size_t packed_panel_width();

/// Packs b (k×n, any strides) into memory of packed_size(k, n) values, aligned to 64 bytes.
template <class T>
PackedMatrix<T> pack(MatrixView<const T> b, std::type_identity_t<T>* memory);

/// Packs the columns of b of which PackedMatrix::columns() may speak, to where they lie in the memory of all of b.
template <class T>
PackedMatrix<T> pack_columns(MatrixView<const T> b, std::size_t begin, std::size_t count,
                             std::type_identity_t<T>* memory);

/// Packs all of b, shared by threads.
template <class T>
PackedMatrix<T> pack(Team& team, MatrixView<const T> b, std::type_identity_t<T>* memory);

template <class T>
PackedMatrix<T> pack(MatrixView<T> b, std::type_identity_t<T>* memory) requires(!std::is_const_v<T>) {
    return pack(MatrixView<const T>(b), memory);
}

/// c = a b + beta c with a m×k (any strides), b k×n packed, c m×n with unit column stride. beta is 0 or 1;
/// with 0, c is only written. c must not overlap a.
/// Each element is one sum in the order of k, fused where the machine fuses, or, where b has few columns and few rows, two,
/// of every other product each, added up. Which of these depends on the sizes of b alone: a row of c has the same bits
/// whatever m is and wherever the row stands.
/// Throws ShapeError when the sizes don't fit.
template <class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b, std::type_identity_t<T> beta,
          MatrixView<T> c);

/// What gemm(a, b, beta, c) does, as a raw call that threads may share; its addresses are those of a and c.
template <class T>
RawCall<T> gemm_call(MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
                     std::type_identity_t<T> beta, MatrixView<T> c);

/// Notes what gemm(a, b, beta, c) does, as raw calls that work nothing out again.
template <class T>
void note_gemm(CallLog<T>& log, MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
               std::type_identity_t<T> beta, MatrixView<T> c);

/// c = a b + a row of n neighbours, repeated: a bias that costs no pass of its own. Shared by threads.
template <class T>
void gemm_plus_row(Team& team, MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
                   const std::type_identity_t<T>* row, MatrixView<T> c);

/// Notes that, if it is a few rows and can be noted as calls that work nothing out again; else returns false.
template <class T>
bool note_gemm_plus_row(CallLog<T>& log, MatrixView<const std::type_identity_t<T>> a,
                        const PackedMatrix<T>& b, const std::type_identity_t<T>* row, MatrixView<T> c);

/// Whether `uses` products (m×k)·(k×n) are faster with the right operand packed, the packing included.
/// `transposed` says that the operand is stored with its columns contiguous (it is the transpose of a
/// row-major matrix), which costs more to pack and more for BLAS to multiply by; `plus_row` that a row is to be added,
/// for which BLAS needs it copied to all of c first.
template <class T>
bool packing_pays(std::size_t m, std::size_t k, std::size_t n, std::size_t uses, bool transposed,
                  bool plus_row = false);

}  // namespace xtape
