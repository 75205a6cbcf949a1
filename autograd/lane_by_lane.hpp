#pragma once

#include <cstddef>
#include <utility>

#include "autograd/pack.hpp"

namespace xtape::detail {

/// Applies a function of plain numbers to Packs, lane by lane: for what has no good vector form.
template <class F, class T, class Arch, class... Packs>
Pack<T, Arch> lane_by_lane(F function, const Pack<T, Arch>& first, const Packs&... others) {
    using P = Pack<T, Arch>;
    T inputs[1 + sizeof...(others)][P::size], results[P::size];
    std::size_t input = 0;
    first.store(inputs[input++]);
    (others.store(inputs[input++]), ...);
    const auto call = [&]<std::size_t... K>(std::size_t i, std::index_sequence<K...>) {
        return function(inputs[K][i]...);
    };
    for (std::size_t i = 0; i < P::size; ++i)
        results[i] = call(i, std::make_index_sequence<1 + sizeof...(others)>{});
    return P::load(results);
}

}  // namespace xtape::detail
