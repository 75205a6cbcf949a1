#include "autograd/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "autograd/error.hpp"
#include "tests/catch.hpp"

using xtape::MatrixView;

// OpenBLAS's own; another BLAS has none of them.
extern "C" {
__attribute__((weak)) int openblas_get_num_threads();
__attribute__((weak)) void openblas_set_num_threads(int count);
}

namespace {

/// How a test matrix lies in memory.
enum class Layout { row_major, transposed, column_block, transposed_block, strided, backwards, repeated_row };
constexpr Layout layouts[] = {Layout::row_major,        Layout::transposed, Layout::column_block,
                              Layout::transposed_block, Layout::strided,    Layout::backwards,
                              Layout::repeated_row};

/// A matrix with its memory, filled with random numbers in (-1, 1).
template <class T>
struct Matrix {
    std::vector<T> memory;
    MatrixView<const T> view;

    Matrix(std::size_t rows, std::size_t cols, Layout layout, std::mt19937& engine)
        : memory((rows + 1) * (cols + 5) * 6) {
        std::uniform_real_distribution<T> uniform(-1, 1);
        for (T& value : memory) value = uniform(engine);
        auto r = static_cast<std::ptrdiff_t>(rows), c = static_cast<std::ptrdiff_t>(cols);
        const T* begin = memory.data();
        const T* end = begin + memory.size() - 1;
        switch (layout) {
            case Layout::row_major: view = {begin, rows, cols, c, 1}; break;
            case Layout::transposed: view = {begin, rows, cols, 1, r}; break;
            case Layout::column_block: view = {begin + 2, rows, cols, c + 5, 1}; break;
            case Layout::transposed_block: view = {begin + 3, rows, cols, 1, r + 1}; break;
            case Layout::strided: view = {begin, rows, cols, 2 * (c + 1), 2}; break;
            case Layout::backwards: view = {end, rows, cols, -c, -1}; break;
            case Layout::repeated_row: view = {begin, rows, cols, 0, 1}; break;
        }
    }
};

/// Packed operands with the aligned memory under them.
template <class T>
struct Packed {
    struct Free {
        void operator()(T* block) const { std::free(block); }
    };
    std::unique_ptr<T, Free> memory;
    xtape::PackedMatrix<T> matrix;

    explicit Packed(MatrixView<const T> b) {
        std::size_t bytes = (xtape::packed_size<T>(b.rows, b.cols) * sizeof(T) + 63) / 64 * 64;
        memory.reset(static_cast<T*>(std::aligned_alloc(64, bytes > 0 ? bytes : 64)));
        matrix = xtape::pack(b, memory.get());
    }
};

/// The largest error of c = a b + beta c over all elements, as a part of what rounding allows: (k + 1)
/// epsilon times the sum of all magnitudes. Infinite for a NaN and when something beside c was written.
template <class T, class Multiply>
double error(const MatrixView<const T>& a, const MatrixView<const T>& b, T beta, const Multiply& multiply) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr std::size_t gap = 3;
    constexpr T untouched = T(-77);
    std::size_t stride = b.cols + gap;
    std::vector<T> memory(a.rows * stride + gap, untouched);
    MatrixView<T> c(memory.data(), a.rows, b.cols, static_cast<std::ptrdiff_t>(stride));
    auto start = [](std::size_t i, std::size_t j) { return T(i % 5) / 3 - T(j % 7) / 5; };
    for (std::size_t i = 0; i < c.rows; ++i)
        for (std::size_t j = 0; j < c.cols; ++j)
            c(i, j) = beta == T(0) ? std::numeric_limits<T>::quiet_NaN() : start(i, j);
    multiply(c);
    double worst = 0;
    for (std::size_t i = 0; i < c.rows; ++i) {
        for (std::size_t j = 0; j < c.cols; ++j) {
            long double exact = beta == T(0) ? 0 : start(i, j), magnitude = std::abs(exact);
            for (std::size_t l = 0; l < a.cols; ++l) {
                long double product = static_cast<long double>(a(i, l)) * b(l, j);
                exact += product;
                magnitude += std::abs(product);
            }
            long double allowed =
                static_cast<long double>(a.cols + 1) * std::numeric_limits<T>::epsilon() * magnitude;
            long double difference = std::abs(exact - c(i, j));
            if (std::isnan(c(i, j))) return infinity;
            if (difference > 0) worst = std::max(worst, static_cast<double>(difference / allowed));
        }
        for (std::size_t j = b.cols; j < stride; ++j)
            if (memory[i * stride + j] != untouched) return infinity;
    }
    return worst;
}

