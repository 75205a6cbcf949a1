#pragma once

#include <cstddef>
#include <type_traits>
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
    /// The same where each element is the sum of several sums (PackedMatrix::sums).
    static constexpr std::size_t sums_in_parts = 2;
    static constexpr std::size_t max_rows_in_parts = max_rows == 8 ? 6 : 2;
    /// Rows of a that stay in the second-level cache while they meet all panels.
    static constexpr std::size_t block_rows = 64;
    /// What of b is taken to stay there beside other things.
    static constexpr std::size_t second_level_bytes = std::size_t(1) << 20;

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
        const std::size_t rows = from.row_stride == 1 ? from.rows / n * n : 0, cols = from.cols / n * n;
        const std::ptrdiff_t from_stride = from.col_stride, to_stride = to.row_stride;
        for (std::size_t i = 0; i < rows; i += n) {
            const T* source = from.at(i, 0);
            T* target = to.at(i, 0);
            for (std::size_t j = 0; j < cols; j += n) {
                Small block[n];
                each_of<n>([&](auto c) {
                    block[c] = Small::load_unaligned(source + static_cast<std::ptrdiff_t>(c) * from_stride);
                });
                // Interleaving each half with the other, log2(n) times, transposes.
                each_of<n == 4 ? 2 : 1>([&](auto) {
                    Small next[n];
                    each_of<n / 2>([&](auto c) {
                        next[2 * c] = xsimd::zip_lo(block[c], block[c + n / 2]);
                        next[2 * c + 1] = xsimd::zip_hi(block[c], block[c + n / 2]);
                    });
                    each_of<n>([&](auto c) { block[c] = next[c]; });
                });
                each_of<n>([&](auto r) {
                    block[r].store_unaligned(target + static_cast<std::ptrdiff_t>(r) * to_stride);
                });
                source += static_cast<std::ptrdiff_t>(n) * from_stride;
                target += n;
            }
        }
        for (std::size_t i = 0; i < from.rows; ++i)
            for (std::size_t j = i < rows ? cols : 0; j < from.cols; ++j) to(i, j) = from(i, j);
    }

    /// body(0), ..., body(N - 1), unrolled at any optimisation level: the sums must stay in registers.
    template <std::size_t N, class Body>
    [[gnu::always_inline]] static void each_of(const Body& body) {
        const auto call = [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
            (body(std::integral_constant<std::size_t, I>{}), ...);
        };
        call(std::make_index_sequence<N>{});
    }

    /// c = start + a times the panels: R rows by P whole panels and then L vectors of the last one, which is L vectors
    /// wide. A panel follows the one before it at panel_stride. Columns of padding are written too. Each element is the
    /// sum of S sums, of which sum s has the products s, s + S, s + 2 S, ...
    ///
    /// If Ahead, one cache line of `ahead` is fetched to the second-level cache with each column of a: a weight that is
    /// larger than that cache arrives while the rows pass over what came before it.
    template <std::size_t R, std::size_t P, std::size_t L, std::size_t S, bool Ahead>
    static void tile(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                     const Start& start, T* c, std::ptrdiff_t c_stride, const T* ahead) {
        constexpr std::size_t whole = P * vectors, all = whole + L;
        Vector sum[S][R][all];
        auto each = [](auto body) { each_of<R * all>([&](auto i) { body(i / all, i % all); }); };
        if (start.data != nullptr)
            each([&](auto r, auto v) {
                sum[0][r][v] = Vector::load_unaligned(
                    start.data + static_cast<std::ptrdiff_t>(r) * start.row_stride + v * width);
            });
        else
            each([&](auto r, auto v) { sum[0][r][v] = Vector(T(0)); });
        each_of<S - 1>([&](auto s) { each([&](auto r, auto v) { sum[s + 1][r][v] = Vector(T(0)); }); });
        const T* left = a.data;
        const T* last = panels + P * panel_stride;
        const auto add_product = [&](auto s) __attribute__((always_inline)) {
            if constexpr (Ahead)
                __builtin_prefetch(ahead + s * width, 0, 2);
            else if constexpr (R > 2 && S == 1)  // the hardware doesn't look ahead across the end of a panel
                each_of<all>([&](auto v) {
                    __builtin_prefetch((P > 0 ? panels + 16 * panel_width : last + 16 * L * width) +
                                       v * width);
                });
            const T* const row = panels + s * panel_width;
            Vector right[all];
            each_of<whole>([&](auto v) {
                right[v] = Vector::load_aligned(row + v / vectors * panel_stride + v % vectors * width);
            });
            each_of<L>([&](auto v) { right[whole + v] = Vector::load_aligned(last + (s * L + v) * width); });
            each_of<R>([&](auto r) {
                Vector x(left[static_cast<std::ptrdiff_t>(r) * a.row_stride +
                              static_cast<std::ptrdiff_t>(s) * a.col_stride]);
                each_of<all>([&](auto v) { sum[s][r][v] = xsimd::fma(x, right[v], sum[s][r][v]); });
            });
        };
        std::size_t l = 0;
        for (; l + S <= a.cols; l += S) {
            each_of<S>(add_product);
            left += static_cast<std::ptrdiff_t>(S) * a.col_stride;
            panels += S * panel_width;
            last += S * L * width;
            if constexpr (Ahead) ahead += S * width;
        }
        each_of<S - 1>([&](auto s) __attribute__((always_inline)) {
            if (l + s < a.cols) add_product(s);
        });
        each_of<S - 1>(
            [&](auto s) { each([&](auto r, auto v) { sum[0][r][v] = sum[0][r][v] + sum[s + 1][r][v]; }); });
        each([&](auto r, auto v) {
            sum[0][r][v].store_unaligned(c + static_cast<std::ptrdiff_t>(r) * c_stride + v * width);
        });
    }

    // ---- tables of tiles ----

    template <std::size_t N>
    struct Tiles {
        Tile of[N];
    };
    template <std::size_t P, std::size_t L, std::size_t S, bool Ahead, std::size_t... R>
    static constexpr Tiles<sizeof...(R)> tiles_by_rows(std::index_sequence<R...>) {
        return {{&tile<R + 1, P, L, S, Ahead>...}};
    }
    template <std::size_t R, std::size_t... I>
    static constexpr Tiles<sizeof...(I)> tiles_by_vectors(std::index_sequence<I...>) {
        return {{&tile<R, (I + 1) / vectors, (I + 1) % vectors, 1, false>...}};
    }

    /// All tiles of one panel: one_panel<...>[v - 1].of[r - 1] multiplies r rows by a panel of v vectors.
    template <std::size_t rows, std::size_t S, bool Ahead>
    static constexpr Tiles<rows> one_panel[vectors] = {
        tiles_by_rows<0, 1, S, Ahead>(std::make_index_sequence<rows>{}),
        tiles_by_rows<0, 2, S, Ahead>(std::make_index_sequence<rows>{}),
        tiles_by_rows<1, 0, S, Ahead>(std::make_index_sequence<rows>{})};

    /// One or two rows have too few sums in flight to hide the latency of an addition: they take several panels
    /// at once. one_row[v - 1] multiplies by v vectors of neighbouring panels.
    static constexpr std::size_t max_panels = width * sizeof(T) == 64 ? 4 : 2;
    static constexpr auto one_row = tiles_by_vectors<1>(std::make_index_sequence<max_panels * vectors>{});
    static constexpr auto two_rows =
        tiles_by_vectors<2>(std::make_index_sequence<max_panels / 2 * vectors>{});

    /// For some rows of a product by b, by as many vectors as tile_columns says, or fewer.
    static Tile tile_of(const PackedMatrix<T>& b, std::size_t rows, std::size_t count) {
        return b.sums > 1  ? one_panel<max_rows_in_parts, sums_in_parts, false>[count - 1].of[rows - 1]
               : rows == 1 ? one_row.of[count - 1]
               : rows == 2 ? two_rows.of[count - 1]
                           : one_panel<max_rows, 1, false>[count - 1].of[rows - 1];
    }
    static std::size_t tile_columns(const PackedMatrix<T>& b, std::size_t rows) {
        const std::size_t panels = b.sums > 1 ? 1 : rows == 1 ? max_panels : rows == 2 ? max_panels / 2 : 1;
        return panel_width * panels;
    }
    static std::size_t tile_rows(const PackedMatrix<T>& b) {
        return b.sums > 1 ? max_rows_in_parts : max_rows;
    }

    // ---- products of any size ----

    /// c = start + a b.
    static void multiply(const MatrixView<const T>& a, const PackedMatrix<T>& b, const Start& start,
                         const MatrixView<T>& c) {
        if (c.rows > tile_rows(b)) return multiply_in_blocks(a, b, start, c);
        const std::size_t step = tile_columns(b, c.rows);
        for (std::size_t begin = 0; begin < b.cols; begin += step)
            multiply_rows(a, b, panel(b, 0, begin), nullptr, part(start, 0, begin),
                          c.column_block(begin, least(step, b.cols - begin)));
    }

    /// Slices of k and blocks of rows are so large that what is used again is still in a cache: a slice of a panel in the
    /// first level, under the rows of a block, and all slices or all blocks in the second.
    [[gnu::noinline]] static void multiply_in_blocks(const MatrixView<const T>& a, const PackedMatrix<T>& b,
                                                     const Start& start, const MatrixView<T>& c) {
        alignas(64) T memory[block_rows * product_depth];
        const Cut slices(a.cols, product_depth), blocks(c.rows, block_rows);
        const bool rows_first = b.rows * b.cols * sizeof(T) > second_level_bytes;
        // A block is copied if many columns pay for it, or each element of a row lies in a cache line of its own.
        const bool copies = b.cols >= panel_width * (a.col_stride == 1 ? 4 : 1);
        for (std::size_t i = 0; i < slices.count * blocks.count; ++i) {
            const std::size_t slice = rows_first ? i / blocks.count : i % slices.count;
            const std::size_t block = rows_first ? i % blocks.count : i / slices.count;
            const std::size_t from = slices.begin(slice), row = blocks.begin(block);
            const MatrixView<T> result = c.row_block(row, blocks.size(block));
            MatrixView<const T> left = a.row_block(row, result.rows).column_block(from, slices.size(slice));
            if (copies) left = dense(left, memory);
            multiply_block(left, b, from, slice > 0 ? rows_of(result) : part(start, row, 0), result);
        }
    }

    /// A length in parts of nearly equal size.
    struct Cut {
        std::size_t length, count;

        Cut(std::size_t length_, std::size_t most) : length(length_), count((length_ + most - 1) / most) {}
        std::size_t begin(std::size_t i) const { return length * i / count; }
        std::size_t size(std::size_t i) const { return begin(i + 1) - begin(i); }
    };

    /// c = start + a times the rows of b from `from` on, as many as a has columns.
    static void multiply_block(const MatrixView<const T>& a, const PackedMatrix<T>& b, std::size_t from,
                               const Start& start, const MatrixView<T>& c) {
        for (std::size_t begin = 0; begin < b.cols; begin += panel_width) {
            const std::size_t end = least(begin + panel_width, b.cols);
            const T* const next = end < b.cols             ? panel(b, from, end)
                                  : from + a.cols < b.rows ? panel(b, from + a.cols, 0)
                                                           : b.data;
            multiply_panel(a, b, panel(b, from, begin), next, part(start, 0, begin),
                           c.column_block(begin, end - begin));
        }
    }

    /// Row `from` of the panel that begins at a column.
    static const T* panel(const PackedMatrix<T>& b, std::size_t from, std::size_t column) {
        return b.data + b.rows * column + from * padded(least(panel_width, b.cols - column));
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

    /// All rows pass over one panel, the first time slowly, as it comes into the first-level cache; meanwhile the others
    /// fetch what comes next.
    static void multiply_panel(const MatrixView<const T>& a, const PackedMatrix<T>& b, const T* panels,
                               const T* next, const Start& start, const MatrixView<T>& c) {
        const std::size_t lines = a.cols * padded(c.cols) / width;
        // Rows are dealt out evenly, so that no pass is left with a single one.
        const Cut passes(c.rows, tile_rows(b));
        for (std::size_t pass = 0; pass < passes.count; ++pass) {
            const std::size_t row = passes.begin(pass), rows = passes.size(pass);
            const T* const ahead =
                pass > 0 ? next + (pass - 1) * lines / (passes.count - 1) * width : nullptr;
            multiply_rows(a.row_block(row, rows), b, panels, ahead, part(start, row, 0),
                          c.row_block(row, rows));
        }
    }

    /// At most as many rows and columns as a tile has.
    static void multiply_rows(const MatrixView<const T>& a, const PackedMatrix<T>& b, const T* panels,
                              const T* ahead, const Start& start, const MatrixView<T>& c) {
        const std::size_t count = padded(c.cols) / width, panel_stride = b.rows * panel_width;
        const bool fetches = ahead != nullptr && b.sums == 1 && c.rows > 2;
        const Tile multiply =
            fetches ? one_panel<max_rows, 1, true>[count - 1].of[c.rows - 1] : tile_of(b, c.rows, count);
        if (c.cols == count * width)
            return multiply(a, panels, panel_stride, start, c.data, c.row_stride, ahead);
        // The padding has no place in c: compute beside it.
        alignas(64) T edge[max_rows * max_panels * panel_width];
        const MatrixView<T> beside(edge, c.rows, count * width);
        for (std::size_t r = 0; start.data != nullptr && r < c.rows; ++r)
            copy(c.cols, part(start, r, 0).data, beside.at(r, 0));
        multiply(a, panels, panel_stride, start.data != nullptr ? rows_of(beside) : Start(), edge,
                 beside.row_stride, ahead);
        for (std::size_t r = 0; r < c.rows; ++r) copy(c.cols, beside.at(r, 0), c.at(r, 0));
    }
};

}  // namespace xtape
