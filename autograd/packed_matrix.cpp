#include "autograd/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <xsimd/xsimd.hpp>

#include "autograd/product_sizes.hpp"

namespace xtape {
namespace {

/// The micro-kernel and the panel layout for one instruction set. Arch is part of every name, so that builds
/// for two instruction sets can live in one program.
///
/// Panel q holds columns [q w, q w + w), w = vectors · width, as k rows of w values; the last panel is as
/// many whole vectors wide as its columns need, padded with zeros.
template <class T, class Arch>
struct PackedKernel {
    using Vector = xsimd::batch<T, Arch>;
    static constexpr std::size_t width = Vector::size;
    static constexpr std::size_t vectors = 3;
    static constexpr std::size_t panel_width = vectors * width;
    /// BLAS chooses its kernels at run time: with 16-byte vectors there is no point in competing.
    static constexpr bool wide = width * sizeof(T) >= 32;
    /// 3 × 8 accumulators fill the 32 registers of AVX-512, 3 × 4 the 16 of AVX2 and SSE.
    static constexpr std::size_t max_rows = width * sizeof(T) == 64 ? 8 : 4;
    /// A panel of this many rows stays in the first-level cache while the rows of a pass over it.
    static constexpr std::size_t depth = 192;
    /// Rows of a that stay in the second-level cache while they meet all panels.
    static constexpr std::size_t block_rows = 64;
    /// A single row has too few sums in flight to hide the latency of an addition: it takes several panels at
    /// once.
    static constexpr std::size_t max_panels = width * sizeof(T) == 64 ? 4 : 2;

    static std::size_t padded(std::size_t n) { return (n + width - 1) / width * width; }

    static void pack(const MatrixView<const T>& b, T* memory) {
        for (std::size_t begin = 0; begin < b.cols; begin += panel_width) {
            MatrixView<const T> columns = b.column_block(begin, std::min(panel_width, b.cols - begin));
            MatrixView<T> panel(memory, b.rows, padded(columns.cols));
            if (b.col_stride == 1)
                for (std::size_t l = 0; l < b.rows; ++l)
                    std::copy_n(columns.at(l, 0), columns.cols, panel.at(l, 0));
            else
                copy_transposed(columns, panel);
            for (std::size_t l = 0; columns.cols < panel.cols && l < b.rows; ++l)
                std::fill(panel.at(l, columns.cols), panel.at(l, 0) + panel.cols, T(0));
            memory += panel.rows * panel.cols;
        }
    }

    /// to(i, j) = from(i, j), from with contiguous columns and to with contiguous rows, by square blocks that
    /// are transposed in registers of 16 bytes.
    static void copy_transposed(const MatrixView<const T>& from, const MatrixView<T>& to) {
        using Small = xsimd::make_sized_batch_t<T, 16 / sizeof(T)>;
        constexpr std::size_t n = Small::size;
        std::size_t rows = from.row_stride == 1 ? from.rows / n * n : 0, cols = from.cols / n * n;
        for (std::size_t i = 0; i < rows; i += n)
            for (std::size_t j = 0; j < cols; j += n) {
                Small block[n];
                each_of<n>([&](auto c) { block[c] = Small::load_unaligned(from.at(i, j + c)); });
                // Interleaving each half with the other, log2(n) times, transposes.
                for (std::size_t step = 1; step < n; step *= 2) {
                    Small next[n];
                    each_of<n / 2>([&](auto c) {
                        next[2 * c] = xsimd::zip_lo(block[c], block[c + n / 2]);
                        next[2 * c + 1] = xsimd::zip_hi(block[c], block[c + n / 2]);
                    });
                    each_of<n>([&](auto c) { block[c] = next[c]; });
                }
                each_of<n>([&](auto r) { block[r].store_unaligned(to.at(i + r, j)); });
            }
        for (std::size_t i = 0; i < from.rows; ++i)
            for (std::size_t j = i < rows ? cols : 0; j < from.cols; ++j) to(i, j) = from(i, j);
    }

