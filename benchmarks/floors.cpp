#include "benchmarks/floors.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "autograd/pack.hpp"
#include "benchmarks/buffer.hpp"

namespace bench {
namespace {

constexpr double slice = 3e-3;

/// How much of it is done per second.
template <class F>
double rate(double amount, const F& work, double seconds, double (*clock)()) {
    const double start = clock();
    double now = start, done = 0;
    for (; now - start < seconds; now = clock(), done += amount) work();
    return done / (now - start);
}

/// The highest of several rates: what disturbs can only make one lower.
template <class F>
double best_of(const F& measured_rate) {
    double best = 0;
    for (int round = 0; round < 10; ++round) best = std::max(best, measured_rate());
    return best;
}

}  // namespace

template <class T>
double fma_rate(double seconds, double (*clock)()) {
    using P = xtape::Pack<T>;
    constexpr std::size_t chains = 12, steps = 10000;  // enough to hide an addition's latency in both units
    volatile T unknown = T(0.5), used = 0;             // to the compiler
    const auto work = [&] {
        const P factor(unknown);
        std::array<P, chains> sums;
        sums.fill(factor);
        for (std::size_t i = 0; i < steps; ++i)
            for (P& sum : sums) sum = fma(sum, factor, factor);
        for (const P& sum : sums) used = sum.sum();
    };
    return rate(2.0 * chains * steps * P::size, work, seconds, clock);
}

template <class T>
double fma_peak() {
    static const double peak = best_of([] { return fma_rate<T>(slice); });
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
    const auto work = [&] {
        for (std::size_t r = 0; r < repeats; ++r)
            for (std::size_t i = 0; i < n; i += P::size)
                (P::load(a.data() + i) + P::load(b.data() + i)).store(c.data() + i);
    };
    const double amount = 3.0 * sizeof(float) * static_cast<double>(n * repeats);
    return known[n] = best_of([&] { return rate(amount, work, slice, cpu_seconds); });
}

template <class T>
double floor_of(const Cost& cost) {
    const double moving = cost.bytes > 0 ? cost.bytes / stream_bandwidth(cost.footprint) : 0;
    return std::max(moving, cost.flops / fma_peak<T>());
}

template double fma_rate<float>(double, double (*)());
template double fma_rate<double>(double, double (*)());
template double fma_peak<float>();
template double fma_peak<double>();
template double floor_of<float>(const Cost&);
template double floor_of<double>(const Cost&);

}  // namespace bench
