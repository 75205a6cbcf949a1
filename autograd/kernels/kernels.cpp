#include "autograd/kernels/kernels.hpp"

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace xtape {

namespace {

using detail::CompiledFor;

struct NamedSet {
    InstructionSet set;
    std::string_view name;
};
constexpr std::array names{NamedSet{InstructionSet::baseline, "baseline"},
                           NamedSet{InstructionSet::avx2, "avx2"},
                           NamedSet{InstructionSet::avx512, "avx512"}};

/// The last set that may be used.
InstructionSet limit() {
    const char* const asked_for = std::getenv("XTAPE_INSTRUCTION_SET");
    if (asked_for == nullptr) return names.back().set;
    for (const auto& [set, name] : names)
        if (name == asked_for) return set;
    throw std::invalid_argument(std::string("[kernels] XTAPE_INSTRUCTION_SET is ") + asked_for +
                                ": expected baseline, avx2 or avx512");
}

#if defined(XTAPE_X86_KERNELS)
// What cmake/kernels.cmake compiles these sets for.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

template <class T>
struct Available {
    std::array<const Kernels<T>*, names.size()> kernels{&CompiledFor<InstructionSet::baseline, T>::kernels};
    std::size_t count = 1;

    Available() {
#if defined(XTAPE_X86_KERNELS)
        if (has_avx2()) kernels[count++] = &CompiledFor<InstructionSet::avx2, T>::kernels;
        if (has_avx512()) kernels[count++] = &CompiledFor<InstructionSet::avx512, T>::kernels;
#endif
    }
};

template <class T>
const Kernels<T>& choose() {
    const InstructionSet last = limit();
    const auto available = available_kernels<T>();
    std::size_t count = available.size();
    while (count > 1 && available[count - 1]->set > last) --count;
    return *available[count - 1];
}

}  // namespace

template <class T>
std::span<const Kernels<T>* const> available_kernels() {
    static const Available<T> available;
    return {available.kernels.data(), available.count};
}

template <class T>
const Kernels<T>& kernels() {
    static const Kernels<T>& chosen = choose<T>();
    return chosen;
}

template const Kernels<float>& kernels();
template const Kernels<double>& kernels();
template std::span<const Kernels<float>* const> available_kernels();
template std::span<const Kernels<double>* const> available_kernels();

}  // namespace xtape
