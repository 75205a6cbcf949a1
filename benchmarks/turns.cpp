#include "benchmarks/turns.hpp"

#include <algorithm>
#include <cstddef>

namespace bench {

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

std::vector<double> time_in_turns(const std::vector<Work>& contenders, double seconds, double (*clock)()) {
    std::vector<std::vector<double>> times(contenders.size());
    std::vector<int> repeats(contenders.size());
    for (std::size_t i = 0; i < contenders.size(); ++i) {
        const double start = clock();
        contenders[i]();
        repeats[i] = std::max(1, static_cast<int>(2e-3 / (clock() - start)));
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
