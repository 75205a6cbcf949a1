#pragma once

#include <cstddef>
#include <utility>

#include "autograd/kernels/kernels.hpp"
#include "autograd/pack.hpp"

namespace xtape {

/// The micro-kernel and the panel layout for one instruction set, Arch, which is part of every name: the linker must not
/// merge what is compiled for two of them. That is also why nothing of the standard library is called here.
///
/// Panel q holds columns [q w, q w + w), w = vectors · width, as k rows of w values; the last panel is as
/// many whole vectors wide as its columns need, padded with zeros.
template <class T, class Arch>
struct PackedProduct {
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

    using Start = ProductStart<T>;
    using Tile = ProductTile<T>;

    static Start rows_of(const MatrixView<T>& c) { return {c.data, c.row_stride}; }
    static Start part(const Start& start, std::size_t row, std::size_t column) {
        if (start.data == nullptr) return start;
        return {start.data + static_cast<std::ptrdiff_t>(row) * start.row_stride +
                    static_cast<std::ptrdiff_t>(column),
                start.row_stride};
    }

    static void copy(std::size_t n, const T* from, T* to) {
        for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
    }

    static std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }
    static std::size_t padded(std::size_t n) { return (n + width - 1) / width * width; }

    static void pack(const MatrixView<const T>& b, T* memory) {
        for (std::size_t begin = 0; begin < b.cols; begin += panel_width) {
            MatrixView<const T> columns = b.column_block(begin, least(panel_width, b.cols - begin));
            MatrixView<T> panel(memory, b.rows, padded(columns.cols));
            if (b.col_stride == 1)
                for (std::size_t l = 0; l < b.rows; ++l) copy(columns.cols, columns.at(l, 0), panel.at(l, 0));
            else
                copy_transposed(columns, panel);
            for (std::size_t l = 0; l < b.rows; ++l)
                for (std::size_t j = columns.cols; j < panel.cols; ++j) panel(l, j) = T(0);
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

    /// c = a times the panels (+ c): R rows by P whole panels and then L vectors of the last one, which is L vectors
    /// wide. A panel follows the one before it at panel_stride. Columns of padding are written too.
    template <std::size_t R, std::size_t P, std::size_t L>
    static void tile(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                     const Start& start, T* c, std::ptrdiff_t c_stride) {
        constexpr std::size_t whole = P * vectors, all = whole + L;
        Vector sum[R][all];
        auto each = [](auto body) { each_of<R * all>([&](auto i) { body(i / all, i % all); }); };
        auto address = [&](std::size_t r, std::size_t v) {
            return c + static_cast<std::ptrdiff_t>(r) * c_stride + v * width;
        };
        if (start.data != nullptr)
            each([&](auto r, auto v) {
                sum[r][v] = Vector::load_unaligned(
                    start.data + static_cast<std::ptrdiff_t>(r) * start.row_stride + v * width);
            });
        else
            each([&](auto r, auto v) { sum[r][v] = Vector(T(0)); });
        const T* left = a.data;
        const T* last = panels + P * panel_stride;
        for (std::size_t l = 0; l < a.cols;
             ++l, left += a.col_stride, panels += panel_width, last += L * width) {
            // The hardware doesn't look across the rows of other passes: without this a weight larger than
            // the second-level cache costs a tenth.
            if constexpr (R > 2)
                each_of<all>([&](auto v) {
                    __builtin_prefetch((P ? panels + 16 * panel_width : last + 16 * L * width) + v * width);
                });
            Vector right[all];
            each_of<whole>([&](auto v) {
                right[v] = Vector::load_aligned(panels + v / vectors * panel_stride + v % vectors * width);
            });
            each_of<L>([&](auto v) { right[whole + v] = Vector::load_aligned(last + v * width); });
            each_of<R>([&](auto r) {
                Vector x(left[static_cast<std::ptrdiff_t>(r) * a.row_stride]);
                each_of<all>([&](auto v) { sum[r][v] = xsimd::fma(x, right[v], sum[r][v]); });
            });
        }
        each([&](auto r, auto v) { sum[r][v].store_unaligned(address(r, v)); });
    }

    /// body(0), ..., body(N - 1), unrolled at any optimisation level: the sums must stay in registers.
    template <std::size_t N, class Body>
    static void each_of(Body body) {
        [&]<std::size_t... I>(std::index_sequence<I...>) { (body(I), ...); }
        (std::make_index_sequence<N>{});
    }

    template <std::size_t N>
    struct Tiles {
        Tile of[N];
    };
    template <std::size_t P, std::size_t L, std::size_t... R>
    static constexpr Tiles<sizeof...(R)> tiles_by_rows(std::index_sequence<R...>) {
        return {{&tile<R + 1, P, L>...}};
    }
    template <std::size_t R, std::size_t... I>
    static constexpr Tiles<sizeof...(I)> tiles_by_vectors(std::index_sequence<I...>) {
        return {{&tile<R, (I + 1) / vectors, (I + 1) % vectors>...}};
    }

    /// one_panel[v - 1][r - 1]: r rows by a panel of v vectors.
    static constexpr Tiles<max_rows> one_panel[vectors] = {
        tiles_by_rows<0, 1>(std::make_index_sequence<max_rows>{}),
        tiles_by_rows<0, 2>(std::make_index_sequence<max_rows>{}),
        tiles_by_rows<1, 0>(std::make_index_sequence<max_rows>{})};

    /// One or two rows have too few sums in flight to hide the latency of an addition: they take several panels
    /// at once. one_row[v - 1] multiplies by v vectors of neighbouring panels.
    static constexpr std::size_t max_panels = width * sizeof(T) == 64 ? 4 : 2;
    static constexpr auto one_row = tiles_by_vectors<1>(std::make_index_sequence<max_panels * vectors>{});
    static constexpr auto two_rows =
        tiles_by_vectors<2>(std::make_index_sequence<max_panels / 2 * vectors>{});

    /// By as many vectors as `together` says, or fewer.
    static Tile tile_of(std::size_t rows, std::size_t count) {
        return rows == 1   ? one_row.of[count - 1]
               : rows == 2 ? two_rows.of[count - 1]
                           : one_panel[count - 1].of[rows - 1];
    }
    static std::size_t together(std::size_t rows) {
        return panel_width * (rows == 1 ? max_panels : rows == 2 ? max_panels / 2 : 1);
    }

    static void multiply(const MatrixView<const T>& a, const PackedMatrix<T>& b, const Start& start,
                         const MatrixView<T>& c) {
        if (c.rows <= max_rows) return multiply_slice(a, b, 0, start, c);
        std::size_t blocks = (c.rows + block_rows - 1) / block_rows, slices = (a.cols + depth - 1) / depth;
        alignas(64) T copy[block_rows * depth];
        for (std::size_t block = 0; block < blocks; ++block) {
            std::size_t row = c.rows * block / blocks, rows = c.rows * (block + 1) / blocks - row;
            for (std::size_t slice = 0; slice < slices; ++slice) {
                std::size_t from = a.cols * slice / slices, count = a.cols * (slice + 1) / slices - from;
                MatrixView<const T> left = a.row_block(row, rows).column_block(from, count);
                if (b.cols >= 4 * panel_width) left = dense(left, copy);
                MatrixView<T> result = c.row_block(row, rows);
                multiply_slice(left, b, from, from > 0 ? rows_of(result) : part(start, row, 0), result);
            }
        }
    }

    /// The same values without gaps: rows a power of two apart fall on each other in the cache.
    static MatrixView<const T> dense(const MatrixView<const T>& a, T* memory) {
        if (a.row_stride == 1 && a.col_stride != 1) return dense(a.transposed(), memory).transposed();
        MatrixView<T> result(memory, a.rows, a.cols);
        for (std::size_t i = 0; i < a.rows; ++i)
            if (a.col_stride == 1)
                copy(a.cols, a.at(i, 0), result.at(i, 0));
            else
                for (std::size_t j = 0; j < a.cols; ++j) result(i, j) = a(i, j);
        return result;
    }

    /// c = start + a times the rows of b from `from` on, as many as a has columns.
    static void multiply_slice(const MatrixView<const T>& a, const PackedMatrix<T>& b, std::size_t from,
                               const Start& start, const MatrixView<T>& c) {
        const std::size_t step = together(c.rows);
        for (std::size_t begin = 0; begin < b.cols; begin += step) {
            std::size_t used = least(step, b.cols - begin);
            const T* panels = b.data + b.rows * begin + from * padded(least(panel_width, used));
            multiply_panels(a, panels, b.rows * panel_width, part(start, 0, begin),
                            c.column_block(begin, used));
        }
    }

    static void multiply_panels(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                                const Start& start, const MatrixView<T>& c) {
        if (c.rows <= max_rows) return multiply_rows(a, panels, panel_stride, start, c);
        // Rows are dealt out evenly, so that no pass is left with a single one.
        std::size_t passes = (c.rows + max_rows - 1) / max_rows;
        for (std::size_t pass = 0; pass < passes; ++pass) {
            std::size_t row = c.rows * pass / passes, rows = c.rows * (pass + 1) / passes - row;
            multiply_rows(a.row_block(row, rows), panels, panel_stride, part(start, row, 0),
                          c.row_block(row, rows));
        }
    }

    /// Up to max_rows rows.
    static void multiply_rows(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                              const Start& start, const MatrixView<T>& c) {
        std::size_t count = padded(c.cols) / width;
        Tile multiply = tile_of(c.rows, count);
        if (c.cols == count * width) return multiply(a, panels, panel_stride, start, c.data, c.row_stride);
        // The padding has no place in c: compute beside it.
        alignas(64) T edge[max_rows * max_panels * panel_width];
        MatrixView<T> beside(edge, c.rows, count * width);
        for (std::size_t r = 0; start.data != nullptr && r < c.rows; ++r)
            copy(c.cols, part(start, r, 0).data, beside.at(r, 0));
        multiply(a, panels, panel_stride, start.data != nullptr ? rows_of(beside) : Start(), edge,
                 beside.row_stride);
        for (std::size_t r = 0; r < c.rows; ++r) copy(c.cols, beside.at(r, 0), c.at(r, 0));
    }
};

}  // namespace xtape
