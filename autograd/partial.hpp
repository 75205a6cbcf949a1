#pragma once

#include <type_traits>

#include "autograd/scalar.hpp"
#include "autograd/vector_math.hpp"

/// What a rule may give as a partial derivative dy/dx: a number; a condition, where the gradient passes
/// unchanged where it holds and is exactly 0 elsewhere (0 * inf never arises); or one of these constants,
/// which cost nothing.
namespace xtape {

struct One {};
struct MinusOne {};
struct Zero {};

template <class Partial>
inline constexpr bool is_condition = false;
template <class T, class Arch>
inline constexpr bool is_condition<PackMask<T, Arch>> = true;
template <class T>
inline constexpr bool is_condition<ScalarMask<T>> = true;

/// The chain rule: what an input receives of the gradient dy, dx = dy * partial. Zero gives Zero: nothing to
/// add.
template <class N, class Partial>
auto chain(const N& dy, const Partial& partial) {
    if constexpr (std::is_same_v<Partial, Zero>)
        return Zero{};
    else if constexpr (std::is_same_v<Partial, One>)
        return dy;
    else if constexpr (std::is_same_v<Partial, MinusOne>)
        return -dy;
    else if constexpr (is_condition<Partial>)
        return where(partial, dy, 0);
    else
        return dy * partial;
}

}  // namespace xtape
