#include "benchmarks/fma_rate.hpp"

#include <array>
#include <cstddef>

#include "autograd/pack.hpp"

namespace bench {

template <class T>
double fma_rate(double seconds, double (*clock)()) {
    using P = xtape::Pack<T>;
    // As many sums as keep two units busy whose additions take four cycles each, and fit into 16 registers.
    constexpr std::size_t sums = 12, rounds = 20000;
    std::array<P, sums> sum;
    for (std::size_t k = 0; k < sums; ++k) sum[k] = P(static_cast<T>(k));
    // Read at run time, or the compiler would work the sums out.
    volatile T factor_at_run_time = T(0.999), term_at_run_time = T(1e-3);
    const P factor(factor_at_run_time), term(term_at_run_time);
    const double start = clock();
    double operations = 0, elapsed = 0;
    do {
        for (std::size_t i = 0; i < rounds; ++i)
            for (P& s : sum) s = fma(s, factor, term);
        operations += 2.0 * static_cast<double>(rounds * sums * P::size);
        elapsed = clock() - start;
    } while (elapsed < seconds);
    P total(T(0));
    for (const P& s : sum) total += s;
    std::array<T, P::size> out;
    total.store(out.data());
    volatile T used = out[0];
    static_cast<void>(used);
    return operations / elapsed * 1e-9;
}

template double fma_rate<float>(double, double (*)());
template double fma_rate<double>(double, double (*)());

}  // namespace bench
