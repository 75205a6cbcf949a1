// The matrix products of LSTM layers, one thread: BLAS as it is, the library's gemm (which chooses), its kernel with the
// right operand packed beforehand, and oneDNN where it is installed, in per cent of what the core's multiply-add units can
// do. A row is judged by the way that the library takes for it. The rules in autograd/packed_matrix.cpp were read off
// this table.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/array.hpp"
#include "autograd/gemm.hpp"
#include "autograd/team.hpp"
#include "benchmarks/agreement.hpp"
#include "benchmarks/buffer.hpp"
#include "benchmarks/floors.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

#include <cblas.h>
#ifdef XTAPE_BENCH_ONEDNN
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#endif

namespace {

using xtape::MatrixView;

/// What is multiplied: with G = 4H, X (T B, D), h and H (T B, H), a weight W (G, D + H) of which a part is used, and the
/// gradient dZ (T B, G) of the pre-activations.
enum class Use { h_w, dz_w, x_w, dz_w_chunk, dz_x, dz_h };
constexpr Use uses[] = {Use::h_w, Use::dz_w, Use::x_w, Use::dz_w_chunk, Use::dz_x, Use::dz_h};

struct Lstm {
    std::size_t batch, steps, inputs, hidden;
};
constexpr Lstm layers[] = {
    {1, 100, 32, 32}, {1, 50, 64, 64}, {16, 50, 64, 128}, {32, 100, 128, 256}, {64, 50, 256, 512}};

/// c (m×n) = start + a (m×k) b (k×n); a transposed operand is stored the other way round, in rows of `stride` values.
struct Product {
    const char* name;
    std::size_t m, n, k;
    bool a_transposed, b_transposed;
    std::size_t b_stride, c_stride;
    bool adds;      // to c; otherwise c is written,
    bool plus_row;  // with a bias
    std::size_t times;
    bool judged_by_peak;

