#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

#include "benchmarks/buffer.hpp"

namespace bench {

/// The largest difference, relative to the largest value.
template <class T>
double difference(std::span<const T> expected, std::span<const T> actual) {
    if (expected.size() != actual.size()) return INFINITY;
    double worst = 0, scale = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double error = std::abs(static_cast<double>(expected[i]) - static_cast<double>(actual[i]));
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
    }
    return scale > 0 ? worst / scale : worst;
}

/// Whether two contenders computed the same; if not, says who differs in what.
template <class T>
bool same_part(const std::string& first, const std::string& second, const std::string& part,
               const Buffer<T>& expected, const Buffer<T>& actual, double tolerance) {
    const double error = difference<T>(expected, actual);
    if (error <= tolerance) return true;
    std::fprintf(stderr, "%s and %s differ in %s by %.1e, more than %.0e\n", first.c_str(), second.c_str(),
                 part.c_str(), error, tolerance);
    return false;
}

}  // namespace bench
