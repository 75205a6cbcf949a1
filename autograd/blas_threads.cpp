#include "autograd/blas_threads.hpp"

#include <mutex>

// OpenBLAS's own; another BLAS has none of them.
extern "C" {
__attribute__((weak)) int openblas_get_num_threads();
__attribute__((weak)) void openblas_set_num_threads(int count);
}

namespace xtape {
namespace {

std::mutex mutex;
int alive = 0;  // OneBlasThreads of any thread that found, or keep, the number changed
int users_count = 1;

}  // namespace

OneBlasThread::OneBlasThread() {
    if (openblas_get_num_threads == nullptr || openblas_set_num_threads == nullptr) return;
    const std::lock_guard lock(mutex);
    if (alive == 0) {
        users_count = openblas_get_num_threads();
        if (users_count == 1) return;
        openblas_set_num_threads(1);
    }
    ++alive;
    counted_ = true;
}

OneBlasThread::~OneBlasThread() {
    if (!counted_) return;
    const std::lock_guard lock(mutex);
    if (--alive == 0) openblas_set_num_threads(users_count);
}

}  // namespace xtape