struct Size {
    std::size_t m, k, n;
};
constexpr Size sizes[] = {{1, 1, 1},       {1, 7, 5},     {7, 5, 1},     {3, 1, 4},     {2, 3, 4},
                          {5, 17, 33},     {9, 64, 48},   {13, 31, 50},  {17, 130, 47}, {1, 40, 300},
                          {2, 33, 199},    {20, 260, 97}, {71, 400, 64}, {9, 256, 150}, {130, 193, 40},
                          {150, 200, 130}, {70, 50, 290}};
constexpr Size empty_sizes[] = {{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {1, 0, 4}, {4, 0, 1}, {1, 0, 1}, {0, 0, 0}};

}  // namespace

TEMPLATE_TEST_CASE("gemm: agrees with the sum of products for every layout of both operands", "[gemm]", float,
                   double) {
    using T = TestType;
    std::mt19937 engine(1);
    for (Size s : sizes)
        for (Layout left : layouts)
            for (Layout right : layouts)
                for (T beta : {T(0), T(1)}) {
                    Matrix<T> a(s.m, s.k, left, engine), b(s.k, s.n, right, engine);
                    CAPTURE(s.m, s.k, s.n, static_cast<int>(left), static_cast<int>(right), beta);
                    CHECK(error<T>(a.view, b.view, beta,
                                   [&](MatrixView<T> c) { xtape::gemm(a.view, b.view, beta, c); }) <= 1);
                }
}

TEMPLATE_TEST_CASE("gemm: a packed right operand gives the sum of products", "[gemm]", float, double) {
    using T = TestType;
    std::mt19937 engine(2);
    for (Size s : sizes)
        for (Layout left : layouts)
            for (Layout right : layouts)
                for (T beta : {T(0), T(1)}) {
                    Matrix<T> a(s.m, s.k, left, engine), b(s.k, s.n, right, engine);
                    Packed<T> packed(b.view);
                    CAPTURE(s.m, s.k, s.n, static_cast<int>(left), static_cast<int>(right), beta);
                    CHECK(error<T>(a.view, b.view, beta, [&](MatrixView<T> c) {
                              xtape::gemm(a.view, packed.matrix, beta, c);
                          }) <= 1);
                }
}

TEMPLATE_TEST_CASE("gemm: a product whose right operand is packed by blocks is the sum of products", "[gemm]",
                   float, double) {
    using T = TestType;
    std::mt19937 engine(8);
    for (Size s : {Size{4, 1000, 340}, Size{5, 300, 900}})
        for (Layout left : {Layout::row_major, Layout::transposed_block, Layout::strided})
            for (Layout right : {Layout::column_block, Layout::transposed, Layout::strided})
                for (T beta : {T(0), T(1)}) {
                    Matrix<T> a(s.m, s.k, left, engine), b(s.k, s.n, right, engine);
                    CAPTURE(s.m, s.k, s.n, static_cast<int>(left), static_cast<int>(right), beta);
                    CHECK(error<T>(a.view, b.view, beta,
                                   [&](MatrixView<T> c) { xtape::gemm(a.view, b.view, beta, c); }) <= 1);
                }
}

TEMPLATE_TEST_CASE(
    "gemm: a row added to a packed product is as if it had been in each row of the result before", "[gemm]",
    float, double) {
    using T = TestType;
    std::mt19937 engine(4);
    std::vector<Size> all(std::begin(sizes), std::end(sizes));
    all.insert(all.end(), std::begin(empty_sizes), std::end(empty_sizes));
    for (Size s : all) {
        Matrix<T> a(s.m, s.k, Layout::row_major, engine), b(s.k, s.n, Layout::row_major, engine);
        xtape::Team alone;
        Matrix<T> row(1, s.n, Layout::row_major, engine);
        Packed<T> packed(b.view);
        const std::size_t stride = s.n + 3;
        std::vector<T> expected(s.m * stride + 1, T(-77)), result = expected;
        MatrixView<T> before(expected.data(), s.m, s.n, static_cast<std::ptrdiff_t>(stride));
        MatrixView<T> c(result.data(), s.m, s.n, static_cast<std::ptrdiff_t>(stride));
        for (std::size_t i = 0; i < s.m; ++i)
            for (std::size_t j = 0; j < s.n; ++j) {
                before(i, j) = row.view(0, j);
                c(i, j) = std::numeric_limits<T>::quiet_NaN();
            }
        xtape::gemm(a.view, packed.matrix, T(1), before);
        xtape::gemm_plus_row(alone, a.view, packed.matrix, row.view.data, c);
        CAPTURE(s.m, s.k, s.n);
        CHECK(result == expected);
    }
}

