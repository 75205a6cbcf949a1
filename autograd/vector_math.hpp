#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "autograd/pack.hpp"

/// The elementary functions of Packs. No branches on the data but for huge angles; NaN in is NaN out,
/// and infinities, zeros and subnormal numbers are treated as by the C library. The test of this file states
/// the accuracy of each. Those of an LSTM are always inlined: a statement's constants then stay in registers,
/// and a derivative finds the exponential that the value has computed.
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

/// The C library's function of plain numbers, lane by lane.
template <class F, class T, class Arch, class... Packs>
Pack<T, Arch> lane_by_lane(F function, const Pack<T, Arch>& first, const Packs&... others) {
    using P = Pack<T, Arch>;
    T inputs[1 + sizeof...(others)][P::size], results[P::size];
    std::size_t input = 0;
    first.store(inputs[input++]);
    (others.store(inputs[input++]), ...);
    for (std::size_t i = 0; i < P::size; ++i) results[i] = [&]<std::size_t... K>(std::index_sequence<K...>) {
            return function(inputs[K][i]...);
        }
    (std::make_index_sequence<1 + sizeof...(others)>{});
    return P::load(results);
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

// ---- Exponentials -------------------------------------------------------------------------------

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

// ---- Logarithms ---------------------------------------------------------------------------------

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
    constexpr T one_in_last_place = T(std::uint64_t(1) << fraction_bits<T>);
    constexpr auto sqrt_half = std::bit_cast<Integer>(T(0.70710678118654752440));
    constexpr Integer fraction_mask = (Integer(1) << fraction_bits<T>)-1;

    const Bits moved = u.bits() + Bits(std::bit_cast<Integer>(T(1)) - sqrt_half);
    const auto biased = std::bit_cast<Bits>(std::bit_cast<Unsigned>(moved) >> fraction_bits<T>);
    const P k =
        P::from_bits(biased | P(one_in_last_place).bits()) - (one_in_last_place + exponent_bias<T>)-shift;
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

/// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
template <class T, class Arch>
Pack<T, Arch> softplus(const Pack<T, Arch>& x) {
    return maximum(x, 0) + log1p(detail::exp_minus_abs(x));
}

/// The C library's: a vector pow of this accuracy would need twice the precision inside.
template <class T, class Arch>
Pack<T, Arch> pow(const Pack<T, Arch>& a, const std::type_identity_t<Pack<T, Arch>>& b) {
    return detail::lane_by_lane([](T x, T y) { return std::pow(x, y); }, a, b);
}

// ---- Waves --------------------------------------------------------------------------------------

namespace detail {

/// Up to here the multiples of the first pieces of π/2 are exact.
template <class T>
inline constexpr double wave_limit = is_float<T> ? 8192 : 1048576;

/// sin(x + quarter_turns π/2). x = n π/2 + r with |r| <= π/4, π/2 taken off in pieces; the quarter turns say
/// whether sin r or cos r, minimax polynomials, is wanted and with which sign.
template <class T, class Arch>
Pack<T, Arch> wave(const Pack<T, Arch>& x, int quarter_turns) {
    using P = Pack<T, Arch>;
    using Bits = typename P::Bits;
    using Integer = typename Bits::value_type;
    const P sum = fma(x, P(0.63661977236758134308), P(rounder<T>));  // 2 / π
    const P n = sum - rounder<T>;
    const Bits turns = sum.bits() + Bits(Integer(quarter_turns));
    const P is_odd = P::from_bits((turns & Bits(1)) << fraction_bits<T>);
    const Bits sign = (turns & Bits(2)) << (8 * int(sizeof(T)) - 2);

    P r, sine, cosine;
    if constexpr (is_float<T>) {
        r = fma(n, P(-0x1.fbp-12), fma(n, P(-0x1.92p+0), x));
        r = fma(n, P(-6.0771005065061922e-11), fma(n, P(-0x1.51p-22), r));
        const P u = r * r;
        sine = fma(r * u,
                   polynomial(u, -0.16666666641427219, 0.0083333293623532069, -0.0001983932715789284,
                              2.7182374580450759e-06),
                   r);
        cosine = polynomial(u, 1, -0.5, 0.041666646747534869, -0.0013887361440056852, 2.4437729063254582e-05);
    } else {
        r = fma(n, P(-0x1.0b4611a6p-34), fma(n, P(-0x1.921fb544p+0), x));
        r = fma(n, P(-2.0222662487959506e-21), r);
        const P u = r * r;
        sine = fma(r * u,
                   polynomial(u, -0.16666666666666632, 0.0083333333333223143, -0.00019841269829724454,
                              2.7557313661824846e-06, -2.5050753231501286e-08, 1.5896503189307682e-10),
                   r);
        cosine = polynomial(u, 1, -0.5, 0.041666666666666602, -0.001388888888887399, 2.4801587289395021e-05,
                            -2.7557314326043584e-07, 2.0875719559086924e-09, -1.1359448646073946e-11);
    }
    sine = xsimd::copysign(sine.lanes, r.lanes);  // for the sake of -0
    return P::from_bits(where(is_odd != 0, cosine, sine).bits() ^ sign);
}

}  // namespace detail

/// Huge angles are left to the C library.
template <class T, class Arch>
Pack<T, Arch> sin(const Pack<T, Arch>& x) {
    const auto huge = abs(x) > detail::wave_limit<T>;
    const Pack<T, Arch> y = detail::wave(x, 0);
    if (!xsimd::any(huge.lanes)) return y;
    return where(huge, detail::lane_by_lane([](T angle) { return std::sin(angle); }, x), y);
}

template <class T, class Arch>
Pack<T, Arch> cos(const Pack<T, Arch>& x) {
    const auto huge = abs(x) > detail::wave_limit<T>;
    const Pack<T, Arch> y = detail::wave(x, 1);
    if (!xsimd::any(huge.lanes)) return y;
    return where(huge, detail::lane_by_lane([](T angle) { return std::cos(angle); }, x), y);
}

// ---- The error function -------------------------------------------------------------------------

/// x P(x²) for |x| < 1; beyond, 1 - exp(-x²) Q(t) with t = c / (|x| + c). P and Q are minimax polynomials.
template <class T, class Arch>
Pack<T, Arch> erf(const Pack<T, Arch>& x) {
    using P = Pack<T, Arch>;
    const P a = detail::at_most(6, abs(x));  // 1 from there on
    const P u = a * a;
    P near, far;
    if constexpr (detail::is_float<T>) {
        const P t = 2 / (a + 2);
        near = detail::polynomial(u, 1.1283791657273368, -0.37612625826247859, 0.1128358516183384,
                                  -0.026853812391221109, 0.0051883285405998356, -0.00080102015556245284,
                                  7.8538894488490302e-05);
        far = detail::polynomial(t, 0.0018225431942426912, 0.25970008119874866, 0.39680391363038325,
                                 -0.06446379655248867, 0.63668274586387252, -0.23080260280128193);
    } else {
        const P t = 3 / (a + 3);
        near = detail::polynomial(u, 1.1283791670955126, -0.37612638903183521, 0.11283791670944129,
                                  -0.026866170643104301, 0.005223977606070746, -0.0008548325927428699,
                                  0.000120552935298212, -1.4924711539640394e-05, 1.6447123585074782e-06,
                                  -1.620626157139787e-07, 1.3710787183004106e-08, -7.7791593330325045e-10);
        far = detail::polynomial(t, 1.9511651659658069e-05, 0.18769414267117726, 0.19118013944706591,
                                 0.16230350087326423, 0.20397222656054109, 0.037835217195192797,
                                 0.16871723546935116, 0.13761434500748038, -0.32839110041148906,
                                 0.53762771007003063, -0.4473573898976671, 0.17585722495928485,
                                 -0.027072792765263566);
    }
    const P tail = xsimd::copysign((1 - exp(-u) * far).lanes, x.lanes);
    return where(a < 1, x * near, tail);
}

}  // namespace xtape