    /// c (R rows, P panels of V vectors) = a (R×k) times the panels (+ c). Columns of padding are written
    /// too.
    template <std::size_t R, std::size_t V, std::size_t P>
    static void tile(const MatrixView<const T>& a, const T* panel, std::size_t panel_stride, bool add, T* c,
                     std::ptrdiff_t c_stride) {
        Vector sum[R][P][V];
        auto each = [](auto body) {
            each_of<R * P * V>([&](auto i) { body(i / (P * V), i / V % P, i % V); });
        };
        auto address = [&](std::size_t r, std::size_t p, std::size_t v) {
            return c + static_cast<std::ptrdiff_t>(r) * c_stride + (p * V + v) * width;
        };
        if (add)
            each([&](auto r, auto p, auto v) { sum[r][p][v] = Vector::load_unaligned(address(r, p, v)); });
        else
            each([&](auto r, auto p, auto v) { sum[r][p][v] = Vector(T(0)); });
        const T* left = a.data;
        for (std::size_t l = 0; l < a.cols; ++l, left += a.col_stride, panel += V * width) {
            // The hardware doesn't look across the rows of other passes: without this a weight larger than
            // the second-level cache costs a tenth.
            if constexpr (R > 2)
                each_of<V>([&](auto v) { __builtin_prefetch(panel + (16 * V + v) * width); });
            Vector right[P][V];
            each_of<P * V>([&](auto i) {
                right[i / V][i % V] = Vector::load_aligned(panel + i / V * panel_stride + i % V * width);
            });
            each_of<R>([&](auto r) {
                Vector x(left[static_cast<std::ptrdiff_t>(r) * a.row_stride]);
                each_of<P * V>([&](auto i) {
                    sum[r][i / V][i % V] = xsimd::fma(x, right[i / V][i % V], sum[r][i / V][i % V]);
                });
            });
        }
        each([&](auto r, auto p, auto v) { sum[r][p][v].store_unaligned(address(r, p, v)); });
    }

    /// body(0), ..., body(N - 1), unrolled at any optimisation level: the sums must stay in registers.
    template <std::size_t N, class Body>
    static void each_of(Body body) {
        [&]<std::size_t... I>(std::index_sequence<I...>) { (body(I), ...); }
        (std::make_index_sequence<N>{});
    }

    using Tile = void (*)(const MatrixView<const T>&, const T*, std::size_t, bool, T*, std::ptrdiff_t);

    template <std::size_t V, std::size_t... R>
    static constexpr std::array<Tile, sizeof...(R)> tiles(std::index_sequence<R...>) {
        return {&tile<R + 1, V, 1>...};
    }

    /// tile_of[v - 1][r - 1] multiplies r rows by a panel of v vectors.
    static constexpr std::array<std::array<Tile, max_rows>, vectors> tile_of = {
        tiles<1>(std::make_index_sequence<max_rows>{}), tiles<2>(std::make_index_sequence<max_rows>{}),
        tiles<3>(std::make_index_sequence<max_rows>{})};

    static void multiply(const MatrixView<const T>& a, const PackedMatrix<T>& b, bool add,
                         const MatrixView<T>& c) {
        if (c.rows <= max_rows) return multiply_slice(a, b, 0, add, c);
        std::size_t blocks = (c.rows + block_rows - 1) / block_rows, slices = (a.cols + depth - 1) / depth;
        alignas(64) T copy[block_rows * depth];
        for (std::size_t block = 0; block < blocks; ++block) {
            std::size_t row = c.rows * block / blocks, rows = c.rows * (block + 1) / blocks - row;
            for (std::size_t slice = 0; slice < slices; ++slice) {
                std::size_t from = a.cols * slice / slices, count = a.cols * (slice + 1) / slices - from;
                MatrixView<const T> left = a.row_block(row, rows).column_block(from, count);
                if (b.cols >= 4 * panel_width) left = dense(left, copy);
                multiply_slice(left, b, from, add || from > 0, c.row_block(row, rows));
            }
        }
    }

    /// The same values without gaps: rows a power of two apart fall on each other in the cache.
    static MatrixView<const T> dense(const MatrixView<const T>& a, T* memory) {
        if (a.row_stride == 1) return dense(a.transposed(), memory).transposed();
        MatrixView<T> copy(memory, a.rows, a.cols);
        for (std::size_t i = 0; i < a.rows; ++i)
            if (a.col_stride == 1)
                std::copy_n(a.at(i, 0), a.cols, copy.at(i, 0));
            else
                for (std::size_t j = 0; j < a.cols; ++j) copy(i, j) = a(i, j);
        return copy;
    }

