#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>

namespace xtape {

template <std::floating_point T>
struct Scalar;

/// A condition: what comparing two Scalars gives.
template <class T>
struct ScalarMask {
    bool holds;

    explicit operator bool() const { return holds; }
    friend ScalarMask operator&&(ScalarMask a, ScalarMask b) { return {a.holds && b.holds}; }
    friend ScalarMask operator||(ScalarMask a, ScalarMask b) { return {a.holds || b.holds}; }
    friend ScalarMask operator!(ScalarMask a) { return {!a.holds}; }
    friend Scalar<T> where(ScalarMask condition, Scalar<T> a, Scalar<T> b) { return condition.holds ? a : b; }
};

/// One number, with Pack's interface: what tests read a rule with, in float, double or long double.
/// The functions are the C library's, so it is also an independent reference for the vector code.
template <std::floating_point T>
struct Scalar {
    using value_type = T;
    using Mask = ScalarMask<T>;

    T value;

    Scalar() = default;
    template <class Constant>
    requires std::is_arithmetic_v<Constant> Scalar(Constant constant) : value(static_cast<T>(constant)) {}

    /// A condition is the number 1 where it holds and 0 elsewhere.
    Scalar(Mask condition) : value(condition.holds ? T(1) : T(0)) {}

    friend Scalar operator+(Scalar a, Scalar b) { return a.value + b.value; }
    friend Scalar operator-(Scalar a, Scalar b) { return a.value - b.value; }
    friend Scalar operator*(Scalar a, Scalar b) { return a.value * b.value; }
    friend Scalar operator/(Scalar a, Scalar b) { return a.value / b.value; }
    friend Scalar operator-(Scalar x) { return -x.value; }

    friend Mask operator==(Scalar a, Scalar b) { return {a.value == b.value}; }
    friend Mask operator!=(Scalar a, Scalar b) { return {a.value != b.value}; }
    friend Mask operator<(Scalar a, Scalar b) { return {a.value < b.value}; }
    friend Mask operator<=(Scalar a, Scalar b) { return {a.value <= b.value}; }
    friend Mask operator>(Scalar a, Scalar b) { return {a.value > b.value}; }
    friend Mask operator>=(Scalar a, Scalar b) { return {a.value >= b.value}; }

    /// NaN if either is NaN, as NumPy's.
    friend Scalar minimum(Scalar a, Scalar b) { return where(a < b || a != a, a, b); }
    friend Scalar maximum(Scalar a, Scalar b) { return where(a > b || a != a, a, b); }

    friend Scalar abs(Scalar x) { return std::abs(x.value); }
    friend Scalar copysign(Scalar x, Scalar sign) { return std::copysign(x.value, sign.value); }
    /// -1, 1, or x itself if it is a zero or NaN.
    friend Scalar sign(Scalar x) { return where(x > 0, 1, where(x < 0, -1, x)); }
    friend Scalar sqrt(Scalar x) { return std::sqrt(x.value); }
    friend Scalar exp(Scalar x) { return std::exp(x.value); }
    friend Scalar expm1(Scalar x) { return std::expm1(x.value); }
    friend Scalar log(Scalar x) { return std::log(x.value); }
    friend Scalar log1p(Scalar x) { return std::log1p(x.value); }
    friend Scalar tanh(Scalar x) { return std::tanh(x.value); }
    friend Scalar sin(Scalar x) { return std::sin(x.value); }
    friend Scalar cos(Scalar x) { return std::cos(x.value); }
    friend Scalar erf(Scalar x) { return std::erf(x.value); }
    friend Scalar pow(Scalar a, Scalar b) { return std::pow(a.value, b.value); }

    /// 1 / (1 + exp(-x)) for x >= 0 and exp(x) / (1 + exp(x)) below: exp never overflows, and neither tail
    /// cancels.
    friend Scalar sigmoid(Scalar x) {
        const Scalar e = exp(-abs(x));
        return where(x < 0, e, 1) / (1 + e);
    }
    /// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
    friend Scalar softplus(Scalar x) { return maximum(x, 0) + log1p(exp(-abs(x))); }
};

}  // namespace xtape
