#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "autograd/pack.hpp"

/// Exponentials of Packs and what is made of them, tanh and sigmoid. An LSTM spends its time here: they are
/// always inlined: a statement's constants then stay in registers, and a derivative finds the exponential that
/// its value has computed. No branches on the data.
namespace xtape {

namespace detail {

/// c0 + c1 x + c2 x² + ...
template <class T, class Arch, class... Rest>
[[gnu::always_inline]] inline Pack<T, Arch> polynomial(const Pack<T, Arch>& x, double c0, Rest... rest) {
    if constexpr (sizeof...(rest) == 0)
        return c0;
    else
        return fma(x, polynomial(x, rest...), Pack<T, Arch>(c0));
}

/// The larger, or the smaller, of a limit and x; NaN if x is, which is why x stands second.
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> at_least(double limit, const Pack<T, Arch>& x) {
    return xsimd::max(Pack<T, Arch>(limit).lanes, x.lanes);
}
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> at_most(double limit, const Pack<T, Arch>& x) {
    return xsimd::min(Pack<T, Arch>(limit).lanes, x.lanes);
}

template <class T>
inline constexpr bool is_float = std::is_same_v<T, float>;
template <class T>
inline constexpr int fraction_bits = std::numeric_limits<T>::digits - 1;
template <class T>
inline constexpr int exponent_bias = std::numeric_limits<T>::max_exponent - 1;

/// ln 2 in two pieces, the first so short that an exponent times it is exact.
template <class T>
inline constexpr double ln2_high = is_float<T> ? 0x1.62ep-1 : 0x1.62e42ffp-1;
template <class T>
inline constexpr double ln2_low = is_float<T> ? 3.1946184945309415e-05 : -4.2009150726810846e-11;

/// Added to a number, rounds it to an integer, which is left in the lowest bits of the sum.
template <class T>
inline constexpr T rounder = T(3) * T(std::uint64_t(1) << (fraction_bits<T> - 1));

/// Below the first exp is 0, above the second it is infinite.
template <class T>
inline constexpr double exp_underflow = is_float<T> ? -104 : -746;
template <class T>
inline constexpr double exp_overflow = is_float<T> ? 89 : 710;

/// exp(x) = (1 + p) * scale * 2^-shift.
template <class T, class Arch>
struct ExpParts {
    Pack<T, Arch> p, scale;
};

/// x = k ln 2 + r with |r| <= ln 2 / 2; p = exp(r) - 1, scale = 2^(k + shift), which must be a normal number.
/// (exp(r) - 1 - r) / r² is a minimax polynomial. The sum whose rounding gives k contains the shift and the
/// exponent's bias as well: its lowest bits, moved to the exponent's place, are the scale.
template <class T, class Arch>
[[gnu::always_inline]] inline ExpParts<T, Arch> exp_parts(const Pack<T, Arch>& x,
                                                          const Pack<T, Arch>& shift) {
    using P = Pack<T, Arch>;
    const P bias = shift + (rounder<T> + exponent_bias<T>);
    const P sum = fma(x, P(1.44269504088896340736), bias);  // 1 / ln 2
    const P k = sum - bias;
    const P r = fma(k, P(-ln2_low<T>), fma(k, P(-ln2_high<T>), x));
    const P scale = P::from_bits(sum.bits() << fraction_bits<T>);
    if constexpr (is_float<T>) {
        const P q = polynomial(r, 0.5, 0.166665181517601, 0.04166620597243309, 0.008368917740881443,
                               0.0013950534630566835);
        return {fma(r * r, q, r), scale};
    } else {
        const P q = polynomial(r, 0.50000000000000133, 0.16666666666666699, 0.041666666666514945,
                               0.0083333333333070678, 0.0013888888947152607, 0.00019841269917687072,
                               2.4801489789391091e-05, 2.755721602443118e-06, 2.7631338464229403e-07,
                               2.5117949996064699e-08);
        return {fma(r * r, q, r), scale};
    }
}

/// exp(-|x|). Setting the sign, instead of changing it, makes plain that the result for -x is the same.
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> exp_minus_abs(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P bounded = at_least(exp_underflow<T>, P::from_bits(x.bits() | P::sign_bit()));
    const auto [p, scale] = exp_parts(bounded, P(64));  // a normal scale: subnormals are rounded once
    return fma(scale, p, scale) * 0x1p-64;
}

}  // namespace detail

template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> exp(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P bounded = detail::at_most(detail::exp_overflow<T>, detail::at_least(detail::exp_underflow<T>, x));
    const auto small = x < 0;  // the scale stays normal at both ends
    const auto [p, scale] = detail::exp_parts(bounded, where(small, P(64), P(-1)));
    return fma(scale, p, scale) * where(small, P(0x1p-64), P(2));
}

/// 2^k p + (2^k - 1), by its half, as 2^k may be too large; but a tiny number's half might be inexact.
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> expm1(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P bounded = detail::at_most(detail::exp_overflow<T>, detail::at_least(-40, x));  // -1 from there on
    const auto [p, half_scale] = detail::exp_parts(bounded, P(-1));
    const P half = fma(half_scale, p, half_scale - 0.5);
    return where(abs(x) < std::numeric_limits<T>::epsilon() / 2, x, half + half);
}

/// With m = exp(-2|x|) - 1, which is accurate near 0 too, tanh |x| = -m / (2 + m).
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> tanh(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P bounded = detail::at_least(-20, -abs(x));  // 1 from there on
    const auto [p, scale] = detail::exp_parts(bounded + bounded, P(0));
    const P m = fma(scale, p, scale - 1);
    return xsimd::copysign((m / (2 + m)).lanes, x.lanes);
}

/// 1 / (1 + exp(-x)) for x >= 0 and exp(x) / (1 + exp(x)) below: nothing overflows and neither tail cancels.
/// sigmoid(x) and sigmoid(-x) differ in the last product only, so a derivative costs little beside the value.
template <class T, class Arch>
[[gnu::always_inline]] inline Pack<T, Arch> sigmoid(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P e = detail::exp_minus_abs(x);
    return where(x < 0, e, P(1)) * (1 / (1 + e));
}

}  // namespace xtape
