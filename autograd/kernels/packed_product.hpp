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
    static constexpr std::size_t line = 64 / sizeof(T);  // values in a cache line
    /// BLAS chooses its kernels at run time: with 16-byte vectors there is no point in competing.
    static constexpr bool wide = width * sizeof(T) >= 32;
    /// 3 × 8 accumulators fill the 32 registers of AVX-512, 3 × 4 the 16 of AVX2 and SSE.
    static constexpr std::size_t max_rows = width * sizeof(T) == 64 ? 8 : 4;
    /// The same where each element is the sum of several sums (PackedMatrix::sums).
    static constexpr std::size_t sums_in_parts = 2;
    static constexpr std::size_t max_rows_in_parts = max_rows == 8 ? 6 : 2;
    /// Four vectors by six rows are as many accumulators: a last panel of a single vector, whose products would wait for
    /// loads, goes with the panel before it.
    static constexpr bool extends_panels = max_rows == 8;
    static constexpr std::size_t extended_rows = 6;
    /// Rows of a that stay in the second-level cache while they meet all panels.
    static constexpr std::size_t block_rows = 64;
    /// From a column of a copied block to the next: no power of two, and room for a vector beyond the last row.
    static constexpr std::size_t copy_stride = block_rows + width;
    /// So many columns are copied before the one that is multiplied.
    static constexpr std::size_t copied_ahead = 3;
    /// Tiles fetch one cache line with every so many columns: more would take the buffers in which their own misses wait.
    static constexpr std::size_t fetch_every = 3;
    /// With fewer columns a tile is over before what it fetches from far away is there.
    static constexpr std::size_t least_columns = 48;
    /// A k up to this length isn't cut into slices where a needs no copy, so that c is read and written once.
    static constexpr std::size_t whole_depth = 256;
    /// What of b is taken to stay in the second-level cache under the blocks of a product, and until the next one.
    static constexpr std::size_t second_level_bytes = std::size_t(1) << 20;
    static constexpr std::size_t lasting_bytes = std::size_t(3) << 17;

    using Start = ProductStart<T>;
    using Tile = ProductTile<T>;

    /// Cache lines that a tile fetches to the second-level cache on the side, one every fetch_every columns of a.
    struct Fetch {
        const T* first = nullptr;
        std::ptrdiff_t stride = 0;
        std::size_t count = 0;
    };
    using FetchingTile = void (*)(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                                  const Start& start, T* c, std::ptrdiff_t c_stride, const Fetch& fetch);

    /// Where the first rows of a tile's left operand are to be copied, at most a vector of them, a column every copy_stride.
    struct Copy {
        T* data = nullptr;
        std::size_t rows = 0;
    };
    using FarTile = void (*)(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                             const Start& start, T* c, std::ptrdiff_t c_stride, const Copy& copy);

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

    /// What a tile does beside its products: nothing; it fetches for others; or, as columns of a lie far apart, it fetches
    /// each some columns before it is due, or copies it then and multiplies the copy.
    enum class Beside { nothing, fetch, fetch_left, copy_left };

    /// c = start + a times the panels: R rows by P whole panels and then L vectors of the last one, which is L vectors
    /// wide. A panel follows the one before it at panel_stride. Columns of padding are written too. Each element is the
    /// sum of S sums, of which sum s has the products s, s + S, s + 2 S, ...
    template <std::size_t R, std::size_t P, std::size_t L, std::size_t S, Beside beside>
    [[gnu::always_inline]] static void products(const MatrixView<const T>& a, const T* panels,
                                                std::size_t panel_stride, const Start& start, T* c,
                                                std::ptrdiff_t c_stride, Fetch fetch, Copy to) {
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
        std::ptrdiff_t row_stride = a.row_stride, col_stride = a.col_stride;
        const T* last = panels + P * panel_stride;
        // Copies of columns, of which the first are made now.
        const T* far = a.data;
        T* copies = to.data;
        const std::ptrdiff_t far_stride = a.col_stride;
        const std::size_t cols = a.cols, copied = to.rows == width ? least(copied_ahead, cols) : cols;
        if constexpr (beside == Beside::copy_left) {
            for (std::size_t l = 0; l < copied; ++l, far += far_stride, copies += copy_stride)
                Pack<T, Arch>::load_first(far, to.rows).store(copies);
            left = to.data;
            row_stride = 1;
            col_stride = static_cast<std::ptrdiff_t>(copy_stride);
        }
        const auto add_product = [&](auto s) __attribute__((always_inline)) {
            // No further ahead than has room in a set of the first-level cache, into one of which all columns may fall.
            if constexpr (beside == Beside::fetch_left) __builtin_prefetch(left + 8 * col_stride);
            const T* const row = panels + s * panel_width;
            Vector right[all];
            each_of<whole>([&](auto v) {
                right[v] = Vector::load_aligned(row + v / vectors * panel_stride + v % vectors * width);
            });
            each_of<L>([&](auto v) { right[whole + v] = Vector::load_aligned(last + (s * L + v) * width); });
            each_of<R>([&](auto r) {
                Vector x(left[static_cast<std::ptrdiff_t>(r) * row_stride +
                              static_cast<std::ptrdiff_t>(s) * col_stride]);
                each_of<all>([&](auto v) { sum[s][r][v] = xsimd::fma(x, right[v], sum[s][r][v]); });
            });
        };
        const auto advance = [&]() __attribute__((always_inline)) {
            left += static_cast<std::ptrdiff_t>(S) * col_stride;
            panels += S * panel_width;
            last += S * L * width;
        };
        std::size_t l = 0;
        if constexpr (beside == Beside::fetch)
            for (; fetch.count > 0 && l + fetch_every <= cols; --fetch.count, l += fetch_every) {
                __builtin_prefetch(fetch.first, 0, 2);
                fetch.first += fetch.stride;
                each_of<fetch_every>([&](auto) {
                    add_product(std::integral_constant<std::size_t, 0>{});
                    advance();
                });
            }
        if constexpr (beside == Beside::copy_left)
            for (; l + copied < cols; ++l, far += far_stride, copies += copy_stride) {
                Vector::load_unaligned(far).store_unaligned(copies);
                add_product(std::integral_constant<std::size_t, 0>{});
                advance();
            }
        for (; l + S <= cols; l += S) {
            each_of<S>(add_product);
            advance();
        }
        each_of<S - 1>([&](auto s) __attribute__((always_inline)) {
            if (l + s < cols) add_product(s);
        });
        each_of<S - 1>(
            [&](auto s) { each([&](auto r, auto v) { sum[0][r][v] = sum[0][r][v] + sum[s + 1][r][v]; }); });
        each([&](auto r, auto v) {
            sum[0][r][v].store_unaligned(c + static_cast<std::ptrdiff_t>(r) * c_stride + v * width);
        });
    }

    template <std::size_t R, std::size_t P, std::size_t L, std::size_t S>
    static void tile(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                     const Start& start, T* c, std::ptrdiff_t c_stride) {
        products<R, P, L, S, Beside::nothing>(a, panels, panel_stride, start, c, c_stride, {}, {});
    }
    template <std::size_t R, std::size_t P, std::size_t L>
    static void fetching_tile(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                              const Start& start, T* c, std::ptrdiff_t c_stride, const Fetch& fetch) {
        products<R, P, L, 1, Beside::fetch>(a, panels, panel_stride, start, c, c_stride, fetch, {});
    }
    template <std::size_t R, std::size_t P, std::size_t L>
    static void far_tile(const MatrixView<const T>& a, const T* panels, std::size_t panel_stride,
                         const Start& start, T* c, std::ptrdiff_t c_stride, const Copy& copy) {
        // Only after a whole panel there are others.
        constexpr Beside beside = P == 1 && L == 0 ? Beside::copy_left : Beside::fetch_left;
        products<R, P, L, 1, beside>(a, panels, panel_stride, start, c, c_stride, {}, copy);
    }

    // ---- tables of tiles ----

    template <std::size_t N, class Function = Tile>
    struct Tiles {
        Function of[N];
    };
    template <std::size_t P, std::size_t L, std::size_t S, std::size_t... R>
    static constexpr Tiles<sizeof...(R)> tiles_by_rows(std::index_sequence<R...>) {
        return {{&tile<R + 1, P, L, S>...}};
    }
    template <std::size_t R, std::size_t... I>
    static constexpr Tiles<sizeof...(I)> tiles_by_vectors(std::index_sequence<I...>) {
        return {{&tile<R, (I + 1) / vectors, (I + 1) % vectors, 1>...}};
    }
    template <std::size_t P, std::size_t L, std::size_t... R>
    static constexpr Tiles<sizeof...(R), FetchingTile> fetching_tiles(std::index_sequence<R...>) {
        return {{&fetching_tile<R + 1, P, L>...}};
    }
    template <std::size_t P, std::size_t L, std::size_t... R>
    static constexpr Tiles<sizeof...(R), FarTile> far_tiles(std::index_sequence<R...>) {
        return {{&far_tile<R + 1, P, L>...}};
    }

    /// All tiles of one panel: one_panel<...>[v - 1].of[r - 1] multiplies r rows by a panel of v vectors.
    template <std::size_t rows, std::size_t S>
    static constexpr Tiles<rows> one_panel[vectors] = {
        tiles_by_rows<0, 1, S>(std::make_index_sequence<rows>{}),
        tiles_by_rows<0, 2, S>(std::make_index_sequence<rows>{}),
        tiles_by_rows<1, 0, S>(std::make_index_sequence<rows>{})};
    template <std::size_t rows>
    static constexpr Tiles<rows, FetchingTile> fetching_panel[vectors] = {
        fetching_tiles<0, 1>(std::make_index_sequence<rows>{}),
        fetching_tiles<0, 2>(std::make_index_sequence<rows>{}),
        fetching_tiles<1, 0>(std::make_index_sequence<rows>{})};
    /// For a left operand whose columns lie far apart.
    template <std::size_t rows>
    static constexpr Tiles<rows, FarTile> far_panel[vectors] = {
        far_tiles<0, 1>(std::make_index_sequence<rows>{}), far_tiles<0, 2>(std::make_index_sequence<rows>{}),
        far_tiles<1, 0>(std::make_index_sequence<rows>{})};

    /// Those of a panel and a vector.
    template <std::size_t rows>
    static constexpr auto extended = tiles_by_rows<1, 1, 1>(std::make_index_sequence<rows>{});
    template <std::size_t rows>
    static constexpr auto fetching_extended = fetching_tiles<1, 1>(std::make_index_sequence<rows>{});
    template <std::size_t rows>
    static constexpr auto far_extended = far_tiles<1, 1>(std::make_index_sequence<rows>{});

    /// One or two rows have too few sums in flight to hide the latency of an addition: they take several panels
    /// at once. one_row[v - 1] multiplies by v vectors of neighbouring panels.
    static constexpr std::size_t max_panels = width * sizeof(T) == 64 ? 4 : 2;
    static constexpr auto one_row = tiles_by_vectors<1>(std::make_index_sequence<max_panels * vectors>{});
    static constexpr auto two_rows =
        tiles_by_vectors<2>(std::make_index_sequence<max_panels / 2 * vectors>{});

    /// For some rows of a product by b, by as many vectors as tile_columns says, or fewer.
    static Tile tile_of(const PackedMatrix<T>& b, std::size_t rows, std::size_t count) {
        return b.sums > 1  ? one_panel<max_rows_in_parts, sums_in_parts>[count - 1].of[rows - 1]
               : rows == 1 ? one_row.of[count - 1]
               : rows == 2 ? two_rows.of[count - 1]
                           : one_panel<max_rows, 1>[count - 1].of[rows - 1];
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
        for (std::size_t begin = 0; begin < b.cols; begin += step) {
            const std::size_t count = least(step, b.cols - begin);
            fit(tile_of(b, c.rows, padded(count) / width), a, panel(b, 0, begin), b.rows * panel_width,
                part(start, 0, begin), c.column_block(begin, count));
        }
    }

    /// How a block of the left operand meets the panels.
    enum class Left { in_place, copied_before, copied_by_first_panel };

    static Left left_of(const MatrixView<const T>& a, const PackedMatrix<T>& b) {
        if (extends_panels && a.col_stride == 1) return Left::in_place;
        if (extends_panels && a.row_stride == 1 && b.sums == 1) return Left::copied_by_first_panel;
        // A block is copied if many columns pay for it, or each element of a row lies in a cache line of its own.
        const bool pays = b.cols >= panel_width * (a.col_stride == 1 ? 4 : 1);
        return pays ? Left::copied_before : Left::in_place;
    }

    /// Slices of k and blocks of rows are so large that what is used again is still in a cache: a slice of a panel in the
    /// first level, under the rows of a block, and all slices or all blocks in the second.
    [[gnu::noinline]] static void multiply_in_blocks(const MatrixView<const T>& a, const PackedMatrix<T>& b,
                                                     const Start& start, const MatrixView<T>& c) {
        alignas(64) T memory[copy_stride * product_depth];
        const Left left = left_of(a, b);
        const bool uncut = left == Left::in_place && a.cols <= whole_depth;
        const Cut slices(a.cols, uncut ? whole_depth : product_depth), blocks(c.rows, block_rows, width);
        const std::size_t bytes = b.rows * b.cols * sizeof(T);
        const bool rows_first = bytes > second_level_bytes;
        const bool fetches_b = left != Left::copied_by_first_panel && bytes > lasting_bytes;
        const auto slice = [&](std::size_t i) { return rows_first ? i / blocks.count : i % slices.count; };
        const auto block = [&](std::size_t i) { return rows_first ? i % blocks.count : i / slices.count; };
        const auto block_of = [&](const auto& matrix, std::size_t i) {
            return matrix.row_block(blocks.begin(block(i)), blocks.size(block(i)));
        };
        const auto left_block = [&](std::size_t i) {
            return block_of(a, i).column_block(slices.begin(slice(i)), slices.size(slice(i)));
        };
        Ahead ahead;
        for (std::size_t i = 0, count = slices.count * blocks.count; i < count; ++i) {
            const MatrixView<T> result = block_of(c, i);
            const std::size_t from = slices.begin(slice(i)), row = blocks.begin(block(i));
            const Start first = from > 0 ? rows_of(result) : part(start, row, 0);
            ahead.a = Lines{};
            if (left == Left::copied_by_first_panel && i + 1 < count) ahead.a.matrix = left_block(i + 1);
            const std::size_t next_block = i + (rows_first ? 1 : slices.count);
            if ((rows_first || slice(i) == 0) && next_block < count)
                ahead.c = Lines{block_of(c, next_block).transposed()};
            const MatrixView<const T> rows = left_block(i);
            multiply_block(left == Left::copied_before ? dense(rows, memory) : rows,
                           left == Left::copied_by_first_panel ? memory : nullptr, b, from, first, result,
                           fetches_b ? nullptr : &ahead);
        }
    }

    /// The cache lines of a matrix with contiguous columns that are still to be fetched.
    struct Lines {
        MatrixView<const T> matrix{nullptr, 0, 0};
        std::size_t row = 0, column = 0;

        Fetch next(std::size_t most) {
            if (row >= matrix.rows) return {};
            const Fetch fetch{matrix.at(row, column), matrix.col_stride, least(most, matrix.cols - column)};
            column += fetch.count;
            if (column == matrix.cols) column = 0, row += line;
            return fetch;
        }
    };
    /// What the tiles of a block fetch for the next one: its rows of a, and where its result goes.
    struct Ahead {
        Lines a, c;

        Fetch next(std::size_t most) {
            const Fetch fetch = a.next(most);
            return fetch.count > 0 ? fetch : c.next(most);
        }
    };

    /// A length in parts of nearly equal size, all but the last a multiple of `unit`.
    struct Cut {
        std::size_t length, count, unit;

        Cut(std::size_t length_, std::size_t most, std::size_t unit_ = 1)
            : length(length_), count((length_ + most - 1) / most), unit(unit_) {}
        std::size_t begin(std::size_t i) const {
            return least((length + unit - 1) / unit * i / count * unit, length);
        }
        std::size_t size(std::size_t i) const { return begin(i + 1) - begin(i); }
    };

    /// c = start + a times the rows of b from `from` on, as many as a has columns. With memory for a copy of a, that is made
    /// under the products by the first panel and stands in for a from then on. Meanwhile the tiles fetch what is ahead; or,
    /// with nullptr, b, which comes from far away then: each panel arrives while the rows pass over the one before it.
    static void multiply_block(MatrixView<const T> a, T* memory, const PackedMatrix<T>& b, std::size_t from,
                               const Start& start, const MatrixView<T>& c, Ahead* ahead) {
        for (std::size_t begin = 0, end; begin < b.cols; begin = end) {
            end = begin + columns_at(b, begin);
            const T* const next = end < b.cols             ? panel(b, from, end)
                                  : from + a.cols < b.rows ? panel(b, from + a.cols, 0)
                                                           : b.data;
            multiply_panel(a, memory, b, from, begin, next, part(start, 0, begin),
                           c.column_block(begin, end - begin), ahead);
            if (memory != nullptr) a = copied(a, memory);
            memory = nullptr;
        }
    }

    /// How many columns from `begin` on the rows of a block meet at once.
    static std::size_t columns_at(const PackedMatrix<T>& b, std::size_t begin) {
        const std::size_t rest = b.cols - begin;
        const bool is_extended = extends_panels && b.sums == 1 && rest > panel_width;
        return is_extended && rest <= panel_width + width ? rest : least(panel_width, rest);
    }

    /// Where tiles put their copy of a block of a.
    static MatrixView<const T> copied(const MatrixView<const T>& a, const T* memory) {
        return {memory, a.rows, a.cols, 1, static_cast<std::ptrdiff_t>(copy_stride)};
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

    /// All rows pass over one panel, or one and a vector, which comes into the first-level cache with the first of them.
    static void multiply_panel(const MatrixView<const T>& a, T* memory, const PackedMatrix<T>& b,
                               std::size_t from, std::size_t begin, const T* next, const Start& start,
                               const MatrixView<T>& c, Ahead* ahead) {
        const std::size_t count = padded(c.cols) / width, lines = a.cols * count * width / line;
        const bool is_extended = count > vectors;
        const T* const panels = panel(b, from, begin);
        const std::size_t panel_stride =
            is_extended ? static_cast<std::size_t>(panel(b, from, begin + panel_width) - panels) : 0;
        const MatrixView<const T> near = memory != nullptr ? copied(a, memory) : a;
        std::size_t copied_rows = memory != nullptr ? 0 : c.rows;
        // Rows are dealt out evenly, so that no pass is left with a single one.
        const Cut passes(c.rows, is_extended ? extended_rows : tile_rows(b));
        for (std::size_t pass = 0; pass < passes.count; ++pass) {
            const std::size_t row = passes.begin(pass), rows = passes.size(pass);
            const MatrixView<T> result = c.row_block(row, rows);
            const Start first = part(start, row, 0);
            if (ahead == nullptr || (first.data == result.data && a.cols < least_columns)) {
                // c for the next pass, or for that of the next panel.
                const bool is_last = pass + 1 == passes.count;
                const T* to = is_last ? c.data + panel_width
                                      : result.data + static_cast<std::ptrdiff_t>(rows) * c.row_stride;
                for (std::size_t r = 0; r < rows; ++r, to += c.row_stride)
                    for (std::size_t j = 0; j < c.cols; j += line) __builtin_prefetch(to + j, 1);
            }
            if (row + rows > copied_rows) {
                // A whole cache line of each column, which is the rows of this pass and perhaps of the next.
                const Copy copy{memory + row, least(width, c.rows - row)};
                if (count == vectors) copied_rows = row + copy.rows;
                fit(far_tile_of(count, rows), a.row_block(row, rows), panels, panel_stride, first, result,
                    copy);
                continue;
            }
            Fetch fetch;
            if (b.sums == 1 && rows > 2 && a.cols >= least_columns) {
                const std::size_t most = a.cols / fetch_every, begun = pass * lines / passes.count;
                const std::size_t share = (pass + 1) * lines / passes.count - begun;
                fetch = ahead != nullptr ? ahead->next(most)
                                         : Fetch{next + begun * line, line, least(most, share)};
            }
            const MatrixView<const T> left = near.row_block(row, rows);
            if (fetch.count > 0)
                fit(fetching_tile_of(count, rows), left, panels, panel_stride, first, result, fetch);
            else
                fit(is_extended ? extended_tile_of(rows) : tile_of(b, rows, count), left, panels,
                    panel_stride, first, result);
        }
    }

    static Tile extended_tile_of(std::size_t rows) {
        if constexpr (extends_panels) return extended<extended_rows>.of[rows - 1];
        return nullptr;
    }
    static FetchingTile fetching_tile_of(std::size_t count, std::size_t rows) {
        if constexpr (extends_panels)
            if (count > vectors) return fetching_extended<extended_rows>.of[rows - 1];
        return fetching_panel<max_rows>[count - 1].of[rows - 1];
    }
    static FarTile far_tile_of(std::size_t count, std::size_t rows) {
        if constexpr (extends_panels)
            return count > vectors ? far_extended<extended_rows>.of[rows - 1]
                                   : far_panel<max_rows>[count - 1].of[rows - 1];
        return nullptr;
    }

    /// Calls a tile; beside c where that has no place for the padding.
    template <class Function, class... Others>
    [[gnu::always_inline]] static void fit(Function multiply_tile, const MatrixView<const T>& a,
                                           const T* panels, std::size_t panel_stride, const Start& start,
                                           const MatrixView<T>& c, const Others&... others) {
        if (c.cols % width == 0)
            return multiply_tile(a, panels, panel_stride, start, c.data, c.row_stride, others...);
        alignas(64) T edge[max_rows * max_panels * panel_width];
        const MatrixView<T> beside(edge, c.rows, padded(c.cols));
        copy_rows(start, c, beside);
        multiply_tile(a, panels, panel_stride, start.data != nullptr ? rows_of(beside) : Start(), edge,
                      beside.row_stride, others...);
        copy_rows(rows_of(beside), c, c);
    }
    /// The rows of c from a start, if there is one.
    static void copy_rows(const Start& from, const MatrixView<T>& c, const MatrixView<T>& to) {
        for (std::size_t r = 0; from.data != nullptr && r < c.rows; ++r)
            copy(c.cols, part(from, r, 0).data, to.at(r, 0));
    }
};

}  // namespace xtape
