#include "benchmarks/turns.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace bench {
namespace {

constexpr double turn_seconds = 2e-3;

}  // namespace

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

std::vector<double> time_in_turns(const std::vector<Work>& contenders, double seconds, double (*clock)()) {
    std::vector<std::vector<double>> times(contenders.size());
    std::vector<int> repeats(contenders.size());
    for (std::size_t i = 0; i < contenders.size(); ++i) {
        // First runs find their memory: they tell nothing of those to come.
        double run = HUGE_VAL;
        for (int k = 0; k < 3 && (k == 0 || run < 10 * turn_seconds); ++k) {
            const double start = clock();
            contenders[i]();
            run = std::min(run, clock() - start);
        }
        repeats[i] = std::max(1, static_cast<int>(turn_seconds / run));
    }
    const double start = clock();
    for (int round = 0; round < 5 || clock() - start < seconds; ++round)
        for (std::size_t i = 0; i < contenders.size(); ++i) {
            if (repeats[i] > 1) contenders[i]();
            const double turn = clock();
            for (int r = 0; r < repeats[i]; ++r) contenders[i]();
            times[i].push_back((clock() - turn) / repeats[i]);
        }
    std::vector<double> medians;
    for (const auto& column : times) medians.push_back(median(column));
    return medians;
}

}  // namespace bench