TEMPLATE_TEST_CASE("gemm: a product on a row that was noted gives the same bits on other numbers", "[gemm]",
                   float, double) {
    using T = TestType;
    std::mt19937 engine(4);
    std::size_t noted = 0;
    std::vector<Size> all(std::begin(sizes), std::end(sizes));
    all.insert(all.end(), std::begin(empty_sizes), std::end(empty_sizes));
    for (Size more : {Size{1, 32, 128}, Size{1, 33, 96}, Size{3, 20, 32}, Size{2, 7, 320}})
        all.push_back(more);
    for (Size s : all) {
        Matrix<T> a(s.m, s.k, Layout::row_major, engine), b(s.k, s.n, Layout::row_major, engine);
        Matrix<T> row(1, s.n, Layout::row_major, engine);
        Packed<T> packed(b.view);
        std::vector<T> result(s.m * s.n), expected = result;
        const MatrixView<T> c(result.data(), s.m, s.n);
        xtape::CallLog<T> log;
        log.clear();
        const bool can_be = xtape::note_gemm_plus_row<T>(log, a.view, packed.matrix, row.view.data, c);
        noted += can_be;
        xtape::Team alone;
        Matrix<T> other(s.m, s.k, Layout::row_major, engine);
        std::copy(other.memory.begin(), other.memory.end(), a.memory.begin());
        log.do_again(alone);
        if (can_be)
            xtape::gemm_plus_row(alone, a.view, packed.matrix, row.view.data,
                                 MatrixView<T>(expected.data(), s.m, s.n));
        CAPTURE(s.m, s.k, s.n, can_be);
        CHECK(result == expected);
    }
    CHECK(noted >= 3);
}

TEMPLATE_TEST_CASE("gemm: an empty inner dimension gives zeros, empty results are left alone", "[gemm]",
                   float, double) {
    using T = TestType;
    std::mt19937 engine(3);
    for (Size s : empty_sizes)
        for (T beta : {T(0), T(1)}) {
            Matrix<T> a(s.m, s.k, Layout::row_major, engine), b(s.k, s.n, Layout::row_major, engine);
            Packed<T> packed(b.view);
            CAPTURE(s.m, s.k, s.n, beta);
            CHECK(error<T>(a.view, b.view, beta,
                           [&](MatrixView<T> c) { xtape::gemm(a.view, b.view, beta, c); }) <= 1);
            CHECK(error<T>(a.view, b.view, beta,
                           [&](MatrixView<T> c) { xtape::gemm(a.view, packed.matrix, beta, c); }) <= 1);
        }
}

TEMPLATE_TEST_CASE("gemm: packed, a row has the same bits whatever the number of rows and its position",
                   "[gemm]", float, double) {
    using T = TestType;
    std::mt19937 engine(4);
    constexpr std::size_t most = 81;
    // Few rows and columns make an element the sum of several sums; a k of more than one slice, or of one that is longer
    // than others; k odd; a panel and some columns more.
    for (auto [k, n] : {std::pair(300, 211), std::pair(101, 16), std::pair(192, 9), std::pair(193, 9),
                        std::pair(256, 64), std::pair(257, 100)}) {
        const auto columns = static_cast<std::size_t>(n);
        Matrix<T> a(most, static_cast<std::size_t>(k), Layout::row_major, engine);
        Matrix<T> b(static_cast<std::size_t>(k), columns, Layout::transposed, engine);
        Packed<T> packed(b.view);
        std::vector<T> alone(most * columns), together(most * columns);
        for (std::size_t i = 0; i < most; ++i)
            xtape::gemm(a.view.row_block(i, 1), packed.matrix, T(0),
                        MatrixView<T>(alone.data() + i * columns, 1, columns));
        for (std::size_t m = 1; m <= most; m += m < 21 ? 1 : 20) {
            std::size_t first = most - m;
            xtape::gemm(a.view.row_block(first, m), packed.matrix, T(0),
                        MatrixView<T>(together.data(), m, columns));
            CAPTURE(m, k, n);
            CHECK(std::equal(together.begin(), together.begin() + static_cast<std::ptrdiff_t>(m * columns),
                             alone.begin() + static_cast<std::ptrdiff_t>(first * columns)));
        }
    }
}

