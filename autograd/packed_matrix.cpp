#include "autograd/packed_matrix.hpp"

#include <algorithm>
#include <cstddef>

#include "autograd/kernels/kernels.hpp"
#include "autograd/product_sizes.hpp"

namespace xtape {
namespace {

// A product that is nothing but a tile for every few columns is noted as these tiles.

template <class T>
bool is_tiles(const Kernels<T>& kernels, const MatrixView<const T>& a, const MatrixView<T>& c) {
    return c.rows > 0 && c.rows <= kernels.max_rows && c.cols > 0 && c.cols % kernels.width == 0 &&
           a.cols > 0;
}

template <class T>
void run_tile(const RawCall<T>& call, T* const* addresses, Part) {
    const auto& n = call.numbers;
    const MatrixView<const T> a(addresses[0], n[7], n[1], static_cast<std::ptrdiff_t>(n[2]),
                                static_cast<std::ptrdiff_t>(n[3]));
    const auto c_stride = static_cast<std::ptrdiff_t>(n[6]);
    const ProductStart<T> start{n[5] != 0 ? addresses[1] : nullptr, c_stride};
    reinterpret_cast<ProductTile<T>>(n[0])(a, static_cast<const T*>(call.code), n[4], start, addresses[1],
                                           c_stride);
}

template <class T>
void note_tiles(CallLog<T>& log, const Kernels<T>& kernels, const MatrixView<const T>& a,
                const PackedMatrix<T>& b, bool adds, const MatrixView<T>& c) {
    const std::size_t step = kernels.tile_columns(c.rows);
    for (std::size_t begin = 0; begin < c.cols; begin += step) {
        const ProductTile<T> tile = kernels.tile(c.rows, std::min(step, c.cols - begin) / kernels.width);
        log.add(
            {.run = &run_tile<T>,
             .code = b.data + b.rows * begin,
             .numbers = {reinterpret_cast<std::size_t>(tile), a.cols, static_cast<std::size_t>(a.row_stride),
                         static_cast<std::size_t>(a.col_stride), b.rows * kernels.panel_width, adds,
                         static_cast<std::size_t>(c.row_stride), c.rows}},
            {a.data, c.at(0, begin)});
    }
}

}  // namespace

template <class T>
std::size_t packed_size(std::size_t k, std::size_t n) {
    const std::size_t width = kernels<T>().width;
    return k * ((n + width - 1) / width * width);
}

template <class T>
std::size_t packed_panel_width() {
    return kernels<T>().panel_width;
}

template <class T>
PackedMatrix<T> pack(MatrixView<const T> b, std::type_identity_t<T>* memory) {
    kernels<T>().pack(b, memory);
    return {memory, b.rows, b.cols};
}

template <class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b, std::type_identity_t<T> beta,
          MatrixView<T> c) {
    detail::check_product<T>(a, b.rows, b.cols, beta, c);
    if (c.rows == 0 || c.cols == 0) return;
    if (a.cols == 0 && beta == T(0))
        for (std::size_t i = 0; i < c.rows; ++i) std::fill_n(c.at(i, 0), c.cols, T(0));
    if (a.cols == 0) return;
    kernels<T>().multiply(a, b, {beta != T(0) ? c.data : nullptr, c.row_stride}, c);
}

template <class T>
void note_gemm(CallLog<T>& log, MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
               std::type_identity_t<T> beta, MatrixView<T> c) {
    const Kernels<T>& chosen = kernels<T>();
    if (is_tiles<T>(chosen, a, c)) return note_tiles<T>(log, chosen, a, b, beta != T(0), c);
    const auto run = [](const RawCall<T>& call, T* const* addresses, Part) {
        const auto& n = call.numbers;
        const MatrixView<const T> left(addresses[0], n[0], n[1], static_cast<std::ptrdiff_t>(n[3]),
                                       static_cast<std::ptrdiff_t>(n[4]));
        gemm(left, PackedMatrix<T>{static_cast<const T*>(call.code), n[1], n[2]}, static_cast<T>(n[6]),
             MatrixView<T>(addresses[1], n[0], n[2], static_cast<std::ptrdiff_t>(n[5])));
    };
    log.add({.run = run,
             .code = b.data,
             .numbers = {a.rows, a.cols, b.cols, static_cast<std::size_t>(a.row_stride),
                         static_cast<std::size_t>(a.col_stride), static_cast<std::size_t>(c.row_stride),
                         beta != T(0)}},
            {a.data, c.data});
}

template <class T>
void gemm_plus_row(MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
                   const std::type_identity_t<T>* row, MatrixView<T> c) {
    detail::check_product<T>(a, b.rows, b.cols, T(0), c);
    if (c.rows == 0 || c.cols == 0) return;
    if (a.cols == 0)
        for (std::size_t i = 0; i < c.rows; ++i) std::copy_n(row, c.cols, c.at(i, 0));
    else
        kernels<T>().multiply(a, b, {row, 0}, c);
}

// In cycles per element of b, read off what benchmarks/products measures. BLAS is near the packed kernel in the plain
// orientation from four rows up, takes up to twice as long in the transposed one, and packs both of its operands on
// every call when m n k is above a million.
template <class T>
bool packing_pays(std::size_t m, std::size_t k, std::size_t n, std::size_t uses, bool transposed,
                  bool plus_row) {
    if (!kernels<T>().wide) return false;
    const double rows = static_cast<double>(m);
    const double product = std::max(rows / 43, 1.0 / 12), packing = 0.6;
    double saved = (transposed ? 0.9 : m < 4 ? 0.3 : 0.05) * product;
    if (m >= 4 && rows * static_cast<double>(n) * static_cast<double>(k) > 1e6) saved += 1;
    if (plus_row) saved += 0.4 * rows / static_cast<double>(std::max<std::size_t>(k, 1));
    return static_cast<double>(uses) * saved > packing;
}

template std::size_t packed_panel_width<float>();
template std::size_t packed_panel_width<double>();
template std::size_t packed_size<float>(std::size_t, std::size_t);
template std::size_t packed_size<double>(std::size_t, std::size_t);
template PackedMatrix<float> pack<float>(MatrixView<const float>, float*);
template PackedMatrix<double> pack<double>(MatrixView<const double>, double*);
template void gemm<float>(MatrixView<const float>, const PackedMatrix<float>&, float, MatrixView<float>);
template void gemm<double>(MatrixView<const double>, const PackedMatrix<double>&, double, MatrixView<double>);
template void note_gemm<float>(CallLog<float>&, MatrixView<const float>, const PackedMatrix<float>&, float,
                               MatrixView<float>);
template void note_gemm<double>(CallLog<double>&, MatrixView<const double>, const PackedMatrix<double>&,
                                double, MatrixView<double>);
template void gemm_plus_row<float>(MatrixView<const float>, const PackedMatrix<float>&, const float*,
                                   MatrixView<float>);
template void gemm_plus_row<double>(MatrixView<const double>, const PackedMatrix<double>&, const double*,
                                    MatrixView<double>);
template bool packing_pays<float>(std::size_t, std::size_t, std::size_t, std::size_t, bool, bool);
template bool packing_pays<double>(std::size_t, std::size_t, std::size_t, std::size_t, bool, bool);

}  // namespace xtape
