// Matrix products in the shapes of recurrent networks, GFLOP/s on one thread: BLAS as it is, the library's gemm (which
// chooses), its kernel with the right operand packed beforehand, and oneDNN where it is installed; beside them, as a
// fraction of the better peer and of the peak. The rules in autograd/packed_matrix.cpp were read off this table.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/gemm.hpp"
#include "benchmarks/agreement.hpp"
#include "benchmarks/buffer.hpp"
#include "benchmarks/floors.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/turns.hpp"

#include <cblas.h>
#ifdef XTAPE_BENCH_ONEDNN
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#endif

namespace {

using xtape::MatrixView;

/// c (m×n) = a (m×k) b (k×n); a transposed operand is stored the other way round.
struct Product {
    const char* use;
    std::size_t m, n, k;
    bool a_transposed, b_transposed;
};

constexpr Product products[] = {
    {"h Wᵀ", 1, 256, 64, false, true},
    {"h Wᵀ", 1, 1024, 256, false, true},
    {"h Wᵀ", 4, 256, 64, false, true},
    {"h Wᵀ", 16, 512, 128, false, true},
    {"h Wᵀ", 32, 1024, 256, false, true},
    {"h Wᵀ", 64, 2048, 512, false, true},
    {"dz W", 1, 64, 256, false, false},
    {"dz W", 1, 256, 1024, false, false},
    {"dz W", 16, 128, 512, false, false},
    {"dz W", 32, 256, 1024, false, false},
    {"dz W", 64, 512, 2048, false, false},
    {"X Wᵀ, all steps", 50, 256, 64, false, true},
    {"X Wᵀ, all steps", 800, 512, 64, false, true},
    {"X Wᵀ, all steps", 3200, 1024, 128, false, true},
    {"dZ W, all steps", 50, 64, 256, false, false},
    {"dZ W, all steps", 800, 64, 512, false, false},
    {"dZ W, all steps", 3200, 128, 1024, false, false},
    {"dZᵀ X, all steps", 256, 64, 50, true, false},
    {"dZᵀ X, all steps", 512, 128, 800, true, false},
    {"dZᵀ X, all steps", 1024, 256, 3200, true, false},
};

struct Contender {
    std::string name;
    bench::Work multiply;
};

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const float* a, int lda,
          const float* b, int ldb, float* c) {
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, a, lda, b, ldb, 0, c, n);
}
void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const double* a, int lda,
          const double* b, int ldb, double* c) {
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, a, lda, b, ldb, 0, c, n);
}

/// Whether all of them compute what BLAS does.
template <class T>
bool agree(const std::string& row, const std::vector<Contender>& contenders, bench::Buffer<T>& c) {
    bench::Buffer<T> expected;
    bool right = true;
    for (const Contender& contender : contenders) {
        std::fill(c.begin(), c.end(), std::numeric_limits<T>::quiet_NaN());
        contender.multiply();
        if (expected.empty()) expected = c;
        right &= bench::same_part(contenders[0].name, contender.name, row, expected, c,
                                  std::is_same_v<T, float> ? 1e-5 : 1e-14);
    }
    return right;
}

/// Padded by hand, as an accent is two bytes.
std::string padded(std::string use) {
    const auto shown = std::count_if(use.begin(), use.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
    return use.append(24 - std::min<std::size_t>(static_cast<std::size_t>(shown), 24), ' ');
}

/// One row of the table; false if somebody computed something else.
template <class T>
bool compare(const Product& p, std::mt19937& engine) {
    std::normal_distribution<double> normal;
    bench::Buffer<T> a(p.m * p.k), b(p.k * p.n), c(p.m * p.n), packed(xtape::packed_size<T>(p.k, p.n));
    for (T& value : a) value = static_cast<T>(normal(engine));
    for (T& value : b) value = static_cast<T>(normal(engine));
    MatrixView<const T> a_view(a.data(), p.m, p.k), b_view(b.data(), p.k, p.n);
    if (p.a_transposed) a_view = MatrixView<const T>(a.data(), p.k, p.m).transposed();
    if (p.b_transposed) b_view = MatrixView<const T>(b.data(), p.n, p.k).transposed();
    MatrixView<T> c_view(c.data(), p.m, p.n);
    const xtape::PackedMatrix<T> b_packed = xtape::pack(b_view, packed.data());
    const int m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);

    std::vector<Contender> contenders = {
        {"BLAS",
         [&] {
             blas(p.a_transposed ? CblasTrans : CblasNoTrans, p.b_transposed ? CblasTrans : CblasNoTrans, m,
                  n, k, a.data(), p.a_transposed ? m : k, b.data(), p.b_transposed ? k : n, c.data());
         }},
        {"gemm", [&] { xtape::gemm(a_view, b_view, T(0), c_view); }},
        {"packed", [&] { xtape::gemm(a_view, b_packed, T(0), c_view); }},
    };
#ifdef XTAPE_BENCH_ONEDNN
    if constexpr (std::is_same_v<T, float>)
        contenders.push_back({"oneDNN", [&] {
                                  dnnl_sgemm(p.a_transposed ? 'T' : 'N', p.b_transposed ? 'T' : 'N', m, n, k,
                                             1, a.data(), p.a_transposed ? m : k, b.data(),
                                             p.b_transposed ? k : n, 0, c.data(), n);
                              }});
#endif
    const std::string sizes = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    if (!agree<T>(sizes, contenders, c)) return false;

    std::vector<bench::Work> calls;
    for (const Contender& contender : contenders) calls.push_back(contender.multiply);
    calls.push_back([&] { xtape::pack(b_view, packed.data()); });
    const std::vector<double> time = bench::time_in_turns(calls, 0.2);

    const double flops = 2.0 * static_cast<double>(p.m * p.n * p.k);
    const auto rate = [&](std::size_t i) { return flops / time[i] * 1e-9; };
    const bool onednn = contenders.size() > 3;
    const double peer = std::max(rate(0), onednn ? rate(3) : 0);
    std::printf("%s %16s %7.0f %7s %7.0f %7.0f %10.2f %12.2f %12.2f %9.1f\n", padded(p.use).c_str(),
                sizes.c_str(), rate(0), onednn ? std::to_string(static_cast<int>(rate(3))).c_str() : "-",
                rate(1), rate(2), rate(1) / peer, rate(2) / peer, rate(2) / bench::fma_peak<T>() * 1e9,
                time.back() * 1e6);
    std::fflush(stdout);
    return true;
}

template <class T>
bool compare_all() {
    std::printf("\n%s, GFLOP/s; %.0f is the peak of fused multiply-adds on registers\n",
                std::is_same_v<T, float> ? "float" : "double", bench::fma_peak<T>() * 1e-9);
    std::printf("%-24s %16s %7s %7s %7s %7s %10s %12s %12s %9s\n", "", "m×n×k", "BLAS", "oneDNN", "gemm",
                "packed", "gemm/peer", "packed/peer", "packed/peak", "pack, µs");
    std::mt19937 engine(1);
    bool right = true;
    for (const Product& p : products) right &= compare<T>(p, engine);
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
