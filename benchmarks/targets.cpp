#include "benchmarks/targets.hpp"

#include <cmath>
#include <cstdio>

namespace bench {

Targets& Targets::at_least(const std::string& what, double ratio, double bound) {
    judge(ratio >= bound, what, ratio, "<", bound);
    return *this;
}

Targets& Targets::at_most(const std::string& what, double ratio, double bound) {
    judge(ratio <= bound, what, ratio, ">", bound);
    return *this;
}

std::string Targets::verdict() const { return !asked_ ? "" : missed_.empty() ? "ok" : "MISSED" + missed_; }

void Targets::judge(bool met, const std::string& what, double ratio, const char* relation, double bound) {
    if (std::isnan(ratio)) return;
    asked_ = true;
    if (met) return;
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, " %.4g %s %.4g", ratio, relation, bound);
    missed_ += (missed_.empty() ? " " : ", ") + what + numbers;
}

}  // namespace bench
