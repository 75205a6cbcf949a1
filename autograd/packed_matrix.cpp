#include "autograd/packed_matrix.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

#include "autograd/kernels/kernels.hpp"
#include "autograd/product_sizes.hpp"

namespace xtape {
namespace {

/// Few columns are few sums in flight, each of which waits for its last addition: where that is what a product of one row
/// takes its time for, and not the way of b through the caches, there are several sums for each element.
template <class T>
std::size_t sums_of(std::size_t k, std::size_t n) {
    return n * sizeof(T) <= 128 && k >= 16 && k <= product_depth ? 2 : 1;
}

// A product that is nothing but a tile for every few columns is noted as these tiles.

template <class T>
bool is_tiles(const Kernels<T>& kernels, const PackedMatrix<T>& b, const MatrixView<T>& c) {
    return c.rows > 0 && c.rows <= kernels.tile_rows(b) && c.cols > 0 && c.cols % kernels.width == 0 &&
           b.rows > 0;
}

/// What its sums begin with: nothing, what lies in c, or a row for all rows of c.
enum Start : std::size_t { from_zero, from_result, from_row };

template <class T>
void run_tile(const RawCall<T>& call, T* const* addresses, Part) {
    const auto& n = call.numbers;
    const MatrixView<const T> a(addresses[0], n[7], n[1], static_cast<std::ptrdiff_t>(n[2]),
                                static_cast<std::ptrdiff_t>(n[3]));
    const auto c_stride = static_cast<std::ptrdiff_t>(n[6]);
    const ProductStart<T> start = n[5] == from_zero  ? ProductStart<T>()
                                  : n[5] == from_row ? ProductStart<T>{addresses[2], 0}
                                                     : ProductStart<T>{addresses[1], c_stride};
    reinterpret_cast<ProductTile<T>>(n[0])(a, static_cast<const T*>(call.code), n[4], start, addresses[1],
                                           c_stride);
}

template <class T>
void note_tiles(CallLog<T>& log, const Kernels<T>& kernels, const MatrixView<const T>& a,
                const PackedMatrix<T>& b, Start start, const T* row, const MatrixView<T>& c) {
    const std::size_t step = kernels.tile_columns(b, c.rows);
    for (std::size_t begin = 0; begin < c.cols; begin += step) {
        const ProductTile<T> tile = kernels.tile(b, c.rows, std::min(step, c.cols - begin) / kernels.width);
        log.add(
            {.run = &run_tile<T>,
             .code = b.data + b.rows * begin,
             .numbers = {reinterpret_cast<std::size_t>(tile), a.cols, static_cast<std::size_t>(a.row_stride),
                         static_cast<std::size_t>(a.col_stride), b.rows * kernels.panel_width, start,
                         static_cast<std::size_t>(c.row_stride), c.rows}},
            {a.data, c.at(0, begin)});
        if (start == from_row) log.add_address(row + begin);
    }
}

/// A part of such a product. Rows are dealt out, so that a thread goes on with what it has computed; but
/// columns if the matrix is larger than a second-level cache, so that each thread's share of it stays in its own.
template <class T>
struct ProductPart {
    std::size_t row = 0, rows;
    std::size_t column = 0, columns;

