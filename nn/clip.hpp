#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "nn/module.hpp"

namespace xtape::nn {

namespace detail {

/// The largest |g|; NaN if there is one.
template <class T>
double largest_magnitude(const Parameter<T>& parameter);
/// Σ (scale g)²
template <class T>
double sum_of_squares(const Parameter<T>& parameter, double scale);
template <class T>
void scale_gradient(Parameter<T>& parameter, double factor);
template <class T>
void clamp_gradient(Parameter<T>& parameter, double bound);

}  // namespace detail

/// What is done about a norm of gradients that is NaN or infinite.
enum class NonFinite {
    raise,  ///< GradientError, before anything is changed
    leave,  ///< it is returned, and nothing is changed, so that the step can be left out: `if (std::isfinite(norm)) ...`
};

/// The norm of all gradients together: √Σ‖g‖². Throws GradientError, naming the parameter, if one isn't finite.
template <Module M>
double grad_norm(const M& module, NonFinite non_finite = NonFinite::raise) {
    const auto norm_scaled_by = [&](double scale) {
        double sum = 0;
        for_each_parameter(module, [&](const auto& p) {
            if (p.has_grad()) sum += detail::sum_of_squares(p, scale);
        });
        return std::sqrt(sum) / scale;
    };
    const double norm = norm_scaled_by(1);
    if (std::isfinite(norm)) return norm;

    double largest = 0;
    bool all_finite = true;
    for_each_parameter(module, [&](const Path& path, const auto& p) {
        const double magnitude = p.has_grad() ? detail::largest_magnitude(p) : 0;
        all_finite = all_finite && std::isfinite(magnitude);
        if (!all_finite && non_finite == NonFinite::raise)
            throw GradientError("[grad_norm] the gradient of " + path.string() + " is not finite");
        largest = std::max(largest, magnitude);
    });
    if (!all_finite) return norm;
    const double without_overflow =
        norm_scaled_by(std::exp2(-std::ilogb(largest)));  // the squares alone had overflowed
    if (!std::isfinite(without_overflow) && non_finite == NonFinite::raise)
        throw GradientError("[grad_norm] the norm of all gradients overflows");
    return without_overflow;
}

/// Scales all gradients by max_norm / norm if their norm is larger; returns the norm that they had. Unless told otherwise
/// it throws GradientError, before anything is changed, if the norm isn't finite. (Pascanu et al., 2013)
template <Module M>
double clip_grad_norm(M& module, double max_norm, NonFinite non_finite = NonFinite::raise) {
    if (!(max_norm > 0)) {
        throw std::invalid_argument("[clip_grad_norm] a largest norm of " + std::to_string(max_norm) +
                                    ": expected a positive number");
    }
    const double norm = grad_norm(module, non_finite);
    if (norm > max_norm && std::isfinite(norm)) {
        for_each_parameter(module, [&](auto& p) {
            if (p.has_grad()) detail::scale_gradient(p, max_norm / norm);
        });
    }
    return norm;
}

/// Each element of each gradient to [-bound, bound].
template <Module M>
void clip_grad_value(M& module, double bound) {
    if (!(bound >= 0)) {
        throw std::invalid_argument("[clip_grad_value] a bound of " + std::to_string(bound) +
                                    ": expected a number that isn't negative");
    }
    for_each_parameter(module, [&](auto& p) {
        if (p.has_grad()) detail::clamp_gradient(p, bound);
    });
}

}  // namespace xtape::nn
