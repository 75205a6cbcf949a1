#include "benchmarks/machine.hpp"

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <fstream>

#ifdef __linux__
#include <sched.h>
#endif

#include "autograd/pack.hpp"

// OpenBLAS's own; another BLAS has none of them.
extern "C" {
__attribute__((weak)) char* openblas_get_corename();
__attribute__((weak)) char* openblas_get_config();
__attribute__((weak)) void openblas_set_num_threads(int count);
}

namespace bench {
namespace {

std::string cpu_model() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown processor";
}

std::string compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
}

std::string blas_core() { return openblas_get_corename ? openblas_get_corename() : ""; }

bool has_avx512() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

}  // namespace

std::string processor_and_compiler() {
    return cpu_model() + "\n" + compiler() + ", xsimd for " + xsimd::default_arch::name() + "\n";
}

std::string machine_description() {
    std::string blas = openblas_get_config ? std::string(openblas_get_config()) : "BLAS: not OpenBLAS";
    return processor_and_compiler() + blas +
           (blas_core().empty() ? "" : "\nOpenBLAS kernels: " + blas_core()) + "\n";
}

std::vector<std::string> machine_warnings() {
    std::vector<std::string> warnings;
    if (const char* pin = std::getenv("OPENBLAS_CORETYPE"))
        warnings.push_back(
            std::string("OPENBLAS_CORETYPE=") + pin +
            " pins OpenBLAS's kernels; run with `env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE`");
    std::string core = blas_core();
    bool wide_core = core.find("SkylakeX") == 0 || core.find("Cooperlake") == 0 ||
                     core.find("Sapphire") == 0 || core.find("Zen") == 0;
    if (has_avx512() && !core.empty() && !wide_core)
        warnings.push_back("the processor has AVX-512 and OpenBLAS uses its " + core + " kernels");
    if (has_avx512() && !xsimd::avx512dq::supported())
        warnings.push_back("the processor has AVX-512 and this program was compiled without it");
    return warnings;
}

double cpu_seconds() {
    std::timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<int> usable_cores() {
    std::vector<int> cores;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
    for (int core = 0; core < CPU_SETSIZE; ++core)
        if (CPU_ISSET(core, &set)) cores.push_back(core);
#endif
    return cores;
}

void run_on([[maybe_unused]] const std::vector<int>& cores) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) CPU_SET(static_cast<std::size_t>(core), &set);
    if (!cores.empty()) sched_setaffinity(0, sizeof set, &set);
#endif
}

void use_one_blas_thread() {
    if (openblas_set_num_threads) openblas_set_num_threads(1);
}

}  // namespace bench