    static bool by_columns(std::size_t m, std::size_t k, std::size_t n) {
        return m < 16 || k * n * sizeof(T) > (std::size_t{3} << 19);
    }
    static Work work(std::size_t m, std::size_t k, std::size_t n) {
        constexpr std::size_t per_nanosecond = 120;
        const std::size_t panel = packed_panel_width<T>();
        return {m * k * n / per_nanosecond, by_columns(m, k, n) ? (n + panel - 1) / panel : m / 8};
    }
    ProductPart(std::size_t m, std::size_t k, std::size_t n, Part part) : rows(m), columns(n) {
        if (part.count == 1) return;
        if (by_columns(m, k, n)) {
            const std::size_t panel = packed_panel_width<T>();
            const std::size_t panels = (n + panel - 1) / panel;
            column = part.begin(panels) * panel;
            columns = std::min(part.end(panels) * panel, n) - column;
        } else {
            row = part.begin(m);
            rows = part.end(m) - row;
        }
    }
    MatrixView<const T> of_left(const MatrixView<const T>& a) const { return a.row_block(row, rows); }
    PackedMatrix<T> of_right(const PackedMatrix<T>& b) const { return b.columns(column, columns); }
    MatrixView<T> of_result(const MatrixView<T>& c) const {
        return c.row_block(row, rows).column_block(column, columns);
    }
};

template <class T>
void run_product(const RawCall<T>& call, T* const* addresses, Part part) {
    const auto& n = call.numbers;
    const MatrixView<const T> a(addresses[0], n[0], n[1], static_cast<std::ptrdiff_t>(n[3]),
                                static_cast<std::ptrdiff_t>(n[4]));
    const MatrixView<T> c(addresses[1], n[0], n[2], static_cast<std::ptrdiff_t>(n[5]));
    const PackedMatrix<T> b{static_cast<const T*>(call.code), n[1], n[2], n[7]};
    const ProductPart<T> mine(n[0], n[1], n[2], part);
    gemm(mine.of_left(a), mine.of_right(b), static_cast<T>(n[6]), mine.of_result(c));
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
PackedMatrix<T> PackedMatrix<T>::columns(std::size_t begin, std::size_t count) const {
    const std::size_t width = packed_panel_width<T>(), end = begin + count;
    if (begin % width != 0 || end > cols || (end != cols && count % width != 0))
        throw ShapeError("[columns] " + std::to_string(begin) + " to " + std::to_string(end) + " of " +
                         std::to_string(cols) + " packed columns: expected multiples of " +
                         std::to_string(width) + ", or the end");
    return {data + rows * begin, rows, count, sums};
}

template <class T>
PackedMatrix<T> pack_columns(MatrixView<const T> b, std::size_t begin, std::size_t count,
                             std::type_identity_t<T>* memory) {
    const PackedMatrix<T> all{memory, b.rows, b.cols, sums_of<T>(b.rows, b.cols)};
    const PackedMatrix<T> part = all.columns(begin, count);
    kernels<T>().pack(b.column_block(begin, count), memory + b.rows * begin);
    return part;
}

template <class T>
PackedMatrix<T> pack(MatrixView<const T> b, std::type_identity_t<T>* memory) {
    return pack_columns(b, 0, b.cols, memory);
}

template <class T>
PackedMatrix<T> pack(Team& team, MatrixView<const T> b, std::type_identity_t<T>* memory) {
    const std::size_t width = packed_panel_width<T>();
    const std::size_t panels = (b.cols + width - 1) / width;
    team.run(Work{b.rows * b.cols / 4, panels}, [&](Part part) {
        const std::size_t begin = part.begin(panels) * width;
        pack_columns(b, begin, std::min(part.end(panels) * width, b.cols) - begin, memory);
    });
    return {memory, b.rows, b.cols, sums_of<T>(b.rows, b.cols)};
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
RawCall<T> gemm_call(MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
                     std::type_identity_t<T> beta, MatrixView<T> c) {
    return {.run = &run_product<T>,
            .code = b.data,
            .numbers = {a.rows, a.cols, b.cols, static_cast<std::size_t>(a.row_stride),
                        static_cast<std::size_t>(a.col_stride), static_cast<std::size_t>(c.row_stride),
                        beta != T(0), b.sums},
            .work = ProductPart<T>::work(a.rows, a.cols, b.cols)};
}

template <class T>
void note_gemm(CallLog<T>& log, MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
               std::type_identity_t<T> beta, MatrixView<T> c) {
    const Kernels<T>& chosen = kernels<T>();
    const Start start = beta == T(0) ? from_zero : from_result;
    if (is_tiles<T>(chosen, b, c)) return note_tiles<T>(log, chosen, a, b, start, nullptr, c);
    log.add(gemm_call(a, b, beta, c), {a.data, c.data});
}

template <class T>
bool note_gemm_plus_row(CallLog<T>& log, MatrixView<const std::type_identity_t<T>> a,
                        const PackedMatrix<T>& b, const std::type_identity_t<T>* row, MatrixView<T> c) {
    const Kernels<T>& chosen = kernels<T>();
    if (!is_tiles<T>(chosen, b, c)) return false;
    note_tiles<T>(log, chosen, a, b, from_row, row, c);
    return true;
}

template <class T>
void gemm_plus_row(Team& team, MatrixView<const std::type_identity_t<T>> a, const PackedMatrix<T>& b,
                   const std::type_identity_t<T>* row, MatrixView<T> c) {
    detail::check_product<T>(a, b.rows, b.cols, T(0), c);
    if (c.rows == 0 || c.cols == 0) return;
    if (a.cols == 0) {
        for (std::size_t i = 0; i < c.rows; ++i) std::copy_n(row, c.cols, c.at(i, 0));
        return;
    }
    team.run(ProductPart<T>::work(c.rows, a.cols, c.cols), [&](Part part) {
        const ProductPart<T> mine(c.rows, a.cols, c.cols, part);
        kernels<T>().multiply(mine.of_left(a), mine.of_right(b), {row + mine.column, 0}, mine.of_result(c));
    });
}

namespace {

/// What a product by a packed matrix saves beside BLAS, in cycles per element of b, read off what benchmarks/products
/// measures. BLAS packs both operands on every call above some size, and has no good kernel for a transposed b of many
/// elements in the result. Below these sizes the two are equal but for the cost of a call.
double saved_by_packing(std::size_t m, std::size_t k, std::size_t n, bool transposed) {
    if (m == 1) return 0.06;
    if (m * n * k > 1000000) return transposed ? 1 : 0.5;
    if (!transposed) return 0.03;
    return m * n > 1200 ? 1 : 0.03 * static_cast<double>(m);
}

}  // namespace

template <class T>
bool packing_pays(std::size_t m, std::size_t k, std::size_t n, std::size_t uses, bool transposed,
                  bool plus_row) {
    if (!kernels<T>().wide) return false;
    double saved = saved_by_packing(m, k, n, transposed);
    if (plus_row) saved += 0.4 * static_cast<double>(m) / static_cast<double>(std::max<std::size_t>(k, 1));
    const double packing = transposed ? 0.55 : 0.4;
    return static_cast<double>(uses) * saved > packing;
}

#define XTAPE_INSTANTIATE(T)                                                                                \
    template struct PackedMatrix<T>;                                                                        \
    template std::size_t packed_size<T>(std::size_t, std::size_t);                                          \
    template std::size_t packed_panel_width<T>();                                                           \
    template PackedMatrix<T> pack_columns<T>(MatrixView<const T>, std::size_t, std::size_t, T*);            \
    template PackedMatrix<T> pack<T>(MatrixView<const T>, T*);                                              \
    template PackedMatrix<T> pack<T>(Team&, MatrixView<const T>, T*);                                       \
    template void gemm<T>(MatrixView<const T>, const PackedMatrix<T>&, T, MatrixView<T>);                   \
    template RawCall<T> gemm_call<T>(MatrixView<const T>, const PackedMatrix<T>&, T, MatrixView<T>);        \
    template void note_gemm<T>(CallLog<T>&, MatrixView<const T>, const PackedMatrix<T>&, T, MatrixView<T>); \
    template bool note_gemm_plus_row<T>(CallLog<T>&, MatrixView<const T>, const PackedMatrix<T>&, const T*, \
                                        MatrixView<T>);                                                     \
    template void gemm_plus_row<T>(Team&, MatrixView<const T>, const PackedMatrix<T>&, const T*,            \
                                   MatrixView<T>);                                                          \
    template bool packing_pays<T>(std::size_t, std::size_t, std::size_t, std::size_t, bool, bool);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