    template <class T>
    bool is_packed() const {
        return !a_transposed && (times > 1 || plus_row) &&
               xtape::packing_pays<T>(m, k, n, times, b_transposed, plus_row);
    }
};

/// As layers do it: sequences are multiplied in chunks of 256 rows, of which the last may be shorter.
Product product(const Lstm& lstm, Use use) {
    const auto [B, T, D, H] = lstm;
    const std::size_t G = 4 * H, W = D + H;
    const std::size_t chunk = std::min((256 + B - 1) / B, T) * B, chunks = (T * B + chunk - 1) / chunk;
    const bool large = B >= 16;
    switch (use) {
        case Use::h_w: return {"h Wᵀ", B, G, H, false, true, W, G, true, false, T, large};
        case Use::dz_w: return {"dz W", B, H, G, false, false, W, H, true, false, T, large};
        case Use::x_w: return {"X Wᵀ, a chunk", chunk, G, D, false, true, W, G, false, true, chunks, large};
        case Use::dz_w_chunk:
            return {"dZ W, a chunk", chunk, D, G, false, false, W, D, chunks > 1, false, chunks, large};
        case Use::dz_x: return {"dZᵀ X, a chunk", G, D, chunk, true, false, D, W, true, false, 1, large};
        case Use::dz_h: break;
    }
    return {"dZᵀ H, a chunk", G, H, chunk, true, false, H, W, true, false, 1, large};
}

struct Contender {
    std::string name;
    bench::Work multiply;
};

/// As BLAS wants it.
struct Operands {
    int m, n, k;
    bool a_transposed, b_transposed;
    int a_stride, b_stride, c_stride;
};

CBLAS_TRANSPOSE order(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

void blas(const Operands& o, const float* a, const float* b, float beta, float* c) {
    cblas_sgemm(CblasRowMajor, order(o.a_transposed), order(o.b_transposed), o.m, o.n, o.k, 1, a, o.a_stride,
                b, o.b_stride, beta, c, o.c_stride);
}
void blas(const Operands& o, const double* a, const double* b, double beta, double* c) {
    cblas_dgemm(CblasRowMajor, order(o.a_transposed), order(o.b_transposed), o.m, o.n, o.k, 1, a, o.a_stride,
                b, o.b_stride, beta, c, o.c_stride);
}

/// Whether all of them compute what BLAS does.
template <class T>
bool agree(const std::string& row, const std::vector<Contender>& contenders, bool adds, xtape::Array<T>& c) {
    bench::Buffer<T> expected;
    bool right = true;
    for (const Contender& contender : contenders) {
        std::fill_n(c.data(), c.size(), adds ? T(0.5) : std::numeric_limits<T>::quiet_NaN());
        contender.multiply();
        bench::Buffer<T> result(c.data(), c.data() + c.size());
        if (expected.empty()) expected = result;
        // Between the rows of c nobody writes.
        for (std::size_t i = 0; i < result.size(); ++i)
            if (std::isnan(expected[i]) && std::isnan(result[i])) expected[i] = result[i] = T(0);
        right &= bench::same_part(contenders[0].name, contender.name, row, expected, result,
                                  std::is_same_v<T, float> ? 1e-5 : 1e-14);
    }
    return right;
}

/// Padded by hand, as an accent is two bytes.
std::string padded(std::string text, std::size_t width) {
    const auto shown =
        std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
    return text.append(width - std::min<std::size_t>(static_cast<std::size_t>(shown), width), ' ');
}

/// One row of the table; false if somebody computed something else.
template <class T>
bool compare(const Product& p, std::mt19937& engine) {
    std::normal_distribution<double> normal;
    const std::size_t a_stride = p.a_transposed ? p.m : p.k;
    // In memory as it is in training: in a tape's one block, but the gradient of a weight in an array of its own.
    const std::size_t a_size = p.m * p.k, b_size = (p.b_transposed ? p.n : p.k) * p.b_stride;
    const std::size_t packed_size = xtape::packed_size<T>(p.k, p.n), unit = 64;
    xtape::Array<T> c(xtape::Shape{p.m * p.c_stride});
    xtape::Array<T> tape(xtape::Shape{a_size + b_size + 2 * packed_size + 4 * unit});
    T* next = tape.data();
    const auto place = [&](std::size_t size) {
        return std::exchange(next, next + (size + unit - 1) / unit * unit);
    };
    T *const a = place(a_size), *const b = place(b_size);
    T *const packed = place(packed_size), *const packed_again = place(packed_size);
    std::generate_n(a, a_size, [&] { return static_cast<T>(normal(engine)); });
    std::generate_n(b, b_size, [&] { return static_cast<T>(normal(engine)); });
    MatrixView<const T> a_view(a, p.m, p.k);
    MatrixView<const T> b_view(b, p.k, p.n, static_cast<std::ptrdiff_t>(p.b_stride));
    if (p.a_transposed) a_view = MatrixView<const T>(a, p.k, p.m).transposed();
    if (p.b_transposed)
        b_view = MatrixView<const T>(b, p.n, p.k, static_cast<std::ptrdiff_t>(p.b_stride)).transposed();
    const MatrixView<T> c_view(c.data(), p.m, p.n, static_cast<std::ptrdiff_t>(p.c_stride));
    const xtape::PackedMatrix<T> b_packed = xtape::pack(b_view, packed);
    const T beta = p.adds ? T(1) : T(0);
    // The others have no bias: ours is 0, and they are spared adding it.
    const bench::Buffer<T> row(p.n, T(0));
    xtape::Team alone;
    const Operands operands{static_cast<int>(p.m),
                            static_cast<int>(p.n),
                            static_cast<int>(p.k),
                            p.a_transposed,
                            p.b_transposed,
                            static_cast<int>(a_stride),
                            static_cast<int>(p.b_stride),
                            static_cast<int>(p.c_stride)};

    std::vector<Contender> contenders = {
        {"OpenBLAS", [&] { blas(operands, a, b, beta, c.data()); }},
        {"gemm", [&] { xtape::gemm(a_view, b_view, beta, c_view); }},
        {"packed",
         [&] {
             if (p.plus_row)
                 xtape::gemm_plus_row(alone, a_view, b_packed, row.data(), c_view);
             else
                 xtape::gemm(a_view, b_packed, beta, c_view);
         }},
    };
#ifdef XTAPE_BENCH_ONEDNN
    if constexpr (std::is_same_v<T, float>)
        contenders.push_back({"oneDNN", [&] {
                                  dnnl_sgemm(p.a_transposed ? 'T' : 'N', p.b_transposed ? 'T' : 'N',
                                             operands.m, operands.n, operands.k, 1, a, operands.a_stride, b,
                                             operands.b_stride, beta, c.data(), operands.c_stride);
                              }});
#endif
    const std::string sizes = std::to_string(p.m) + "×" + std::to_string(p.n) + "×" + std::to_string(p.k);
    if (!agree<T>(p.name + (" " + sizes), contenders, p.adds, c)) return false;

    std::vector<bench::Work> calls;
    for (const Contender& contender : contenders) calls.push_back(contender.multiply);
    calls.push_back([&] { xtape::pack(b_view, packed_again); });
    std::vector<double> peaks;
    calls.push_back([&] { peaks.push_back(bench::fma_rate<T>(5e-4)); });
    const std::vector<double> time = bench::time_in_turns(calls, 0.2);

    const double flops = 2.0 * static_cast<double>(p.m * p.n * p.k), peak = bench::median(peaks);
    const auto of_peak = [&](std::size_t i) { return flops / time[i] / peak; };
    const bool onednn = contenders.size() > 3;
    const double peer = std::max(of_peak(0), onednn ? of_peak(3) : 0);
    const bool is_packed = p.is_packed<T>();
    const double ours = of_peak(is_packed ? 2 : 1);
    bench::Targets targets;
    targets.at_least("of the best peer", ours / peer, std::is_same_v<T, float> ? 0.95 : 1);
    if (p.judged_by_peak && std::is_same_v<T, float>) targets.at_least("of the peak", ours, 0.85);
    const auto percent = [](double part) { return std::to_string(static_cast<int>(100 * part + 0.5)); };
    std::printf("%s %s %9s %7s %7s %7s %7s %8.2f %9.1f  %s\n", padded(p.name, 15).c_str(),
                padded(sizes, 13).c_str(), percent(of_peak(0)).c_str(), percent(of_peak(1)).c_str(),
                percent(of_peak(2)).c_str(), onednn ? percent(of_peak(3)).c_str() : "-",
                is_packed ? "packed" : "gemm", ours / peer, time[contenders.size()] * 1e6,
                targets.verdict().c_str());
    std::fflush(stdout);
    return true;
}

template <class T>
bool compare_all() {
    std::printf(
        "\n%s, per cent of the rate of fused multiply-adds on registers in the same rounds; %.0f "
        "GFLOP/s at best\n",
        std::is_same_v<T, float> ? "float" : "double", bench::fma_peak<T>() * 1e-9);
    std::printf("%-15s %-13s %9s %7s %7s %7s %7s %8s %9s  %s\n", "", "m x n x k", "OpenBLAS", "gemm",
                "packed", "oneDNN", "taken", "to peer", "pack, us", "targets");
    std::mt19937 engine(1);
    bool right = true;
    for (Use use : uses)
        for (const Lstm& lstm : layers) {
            // At D = H the last two are the same.
            if (use == Use::dz_h && lstm.inputs == lstm.hidden) continue;
            right &= compare<T>(product(lstm, use), engine);
        }
    return right;
}

}  // namespace

int main() {
    bench::use_one_blas_thread();
#ifdef XTAPE_BENCH_ONEDNN
    omp_set_num_threads(1);
#endif
    std::printf("%s", bench::machine_description().c_str());
    for (const std::string& warning : bench::machine_warnings())
        std::printf("WARNING: %s\n", warning.c_str());
    const bool right = compare_all<float>();
    return compare_all<double>() && right ? 0 : 1;
}