TEMPLATE_TEST_CASE("gemm: packed, a row has the same bits however the left operand lies in memory", "[gemm]",
                   float, double) {
    using T = TestType;
    std::mt19937 engine(9);
    constexpr std::size_t most = 150;
    // One panel, less, and one with some columns more, alone and after others; more than a slice of k.
    for (std::size_t n : {24u, 40u, 48u, 64u, 100u, 211u})
        for (std::size_t k : {70u, 256u, 400u}) {
            Matrix<T> a(most, k, Layout::row_major, engine), b(k, n, Layout::row_major, engine);
            Packed<T> packed(b.view);
            std::vector<T> columns(most * k), apart(2 * most * k);
            for (std::size_t i = 0; i < most; ++i)
                for (std::size_t j = 0; j < k; ++j)
                    columns[j * most + i] = apart[2 * (i * k + j)] = a.view(i, j);
            const auto stride = static_cast<std::ptrdiff_t>(k);
            const MatrixView<const T> transposed(columns.data(), most, k, 1, most);
            const MatrixView<const T> strided(apart.data(), most, k, 2 * stride, 2);
            for (std::size_t m : {9u, 17u, 64u, 77u, 150u}) {
                const std::size_t first = most - m;
                const auto product = [&](const MatrixView<const T>& left) {
                    std::vector<T> c(m * n, T(0.5));
                    xtape::gemm(left.row_block(first, m), packed.matrix, T(1), MatrixView<T>(c.data(), m, n));
                    return c;
                };
                CAPTURE(m, k, n);
                const std::vector<T> expected = product(a.view);
                CHECK(product(transposed) == expected);
                CHECK(product(strided) == expected);
            }
        }
}

TEMPLATE_TEST_CASE("gemm: packed, a block of columns gives the bits that the whole matrix gives there",
                   "[gemm]", float, double) {
    using T = TestType;
    std::mt19937 engine(5);
    const std::size_t width = xtape::packed_panel_width<T>();
    // As few columns as make an element the sum of several sums, and many.
    for (std::size_t n : {32 / sizeof(T) * 4 - 1, 3 * width + 5})
        for (std::size_t m : {1u, 2u, 7u, 70u}) {
            constexpr std::size_t k = 100;
            Matrix<T> a(m, k, Layout::row_major, engine), b(k, n, Layout::transposed, engine);
            Packed<T> packed(b.view);
            std::vector<T> whole(m * n), parts(m * n);
            xtape::gemm(a.view, packed.matrix, T(0), MatrixView<T>(whole.data(), m, n));
            for (std::size_t begin = 0; begin < n; begin += width) {
                const std::size_t count = std::min(width, n - begin);
                xtape::gemm(a.view, packed.matrix.columns(begin, count), T(0),
                            MatrixView<T>(parts.data(), m, n).column_block(begin, count));
            }
            CAPTURE(m, n);
            CHECK(parts == whole);
        }
}

TEMPLATE_TEST_CASE("gemm: packing a block of columns after the other packs the matrix", "[gemm]", float,
                   double) {
    using T = TestType;
    std::mt19937 engine(6);
    const std::size_t width = xtape::packed_panel_width<T>(), k = 31, n = 2 * width + 3;
    for (Layout layout : layouts) {
        Matrix<T> b(k, n, layout, engine);
        Packed<T> whole(b.view), parts(b.view);
        const std::size_t size = xtape::packed_size<T>(k, n);
        T* const memory = parts.memory.get();
        std::fill_n(memory, size, T(-77));
        for (std::size_t begin : {width, std::size_t(0), 2 * width}) {
            const auto part = xtape::pack_columns(b.view, begin, std::min(width, n - begin), memory);
            CHECK(part.data == whole.matrix.columns(begin, part.cols).data - whole.matrix.data + memory);
        }
        CAPTURE(static_cast<int>(layout));
        CHECK(std::equal(memory, memory + size, whole.memory.get()));
    }
}

TEST_CASE("gemm: a block of packed columns begins and ends with a panel", "[gemm]") {
    std::vector<double> memory(400, 1.0);
    const std::size_t width = xtape::packed_panel_width<double>();
    const Packed<double> packed(MatrixView<const double>(memory.data(), 2, width + 3));
    CHECK(packed.matrix.columns(width, 3).cols == 3);
    CHECK(packed.matrix.columns(0, width).cols == width);
    CHECK_THROWS_AS(packed.matrix.columns(1, width), xtape::ShapeError);
    CHECK_THROWS_AS(packed.matrix.columns(0, width + 1), xtape::ShapeError);
    CHECK_THROWS_AS(packed.matrix.columns(width, 4), xtape::ShapeError);
}