    /// c (+)= a times the rows of b from `from` on, as many as a has columns.
    static void multiply_slice(const MatrixView<const T>& a, const PackedMatrix<T>& b, std::size_t from,
                               bool add, const MatrixView<T>& c) {
        std::size_t panel = 0;
        if (c.rows <= 2) panel = multiply_few_rows(a, b, add, c);
        for (; panel * panel_width < b.cols; ++panel) {
            std::size_t begin = panel * panel_width, used = std::min(panel_width, b.cols - begin);
            multiply_panel(a, b.data + b.rows * begin + from * padded(used), add,
                           c.column_block(begin, used));
        }
    }

    /// One or two rows by as many whole panels as come in groups; returns the number of panels done.
    static std::size_t multiply_few_rows(const MatrixView<const T>& a, const PackedMatrix<T>& b, bool add,
                                         const MatrixView<T>& c) {
        std::size_t group = max_panels / c.rows, whole = b.cols / panel_width / group * group;
        Tile multiply = c.rows == 1 ? &tile<1, vectors, max_panels> : &tile<2, vectors, max_panels / 2>;
        for (std::size_t panel = 0; panel < whole; panel += group)
            multiply(a, b.data + b.rows * panel * panel_width, b.rows * panel_width, add,
                     c.at(0, panel * panel_width), c.row_stride);
        return whole;
    }

    static void multiply_panel(const MatrixView<const T>& a, const T* panel, bool add,
                               const MatrixView<T>& c) {
        std::size_t whole = padded(c.cols);
        const auto& multiply = tile_of[whole / width - 1];
        // Rows are dealt out evenly, so that no pass is left with a single one.
        std::size_t passes = (c.rows + max_rows - 1) / max_rows;
        for (std::size_t pass = 0; pass < passes; ++pass) {
            std::size_t row = c.rows * pass / passes, rows = c.rows * (pass + 1) / passes - row;
            MatrixView<const T> left = a.row_block(row, rows);
            if (c.cols == whole) {
                multiply[rows - 1](left, panel, 0, add, c.at(row, 0), c.row_stride);
            } else {
                // The padding has no place in c: compute beside it.
                alignas(64) T edge[max_rows * panel_width];
                MatrixView<T> beside(edge, rows, whole);
                for (std::size_t r = 0; add && r < rows; ++r)
                    std::copy_n(c.at(row + r, 0), c.cols, beside.at(r, 0));
                multiply[rows - 1](left, panel, 0, add, edge, beside.row_stride);
                for (std::size_t r = 0; r < rows; ++r) std::copy_n(beside.at(r, 0), c.cols, c.at(row + r, 0));
            }
        }
    }
};

template <class T>
using Kernel = PackedKernel<T, xsimd::default_arch>;

}  // namespace

template <class T>
std::size_t packed_size(std::size_t k, std::size_t n) {
    return k * Kernel<T>::padded(n);
}

template <class T>
PackedMatrix<T> pack(MatrixView<const T> b, std::type_identity_t<T>* memory) {
    Kernel<T>::pack(b, memory);
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
    Kernel<T>::multiply(a, b, beta != T(0), c);
}

// Cycles per element of b, read off the measurements in benchmarks/products: BLAS is near the packed kernel
// in the plain orientation and takes 1.6 times as long in the transposed one; above m n k of a million it
// packs both of its operands on every call.
template <class T>
bool packing_pays(std::size_t m, std::size_t k, std::size_t n, std::size_t uses, bool transposed) {
    if (!Kernel<T>::wide) return false;
    double rows = static_cast<double>(m);
    double product = std::max(rows / 43, 1.0 / 12), packing = 0.7;
    double saved = (transposed ? 0.6 : 0.05) * product;
    if (m >= 4 && rows * static_cast<double>(n) * static_cast<double>(k) > 1e6) saved += 1;
    return static_cast<double>(uses) * saved > packing;
}

template std::size_t packed_size<float>(std::size_t, std::size_t);
template std::size_t packed_size<double>(std::size_t, std::size_t);
template PackedMatrix<float> pack<float>(MatrixView<const float>, float*);
template PackedMatrix<double> pack<double>(MatrixView<const double>, double*);
template void gemm<float>(MatrixView<const float>, const PackedMatrix<float>&, float, MatrixView<float>);
template void gemm<double>(MatrixView<const double>, const PackedMatrix<double>&, double, MatrixView<double>);
template bool packing_pays<float>(std::size_t, std::size_t, std::size_t, std::size_t, bool);
template bool packing_pays<double>(std::size_t, std::size_t, std::size_t, std::size_t, bool);

}  // namespace xtape
