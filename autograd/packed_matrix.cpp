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
    /// 3 × 8 accumulators fill the 32 registers of AVX-512, 3 × 4 the 16 of AVX2 and SSE.
    static constexpr std::size_t max_rows = width * sizeof(T) == 64 ? 8 : 4;
    /// A panel of this many rows stays in the first-level cache while the rows of a pass over it.
    static constexpr std::size_t depth = 128;
    /// A single row has too few sums in flight to hide the latency of an addition: it takes several panels at
    /// once.
    static constexpr std::size_t max_panels = width * sizeof(T) == 64 ? 4 : 2;

    static std::size_t padded(std::size_t n) { return (n + width - 1) / width * width; }

    static void pack(const MatrixView<const T>& b, T* memory) {
        for (std::size_t begin = 0; begin < b.cols; begin += panel_width) {
            std::size_t used = std::min(panel_width, b.cols - begin), whole = padded(used);
            if (b.col_stride == 1) {
                for (std::size_t p = 0; p < b.rows; ++p) {
                    std::copy_n(b.at(p, begin), used, memory + p * whole);
                    std::fill_n(memory + p * whole + used, whole - used, T(0));
                }
            } else {
                for (std::size_t j = 0; j < used; ++j)
                    for (std::size_t p = 0; p < b.rows; ++p) memory[p * whole + j] = b(p, begin + j);
                for (std::size_t j = used; j < whole; ++j)
                    for (std::size_t p = 0; p < b.rows; ++p) memory[p * whole + j] = T(0);
            }
            memory += b.rows * whole;
        }
    }

    /// c[R, P panels of V vectors] = a[R, k] · panels (+ c). `last` counts the columns in use of the last
    /// panel.
    template <std::size_t R, std::size_t V, std::size_t P>
    static void tile(const MatrixView<const T>& a, const T* panel, std::size_t panel_stride, bool add, T* c,
                     std::ptrdiff_t c_stride, std::size_t last) {
        Vector sum[R][P][V];
        alignas(64) T edge[V * width];
        auto is_edge = [last](std::size_t p) { return p + 1 == P && last < V * width; };
        for (std::size_t r = 0; r < R; ++r)
            for (std::size_t p = 0; p < P; ++p) {
                const T* from = c + static_cast<std::ptrdiff_t>(r) * c_stride + p * V * width;
                if (add && is_edge(p)) {
                    std::copy_n(from, last, edge);
                    std::fill(edge + last, edge + V * width, T(0));
                    from = edge;
                }
                for (std::size_t v = 0; v < V; ++v)
                    sum[r][p][v] = add ? Vector::load_unaligned(from + v * width) : Vector(T(0));
            }
        const T* left = a.data;
        for (std::size_t l = 0; l < a.cols; ++l, left += a.col_stride, panel += V * width) {
            Vector right[P][V];
            for (std::size_t p = 0; p < P; ++p)
                for (std::size_t v = 0; v < V; ++v)
                    right[p][v] = Vector::load_aligned(panel + p * panel_stride + v * width);
            for (std::size_t r = 0; r < R; ++r) {
                Vector x(left[static_cast<std::ptrdiff_t>(r) * a.row_stride]);
                for (std::size_t p = 0; p < P; ++p)
                    for (std::size_t v = 0; v < V; ++v)
                        sum[r][p][v] = xsimd::fma(x, right[p][v], sum[r][p][v]);
            }
        }
        for (std::size_t r = 0; r < R; ++r)
            for (std::size_t p = 0; p < P; ++p) {
                T* to = c + static_cast<std::ptrdiff_t>(r) * c_stride + p * V * width;
                T* out = is_edge(p) ? edge : to;
                for (std::size_t v = 0; v < V; ++v) sum[r][p][v].store_unaligned(out + v * width);
                if (is_edge(p)) std::copy_n(edge, last, to);
            }
    }

    using Tile = void (*)(const MatrixView<const T>&, const T*, std::size_t, bool, T*, std::ptrdiff_t,
                          std::size_t);

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
        std::size_t panels = b.cols / panel_width;
        std::size_t begin = 0;
        // Few rows: several panels in one pass.
        if (c.rows <= 2) {
            std::size_t together = max_panels / c.rows;
            while (together > 1 && begin + together <= panels) {
                const T* panel = b.data + b.rows * begin * panel_width;
                Tile wide = c.rows == 1 ? &tile<1, vectors, max_panels> : &tile<2, vectors, max_panels / 2>;
                wide(a, panel, b.rows * panel_width, add, c.at(0, begin * panel_width), c.row_stride,
                     panel_width);
                begin += together;
            }
        }
        std::size_t passes = (c.rows + max_rows - 1) / max_rows;
        std::size_t slice = passes == 1 ? std::max<std::size_t>(a.cols, 1) : depth;
        for (; begin * panel_width < b.cols; ++begin) {
            std::size_t used = std::min(panel_width, b.cols - begin * panel_width), whole = padded(used);
            const T* panel = b.data + b.rows * begin * panel_width;
            const auto& tiles_here = tile_of[whole / width - 1];
            std::size_t from = 0;
            do {
                std::size_t count = std::min(slice, a.cols - from);
                // Rows are dealt out evenly, so that no pass is left with a single one.
                for (std::size_t pass = 0; pass < passes; ++pass) {
                    std::size_t row = c.rows * pass / passes, rows = c.rows * (pass + 1) / passes - row;
                    MatrixView<const T> left(a.at(row, from), rows, count, a.row_stride, a.col_stride);
                    tiles_here[rows - 1](left, panel + from * whole, 0, add || from > 0,
                                         c.at(row, begin * panel_width), c.row_stride, used);
                }
                from += count;
            } while (from < a.cols);
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
    Kernel<T>::multiply(a, b, beta != T(0), c);
}

template <class T>
bool packing_pays(std::size_t m, std::size_t, std::size_t, std::size_t uses, bool) {
    return uses > 1 && m > 0;
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
