#pragma once

#include <string>
#include <vector>

namespace bench {

/// What a table of times is worthless without: processor, compiler, instruction set, BLAS and its kernels.
std::string machine_description();

/// The part of it that isn't about BLAS.
std::string processor_and_compiler();

/// Reasons not to trust the times: a pinned BLAS, or kernels older than the processor.
std::vector<std::string> machine_warnings();

/// Processor time of this process, in seconds. On a shared machine the wall clock also measures the neighbours; on an
/// idle one the two agree, and a library that takes a second thread gains nothing by it here.
double cpu_seconds();

/// The wall clock, in seconds: for work of several threads.
double wall_seconds();

/// The cores that this thread may run on; empty where that isn't known.
std::vector<int> usable_cores();

/// Keeps this thread, and those that it starts from now on, to these cores.
void run_on(const std::vector<int>& cores);

/// Keeps OpenBLAS to one thread.
void use_one_blas_thread();

}  // namespace bench
