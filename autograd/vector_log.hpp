#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "autograd/vector_exp.hpp"

/// Logarithms of Packs.
namespace xtape {

namespace detail {

/// log(2^-shift u) + correction, u normal and positive. u = 2^k (1 + f) with √½ <= 1 + f < √2. With
/// s = f / (2 + f), log(1 + f) = log((1 + s) / (1 - s)) = f - f²/2 + s (f²/2 + s² R(s²)), R minimax.
template <class T, class Arch>
Pack<T, Arch> log_normal(const Pack<T, Arch>& u, const Pack<T, Arch>& shift,
                         const Pack<T, Arch>& correction) {
    using P = Pack<T, Arch>;
    using Bits = typename P::Bits;
    using Integer = typename Bits::value_type;
    using Unsigned = xsimd::batch<std::make_unsigned_t<Integer>, Arch>;
    constexpr int bits = fraction_bits<T>;
    constexpr T last_place = T(std::uint64_t(1) << bits);  // so large that its last bit counts 1
    constexpr T last_place_and_bias = last_place + exponent_bias<T>;
    constexpr auto sqrt_half = std::bit_cast<Integer>(T(0.70710678118654752440));
    constexpr Integer fraction_mask = (Integer(1) << bits) - 1;

    const Bits moved = u.bits() + Bits(std::bit_cast<Integer>(T(1)) - sqrt_half);
    const auto biased_k = std::bit_cast<Bits>(std::bit_cast<Unsigned>(moved) >> bits);
    const P k = P::from_bits(biased_k | P(last_place).bits()) - last_place_and_bias - shift;
    const P f = P::from_bits((moved & Bits(fraction_mask)) + Bits(sqrt_half)) - 1;

    const P s = f / (2 + f);
    const P z = s * s;
    P r;
    if constexpr (is_float<T>)
        r = polynomial(z, 0.66666776713393539, 0.39977495918559891, 0.29873066313584234);
    else
        r = polynomial(z, 0.66666666666667351, 0.39999999999411001, 0.28571428743274269, 0.22222198475514532,
                       0.18183569735237351, 0.15313903957836816, 0.14797495786291423);
    const P half_square = 0.5 * f * f;
    const P small = fma(s, fma(z, r, half_square), fma(k, P(ln2_low<T>), correction));
    return fma(k, P(ln2_high<T>), f - (half_square - small));
}

/// `log_u` where u is positive and finite; elsewhere what a logarithm is at 0, below it, at infinity and NaN.
template <class T, class Arch>
Pack<T, Arch> log_or_special(const Pack<T, Arch>& u, const Pack<T, Arch>& log_u) {
    using Limits = std::numeric_limits<T>;
    const auto special = where(u == 0, -Limits::infinity(), where(u < 0, Limits::quiet_NaN(), u));
    return where(u > 0 && u < Limits::infinity(), log_u, special);
}

}  // namespace detail

template <class T, class Arch>
Pack<T, Arch> log(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const auto subnormal = x < std::numeric_limits<T>::min();
    const P u = where(subnormal, x * 0x1p64, x);
    return detail::log_or_special(x, detail::log_normal(u, where(subnormal, P(64), P(0)), P(0)));
}

/// log u + (x - (u - 1)) / u with u the rounded 1 + x.
template <class T, class Arch>
Pack<T, Arch> log1p(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P u = 1 + x;
    const P lost = where(x > 1, 1 - (u - x), x - (u - 1));
    const P y = detail::log_or_special(u, detail::log_normal(u, P(0), lost / u));
    return where(abs(x) < std::numeric_limits<T>::epsilon() / 2, x, y);
}

}  // namespace xtape
