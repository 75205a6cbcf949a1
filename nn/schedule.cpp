#include "nn/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <string>

#include "nn/options.hpp"

namespace xtape::nn {
namespace {

using detail::check_fraction;
using detail::check_not_negative;
using detail::check_positive;
using detail::check_probability;

double real(std::size_t count) { return static_cast<double>(count); }

/// From start, at 0, to end, at 1, along half of a cosine.
double along_cosine(double start, double end, double part) {
    return end + (start - end) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

double along_line(double start, double end, double part) { return start + (end - start) * part; }

void check_divisor(const char* name, double divisor) {
    if (divisor > 0) return;
    throw std::invalid_argument(std::string("[OneCycleLR] ") + name + " is " + std::to_string(divisor) +
                                ": expected a positive number");
}

}  // namespace

double StepLR::operator()(std::size_t step) const {
    check_not_negative("StepLR", "learning_rate", learning_rate);
    check_positive("StepLR", "every", every);
    check_not_negative("StepLR", "gamma", gamma);
    return learning_rate * std::pow(gamma, real(step / every));
}

double ExponentialLR::operator()(std::size_t step) const {
    check_not_negative("ExponentialLR", "learning_rate", learning_rate);
    check_not_negative("ExponentialLR", "gamma", gamma);
    return learning_rate * std::pow(gamma, real(step));
}

double LinearLR::operator()(std::size_t step) const {
    check_not_negative("LinearLR", "learning_rate", learning_rate);
    check_positive("LinearLR", "steps", steps);
    check_not_negative("LinearLR", "start_factor", start_factor);
    check_not_negative("LinearLR", "end_factor", end_factor);
    return learning_rate * along_line(start_factor, end_factor, real(std::min(step, steps)) / real(steps));
}

double CosineAnnealingLR::operator()(std::size_t step) const {
    check_not_negative("CosineAnnealingLR", "learning_rate", learning_rate);
    check_positive("CosineAnnealingLR", "steps", steps);
    check_not_negative("CosineAnnealingLR", "min_rate", min_rate);
    return along_cosine(learning_rate, min_rate, real(step) / real(steps));
}

double CosineAnnealingWarmRestarts::operator()(std::size_t step) const {
    check_not_negative("CosineAnnealingWarmRestarts", "learning_rate", learning_rate);
    check_positive("CosineAnnealingWarmRestarts", "first_period", first_period);
    check_positive("CosineAnnealingWarmRestarts", "factor", factor);
    check_not_negative("CosineAnnealingWarmRestarts", "min_rate", min_rate);
    std::size_t period = first_period;
    if (factor == 1) step %= period;
    while (step >= period) {
        step -= period;
        period *= factor;
    }
    return along_cosine(learning_rate, min_rate, real(step) / real(period));
}

double OneCycleLR::operator()(std::size_t step) const {
    check_not_negative("OneCycleLR", "max_rate", max_rate);
    check_positive("OneCycleLR", "steps", steps);
    check_probability("OneCycleLR", "rising_part", rising_part);
    check_divisor("start_divisor", start_divisor);
    check_divisor("end_divisor", end_divisor);
    const double start_rate = max_rate / start_divisor;
    const double end_rate = start_rate / end_divisor;
    const double top = rising_part * real(steps) - 1;
    const double last = real(steps) - 1;
    const double t = std::min(real(step), last);

    const auto phase = [&](double from, double to, double start, double end) {
        const double part = end > start ? (t - start) / (end - start) : 1;
        return linear ? along_line(from, to, part) : along_cosine(from, to, part);
    };
    if (t <= top) return phase(start_rate, max_rate, 0, top);
    if (!three_phases) return phase(max_rate, end_rate, top, last);
    if (t <= 2 * top) return phase(max_rate, start_rate, top, 2 * top);
    return phase(start_rate, end_rate, 2 * top, last);
}

ReduceLROnPlateau::ReduceLROnPlateau(ReduceLROnPlateauOptions options)
    : options_(options),
      best_(options.larger_is_better ? -std::numeric_limits<double>::infinity()
                                     : std::numeric_limits<double>::infinity()) {
    check_not_negative("ReduceLROnPlateau", "learning_rate", options.learning_rate);
    check_fraction("ReduceLROnPlateau", "factor", options.factor);
    if (options.absolute_threshold)
        check_not_negative("ReduceLROnPlateau", "threshold", options.threshold);
    else
        check_fraction("ReduceLROnPlateau", "threshold", options.threshold);
    check_not_negative("ReduceLROnPlateau", "min_rate", options.min_rate);
    check_not_negative("ReduceLROnPlateau", "least_change", options.least_change);
}

bool ReduceLROnPlateau::is_better(double metric) const {
    const double margin = options_.absolute_threshold ? 0 : options_.threshold;
    const double distance = options_.absolute_threshold ? options_.threshold : 0;
    if (options_.larger_is_better) return metric > best_ * (1 + margin) + distance;
    return metric < best_ * (1 - margin) - distance;
}

double ReduceLROnPlateau::operator()(double metric) {
    if (is_better(metric)) {
        best_ = metric;
        in_a_row_ = 0;
    } else {
        ++in_a_row_;
    }
    if (cooldown_left_ > 0) {
        --cooldown_left_;
        in_a_row_ = 0;
    }
    if (in_a_row_ > options_.patience) {
        const double reduced = std::max(options_.learning_rate * options_.factor, options_.min_rate);
        if (options_.learning_rate - reduced > options_.least_change) options_.learning_rate = reduced;
        cooldown_left_ = options_.cooldown;
        in_a_row_ = 0;
    }
    return options_.learning_rate;
}

}  // namespace xtape::nn
