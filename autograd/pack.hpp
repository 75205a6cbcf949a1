#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

// g++ 12 takes the deliberately undefined registers of its own AVX-512 intrinsics for mistakes.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <xsimd/xsimd.hpp>
#pragma GCC diagnostic pop

namespace xtape {

template <std::floating_point T, class Arch = xsimd::default_arch>
struct Pack;

/// A condition, lane by lane: what comparing two Packs gives.
template <class T, class Arch>
struct PackMask {
    xsimd::batch_bool<T, Arch> lanes;

    friend Pack<T, Arch> where(const PackMask& condition, const Pack<T, Arch>& a, const Pack<T, Arch>& b) {
        return xsimd::select(condition.lanes, a.lanes, b.lanes);
    }

    friend PackMask operator&&(const PackMask& a, const PackMask& b) { return {a.lanes & b.lanes}; }
    friend PackMask operator||(const PackMask& a, const PackMask& b) { return {a.lanes | b.lanes}; }
    friend PackMask operator!(const PackMask& a) { return {!a.lanes}; }
};

/// As many numbers as one register holds: the number type that the hot loops read a rule with.
/// The instruction set is part of the type's name, so that code compiled for two of them never merges.
/// Every lane is computed from that lane alone: an element's bits depend neither on its place nor on its
/// neighbours.
template <std::floating_point T, class Arch>
struct Pack {
    using value_type = T;
    using Batch = xsimd::batch<T, Arch>;
    using Mask = PackMask<T, Arch>;
    static constexpr std::size_t size = Batch::size;

    Batch lanes;

    Pack() = default;
    Pack(const Batch& batch) : lanes(batch) {}

    /// The same constant in every lane. Implicit, and from any arithmetic type, so that `1 - y * y` reads the
    /// same in every number type.
    template <class Constant>
    requires std::is_arithmetic_v<Constant> Pack(Constant constant) : lanes(static_cast<T>(constant)) {}

    /// A condition is the number 1 where it holds and 0 elsewhere.
    Pack(const Mask& condition) : lanes(xsimd::select(condition.lanes, Batch(T(1)), Batch(T(0)))) {}

    /// Neither reading nor writing asks for alignment.
    static Pack load(const T* source) { return Batch::load_unaligned(source); }
    void store(T* target) const { lanes.store_unaligned(target); }

    /// The first n numbers (n <= size) from `source`, 0 in the lanes behind them; nothing beyond them is
    /// read.
    static Pack load_first(const T* source, std::size_t n) {
        alignas(Arch::alignment()) T buffer[size] = {};
        copy_first<size / 2>(source, buffer, n);
        return Batch::load_aligned(buffer);
    }

    /// Writes the first n lanes (n <= size) and nothing else.
    void store_first(T* target, std::size_t n) const {
        alignas(Arch::alignment()) T buffer[size];
        lanes.store_aligned(buffer);
        copy_first<size / 2>(buffer, target, n);
    }

    /// Sum over the lanes, in a fixed order (by halves).
    T sum() const {
        alignas(Arch::alignment()) T buffer[size];
        lanes.store_aligned(buffer);
        for (std::size_t half = size / 2; half > 0; half /= 2)
            for (std::size_t i = 0; i < half; ++i) buffer[i] += buffer[i + half];
        return buffer[0];
    }

    Pack& operator+=(const Pack& other) { return *this = *this + other; }
    Pack& operator-=(const Pack& other) { return *this = *this - other; }
    Pack& operator*=(const Pack& other) { return *this = *this * other; }
    Pack& operator/=(const Pack& other) { return *this = *this / other; }

    friend Pack operator+(const Pack& a, const Pack& b) { return a.lanes + b.lanes; }
    friend Pack operator-(const Pack& a, const Pack& b) { return a.lanes - b.lanes; }
    friend Pack operator*(const Pack& a, const Pack& b) { return a.lanes * b.lanes; }
    friend Pack operator/(const Pack& a, const Pack& b) { return a.lanes / b.lanes; }
    friend Pack operator-(const Pack& x) { return -x.lanes; }

    friend Mask operator==(const Pack& a, const Pack& b) { return {a.lanes == b.lanes}; }
    friend Mask operator!=(const Pack& a, const Pack& b) { return {a.lanes != b.lanes}; }
    friend Mask operator<(const Pack& a, const Pack& b) { return {a.lanes < b.lanes}; }
    friend Mask operator<=(const Pack& a, const Pack& b) { return {a.lanes <= b.lanes}; }
    friend Mask operator>(const Pack& a, const Pack& b) { return {a.lanes > b.lanes}; }
    friend Mask operator>=(const Pack& a, const Pack& b) { return {a.lanes >= b.lanes}; }

    /// NaN if either is NaN, as NumPy's.
    friend Pack minimum(const Pack& a, const Pack& b) { return where(a < b || a != a, a, b); }
    friend Pack maximum(const Pack& a, const Pack& b) { return where(a > b || a != a, a, b); }

    friend Pack abs(const Pack& x) { return xsimd::abs(x.lanes); }
    /// -1, 1, or x itself if it is a zero or NaN.
    friend Pack sign(const Pack& x) { return where(x > 0, 1, where(x < 0, -1, x)); }
    friend Pack sqrt(const Pack& x) { return xsimd::sqrt(x.lanes); }

    /// a * b + c, rounded once where the machine can.
    friend Pack fma(const Pack& a, const Pack& b, const Pack& c) {
        return xsimd::fma(a.lanes, b.lanes, c.lanes);
    }

    /// Applies a function of one or two plain numbers lane by lane: for what has no vector form that is
    /// accurate.
    template <class F, class... Packs>
    static Pack lane_by_lane(F function, const Pack& a, const Packs&... rest) {
        alignas(Arch::alignment()) T result[size];
        alignas(Arch::alignment()) T inputs[1 + sizeof...(Packs)][size];
        std::size_t k = 0;
        a.lanes.store_aligned(inputs[k++]);
        (rest.lanes.store_aligned(inputs[k++]), ...);
        for (std::size_t i = 0; i < size; ++i)
            if constexpr (sizeof...(Packs) == 0)
                result[i] = function(inputs[0][i]);
            else
                result[i] = function(inputs[0][i], inputs[1][i]);
        return Batch::load_aligned(result);
    }

  private:
    /// Copies n < 2 * Chunk numbers in pieces whose sizes are powers of two, each a single move.
    template <std::size_t Chunk>
    static void copy_first(const T* source, T* target, std::size_t n) {
        if (n >= size) {
            std::memcpy(target, source, sizeof(T) * size);
        } else if constexpr (Chunk > 0) {
            if (n & Chunk) {
                std::memcpy(target, source, sizeof(T) * Chunk);
                source += Chunk;
                target += Chunk;
            }
            copy_first<Chunk / 2>(source, target, n & (Chunk - 1));
        }
    }
};

}  // namespace xtape
