#pragma once

namespace xtape {

/// While one of these lives, OpenBLAS multiplies on the calling thread alone: how it cuts a product between threads shows
/// in the bits of the result. The user's number of threads is back when the last one is gone. Another BLAS is left as
/// it is.
class OneBlasThread {
public:
    OneBlasThread();
    ~OneBlasThread();
    OneBlasThread(const OneBlasThread&) = delete;
    OneBlasThread& operator=(const OneBlasThread&) = delete;

private:
    bool counted_ = false;
};

}  // namespace xtape