TEST_CASE("gemm: the bits don't depend on BLAS's number of threads, which stays the user's", "[gemm]") {
    if (openblas_set_num_threads == nullptr) return;
    struct Restore {
        int count = openblas_get_num_threads();
        ~Restore() { openblas_set_num_threads(count); }
    } restore;
    std::mt19937 engine(7);
    for (Size s : {Size{1, 700, 900}, Size{900, 700, 1}, Size{100, 90, 80}, Size{200, 300, 250}})
        for (Layout left : {Layout::row_major, Layout::transposed})
            for (Layout right : {Layout::row_major, Layout::transposed}) {
                const Matrix<float> a(s.m, s.k, left, engine), b(s.k, s.n, right, engine);
                std::vector<float> results[2];
                for (int threads : {1, 2}) {
                    openblas_set_num_threads(threads);
                    std::vector<float>& result = results[threads - 1];
                    result.resize(s.m * s.n);
                    xtape::gemm(a.view, b.view, 0.0f, MatrixView<float>(result.data(), s.m, s.n));
                    CHECK(openblas_get_num_threads() == threads);
                }
                CAPTURE(s.m, s.k, s.n, static_cast<int>(left), static_cast<int>(right));
                CHECK(results[0] == results[1]);
            }
}

TEMPLATE_TEST_CASE("gemm: packed, a column whose strides are both 1 is multiplied like any other", "[gemm]",
                   float, double) {
    // More rows than a pass has, and as many columns as make it copy its left operand.
    constexpr std::size_t m = 40, n = 500;
    std::vector<TestType> a(m), row(n), c(m * n, TestType(-1));
    for (std::size_t i = 0; i < m; ++i) a[i] = static_cast<TestType>(i) - 20;
    for (std::size_t j = 0; j < n; ++j) row[j] = static_cast<TestType>(j % 7);
    const Packed<TestType> packed(MatrixView<const TestType>(row.data(), 1, n));
    xtape::gemm(MatrixView<const TestType>(a.data(), m, 1, 1, 1), packed.matrix, TestType(0),
                MatrixView<TestType>(c.data(), m, n));
    for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < n; ++j) REQUIRE(c[i * n + j] == a[i] * row[j]);
}

TEST_CASE("gemm: sizes that don't fit are named in the error", "[gemm]") {
    std::vector<double> memory(100, 1.0);
    MatrixView<const double> a(memory.data(), 2, 3), b(memory.data(), 4, 5);
    std::vector<double> result(100);
    MatrixView<double> c(result.data(), 2, 5);
    CHECK_THROWS_WITH(xtape::gemm(a, b, 0.0, c), Catch::Contains("[gemm] (2, 3) times (4, 5) into (2, 5)"));
    CHECK_THROWS_AS(xtape::gemm(a, b.row_block(0, 3), 0.0, MatrixView<double>(result.data(), 3, 5)),
                    xtape::ShapeError);
    CHECK_THROWS_AS(xtape::gemm(a, b.row_block(0, 3), 0.0, MatrixView<double>(result.data(), 2, 4)),
                    xtape::ShapeError);
    Packed<double> packed(b);
    CHECK_THROWS_AS(xtape::gemm(a, packed.matrix, 0.0, c), xtape::ShapeError);
}

TEST_CASE("gemm: a result that isn't made of separate contiguous rows is refused", "[gemm]") {
    std::vector<double> memory(100, 1.0), result(100);
    MatrixView<const double> a(memory.data(), 2, 3), b(memory.data(), 3, 4);
    CHECK_THROWS_AS(xtape::gemm(a, b, 0.0, MatrixView<double>(result.data(), 2, 4, 1, 2)), xtape::ShapeError);
    CHECK_THROWS_AS(xtape::gemm(a, b, 0.0, MatrixView<double>(result.data(), 2, 4, 3, 1)), xtape::ShapeError);
    CHECK_THROWS_AS(xtape::gemm(a, b, 0.5, MatrixView<double>(result.data(), 2, 4)), std::invalid_argument);
}

TEST_CASE("matrix view: blocks and transposes address the same elements", "[gemm]") {
    std::vector<double> memory(12);
    for (std::size_t i = 0; i < 12; ++i) memory[i] = static_cast<double>(i);
    MatrixView<double> a(memory.data(), 3, 4);
    CHECK(a(2, 1) == 9);
    CHECK(a.transposed()(1, 2) == 9);
    CHECK(a.row_block(1, 2)(1, 1) == 9);
    CHECK(a.column_block(1, 3)(2, 0) == 9);
    CHECK(a.column_block(1, 3).transposed().row_block(0, 1)(0, 2) == 9);
}
