#pragma once

#include <functional>
#include <vector>

#include "benchmarks/machine.hpp"

/// Google Benchmark isn't used: it measures one case to the end and then the next, and on a shared or frequency-scaled
/// machine the drift between two cases is larger than the differences looked for. Here the contenders take turns, and
/// every ratio is between medians over the same stretch of time.
namespace bench {

/// What a contender does when it is its turn.
using Work = std::function<void()>;

/// The middle value; the upper one of two.
double median(std::vector<double> values);

/// Seconds per run of each contender: medians over at least five rounds in which they take turns, for `seconds` in
/// all. A turn is one run to warm the caches, where runs are short, and then as many as make 2 ms.
std::vector<double> time_in_turns(const std::vector<Work>& contenders, double seconds,
                                  double (*clock)() = cpu_seconds);

}  // namespace bench
