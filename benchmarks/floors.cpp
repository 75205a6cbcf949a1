#include "benchmarks/floors.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "autograd/pack.hpp"
#include "benchmarks/buffer.hpp"
#include "benchmarks/machine.hpp"

namespace bench {
namespace {

/// The highest rate of several tries, each of some milliseconds: what disturbs can only make it lower.
template <class F>
double best_rate(double amount, const F& work) {
    double best = 0;
    for (int round = 0; round < 10; ++round) {
        const double start = cpu_seconds();
        double now = start, done = 0;
        for (; now - start < 3e-3; now = cpu_seconds(), done += amount) work();
        best = std::max(best, done / (now - start));
    }
    return best;
}

}  // namespace

template <class T>
double fma_peak() {
    using P = xtape::Pack<T>;
    constexpr std::size_t chains = 12, steps = 10000;  // enough to hide an addition's latency in both units
    static const double peak = [] {
        volatile T unknown = T(0.5), used = 0;  // to the compiler
        return best_rate(2.0 * chains * steps * P::size, [&] {
            const P factor(unknown);
            std::array<P, chains> sums;
            sums.fill(factor);
            for (std::size_t i = 0; i < steps; ++i)
                for (P& sum : sums) sum = fma(sum, factor, factor);
            for (const P& sum : sums) used = sum.sum();
        });
    }();
    return peak;
}

double stream_bandwidth(std::size_t footprint) {
    using P = xtape::Pack<float>;
    static std::map<std::size_t, double> known;
    const std::size_t n = std::max(footprint / 3 / sizeof(float) / P::size, std::size_t(1)) * P::size;
    const auto found = known.find(n);
    if (found != known.end()) return found->second;
    const Buffer<float> a(n, 1), b(n, 2);
    Buffer<float> c(n);
    const std::size_t repeats = std::max<std::size_t>(1, (std::size_t(1) << 16) / n);
    const double rate = best_rate(3.0 * sizeof(float) * static_cast<double>(n * repeats), [&] {
        for (std::size_t r = 0; r < repeats; ++r)
            for (std::size_t i = 0; i < n; i += P::size)
                (P::load(a.data() + i) + P::load(b.data() + i)).store(c.data() + i);
    });
    return known[n] = rate;
}

template <class T>
double floor_of(const Cost& cost) {
    const double moving = cost.bytes > 0 ? cost.bytes / stream_bandwidth(cost.footprint) : 0;
    return std::max(moving, cost.flops / fma_peak<T>());
}

template double fma_peak<float>();
template double fma_peak<double>();
template double floor_of<float>(const Cost&);
template double floor_of<double>(const Cost&);

}  // namespace bench
