#include "autograd/blas_threads.hpp"

#include <thread>
#include <vector>

#include "tests/catch.hpp"

// OpenBLAS's own; another BLAS has none of them.
extern "C" {
__attribute__((weak)) int openblas_get_num_threads();
__attribute__((weak)) void openblas_set_num_threads(int count);
}

namespace {

/// Gives OpenBLAS two threads for a test.
class TwoThreads {
public:
    TwoThreads() : before_(openblas_get_num_threads()) { openblas_set_num_threads(2); }
    ~TwoThreads() { openblas_set_num_threads(before_); }
    TwoThreads(const TwoThreads&) = delete;
    TwoThreads& operator=(const TwoThreads&) = delete;

private:
    int before_;
};

}  // namespace

TEST_CASE("one BLAS thread: the user's number is back after the last of several", "[gemm]") {
    if (openblas_set_num_threads == nullptr) return;
    const TwoThreads two;
    {
        const xtape::OneBlasThread outer;
        CHECK(openblas_get_num_threads() == 1);
        { const xtape::OneBlasThread inner; }
        CHECK(openblas_get_num_threads() == 1);
    }
    CHECK(openblas_get_num_threads() == 2);
}

TEST_CASE("one BLAS thread: holds for each of several threads that overlap", "[gemm]") {
    if (openblas_set_num_threads == nullptr) return;
    const TwoThreads two;
    std::vector<int> other_counts(3, 0);
    std::vector<std::thread> threads;
    threads.reserve(other_counts.size());
    for (int& others : other_counts)
        threads.emplace_back([&others] {
            for (int i = 0; i < 10000; ++i) {
                const xtape::OneBlasThread one;
                if (openblas_get_num_threads() != 1) ++others;
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(other_counts == std::vector<int>(3, 0));
    CHECK(openblas_get_num_threads() == 2);
}
