#pragma once

#include <stdexcept>
#include <string>

#include "nn/counted_samples.hpp"

// Losses of the difference d = y - target, element by element. All throw ShapeError unless the shapes are equal. With a
// mask, which has their leading axes, only elements whose mask is true count.

namespace xtape::nn {

namespace detail {

inline constexpr auto squared = [](const auto& y, const auto& target) { return square(y - target); };
inline constexpr auto absolute = [](const auto& y, const auto& target) { return abs(y - target); };

/// c (|d| - c/2) / scale with c = min(|d|, bend): d²/2 up to the bend, and straight on with slope `bend` from there.
template <class T>
auto bent(double bend, double scale) {
    return [=](const Var<T>& y, const Var<T>& target) -> Var<T> {
        const auto bent_off = clamp(abs(y - target), 0, bend);
        return bent_off * (abs(y - target) - 0.5 * bent_off) * (1 / scale);
    };
}

inline void check_bend(const char* op, const char* option, double value, bool fits) {
    if (fits) return;
    throw std::invalid_argument(std::string("[") + op + "] " + option + " is " + std::to_string(value) +
                                ": expected a positive number");
}

template <class T>
auto smooth_l1_formula(double beta) {
    check_bend("smooth_l1", "beta", beta, beta > 0);
    return bent<T>(beta, beta);
}
template <class T>
auto huber_formula(double delta) {
    check_bend("huber", "delta", delta, delta > 0);
    return bent<T>(delta, 1);
}

}  // namespace detail

/// d². dy = 2d.
template <class T>
Var<T> mse(const Var<T>& y, const Var<T>& target, Reduction reduction = Reduction::mean) {
    return detail::elementwise("mse", reduction, detail::squared, y, target);
}
template <class T, Mask M>
Var<T> mse(const Var<T>& y, const Var<T>& target, const M& mask, Reduction reduction = Reduction::mean) {
    return detail::elementwise("mse", mask, reduction, detail::squared, y, target);
}

/// |d|. dy = sign d, 0 at 0.
template <class T>
Var<T> l1(const Var<T>& y, const Var<T>& target, Reduction reduction = Reduction::mean) {
    return detail::elementwise("l1", reduction, detail::absolute, y, target);
}
template <class T, Mask M>
Var<T> l1(const Var<T>& y, const Var<T>& target, const M& mask, Reduction reduction = Reduction::mean) {
    return detail::elementwise("l1", mask, reduction, detail::absolute, y, target);
}

/// d² / 2β where |d| < β, |d| - β/2 elsewhere. dy = d/β, or sign d. (Girshick, 2015)
/// Throws std::invalid_argument unless β > 0.
template <class T>
Var<T> smooth_l1(const Var<T>& y, const Var<T>& target, double beta = 1,
                 Reduction reduction = Reduction::mean) {
    return detail::elementwise("smooth_l1", reduction, detail::smooth_l1_formula<T>(beta), y, target);
}
template <class T, Mask M>
Var<T> smooth_l1(const Var<T>& y, const Var<T>& target, const M& mask, double beta = 1,
                 Reduction reduction = Reduction::mean) {
    return detail::elementwise("smooth_l1", mask, reduction, detail::smooth_l1_formula<T>(beta), y, target);
}

/// d² / 2 where |d| < δ, δ (|d| - δ/2) elsewhere. dy = d, or δ sign d. (Huber, 1964)
/// Throws std::invalid_argument unless δ > 0.
template <class T>
Var<T> huber(const Var<T>& y, const Var<T>& target, double delta = 1, Reduction reduction = Reduction::mean) {
    return detail::elementwise("huber", reduction, detail::huber_formula<T>(delta), y, target);
}
template <class T, Mask M>
Var<T> huber(const Var<T>& y, const Var<T>& target, const M& mask, double delta = 1,
             Reduction reduction = Reduction::mean) {
    return detail::elementwise("huber", mask, reduction, detail::huber_formula<T>(delta), y, target);
}

}  // namespace xtape::nn
