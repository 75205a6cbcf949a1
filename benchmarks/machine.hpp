#pragma once

#include <string>
#include <vector>

namespace bench {

/// What a table of times is worthless without: processor, compiler, instruction set, BLAS and its kernels.
std::string machine_description();

/// Reasons not to trust the times: a pinned BLAS, or kernels older than the processor.
std::vector<std::string> machine_warnings();

/// Keeps OpenBLAS to one thread.
void use_one_blas_thread();

}  // namespace bench
