#pragma once

#include "autograd/pack.hpp"

/// The elementary functions of Packs.
namespace xtape {

template <class T, class Arch>
Pack<T, Arch> exp(const Pack<T, Arch>& x) {
    return xsimd::exp(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> expm1(const Pack<T, Arch>& x) {
    return xsimd::expm1(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> log(const Pack<T, Arch>& x) {
    return xsimd::log(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> log1p(const Pack<T, Arch>& x) {
    return xsimd::log1p(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> tanh(const Pack<T, Arch>& x) {
    return xsimd::tanh(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> sin(const Pack<T, Arch>& x) {
    return xsimd::sin(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> cos(const Pack<T, Arch>& x) {
    return xsimd::cos(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> erf(const Pack<T, Arch>& x) {
    return xsimd::erf(x.lanes);
}

template <class T, class Arch>
Pack<T, Arch> pow(const Pack<T, Arch>& a, const std::type_identity_t<Pack<T, Arch>>& b) {
    return Pack<T, Arch>::lane_by_lane([](T x, T y) { return std::pow(x, y); }, a, b);
}

template <class T, class Arch>
Pack<T, Arch> sigmoid(const Pack<T, Arch>& x) {
    const Pack<T, Arch> e = exp(-abs(x));
    return where(x < 0, e, 1) / (1 + e);
}

template <class T, class Arch>
Pack<T, Arch> softplus(const Pack<T, Arch>& x) {
    return maximum(x, 0) + log1p(exp(-abs(x)));
}

}  // namespace xtape
