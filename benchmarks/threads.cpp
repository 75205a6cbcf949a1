#include <cmath>
#include <cstddef>
#include <cstdio>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "benchmarks/floors.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

/// GFLOP/s of one loop of multiply-adds on each of two cores at once, by the wall clock.
std::pair<double, double> rates_together(int first, int second) {
    std::pair<double, double> rates;
    std::thread a([&] { run_on({first}), rates.first = fma_rate<float>(0.3, wall_seconds) * 1e-9; });
    std::thread b([&] { run_on({second}), rates.second = fma_rate<float>(0.3, wall_seconds) * 1e-9; });
    a.join();
    b.join();
    return rates;
}

/// Two cores that do twice as much as one; prints what was found.
bool has_two_cores() {
    const std::vector<int> cores = usable_cores();
    if (cores.size() < 2) {
        std::printf("times need two cores, and there may be used %zu: only the bits are compared\n",
                    cores.size());
        return false;
    }
    // By the processor's time, which others don't disturb, against the wall clock, by which they do.
    const double peak = fma_peak<float>() * 1e-9;
    const auto [first, second] = rates_together(cores[0], cores[1]);
    std::printf(
        "one loop of multiply-adds can do %.0f GFLOP/s; two at once, on cores %d and %d, do %.0f and %.0f\n",
        peak, cores[0], cores[1], first, second);
    if (first + second > 1.8 * peak) return true;
    std::printf("these aren't two free cores: only the bits are compared\n");
    return false;
}

template <class T>
bool same_bits(const Results<T>& a, const Results<T>& b) {
    return a.h == b.h && a.dx == b.dx && a.dw_x == b.dw_x && a.dw_h == b.dw_h && a.dbias == b.dbias &&
           a.dbias_n == b.dbias_n;
}

double threads_bound(std::size_t batch) { return batch >= 64 ? 1.7 : batch >= 32 ? 1.5 : 1; }

/// Without two cores there are no times.
bool print_row(Cell cell, const Size& size, double seconds, bool two_cores) {
    const Problem<float> problem = make_problem<float>(cell, size);
    const Contenders<float> one = xtape_contenders(problem), two = xtape_contenders(problem, {.threads = 2});
    bool right = true;
    for (std::size_t i = 0; i < one.size(); ++i) {
        std::vector<Work> work;
        for (Contender<float>* contender : {one[i].get(), two[i].get()})
            work.push_back([contender] { contender->run(); });
        std::vector<double> time(2, NAN);
        if (two_cores)
            time = time_in_turns(work, seconds, wall_seconds);
        else
            for (const Work& run : work) run();
        const bool equal = same_bits(one[i]->results(), two[i]->results());
        right &= equal;
        Targets row;
        // A turn of a few µs varies by some percent however many threads there are.
        const double bound = threads_bound(size.batch);
        row.at_least("speed-up", time[0] / time[1], bound > 1 ? bound : 0.97);
        std::printf("%-16s %-20s ", text_of(size).c_str(), name(one[i]->author()));
        if (two_cores)
            std::printf("%14.1f %14.1f %9.2f", time[0] * 1e6, time[1] * 1e6, time[0] / time[1]);
        else
            std::printf("%14s %14s %9s", "-", "-", "-");
        std::printf(" %9s  %s\n", equal ? "equal" : "DIFFERENT", row.verdict().c_str());
        std::fflush(stdout);
    }
    return right;
}

}  // namespace

bool threads_table(const Settings& settings) {
    std::printf("\nTwo threads beside one, float, forward and backward, µs by the wall clock\n");
    const bool two_cores = has_two_cores();
    bool right = true;
    for (const Cell cell : settings.cells) {
        std::printf("\n%s\n%-16s %-20s %14s %14s %9s %9s  targets\n", name_of(cell).c_str(), "B,T,D,H", "",
                    "one thread", "two threads", "speed-up", "bits");
        for (const Size& size : settings.sizes) right &= print_row(cell, size, settings.seconds, two_cores);
    }
    return right;
}

}  // namespace bench
