#pragma once

#include <cmath>
#include <type_traits>

#include "autograd/lane_by_lane.hpp"
#include "autograd/vector_exp.hpp"
#include "autograd/vector_log.hpp"
#include "autograd/vector_sin.hpp"

/// The elementary functions of Packs: exponentials, logarithms, waves, and here the others. NaN in is NaN out,
/// and infinities, zeros and subnormal numbers are treated as by the C library. The test of this file states
/// the accuracy of each.
namespace xtape {

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
