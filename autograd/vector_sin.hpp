#pragma once

#include <cmath>

#include "autograd/lane_by_lane.hpp"
#include "autograd/vector_exp.hpp"

/// Sines and cosines of Packs.
namespace xtape {

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

}  // namespace xtape
