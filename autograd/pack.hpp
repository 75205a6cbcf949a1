#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
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

    friend PackMask operator&&(const PackMask& a, const PackMask& b) { return {a.lanes & b.lanes}; }
    friend PackMask operator||(const PackMask& a, const PackMask& b) { return {a.lanes | b.lanes}; }
    friend PackMask operator!(const PackMask& a) { return {!a.lanes}; }

    friend Pack<T, Arch> where(const PackMask& condition, const Pack<T, Arch>& a, const Pack<T, Arch>& b) {
        return xsimd::select(condition.lanes, a.lanes, b.lanes);
    }
};

/// As many numbers as one register holds: the number type that the hot loops read a rule with. The
/// instruction set is part of the type's name, so that code compiled for two of them never merges. A lane is
/// computed from that lane alone: an element's bits depend neither on its place nor on its neighbours.
/// The elementary functions are in vector_math.hpp.
template <std::floating_point T, class Arch>
struct Pack {
    using value_type = T;
    using Mask = PackMask<T, Arch>;
    using Batch = xsimd::batch<T, Arch>;
    using Bits = xsimd::batch<std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>, Arch>;
    static constexpr std::size_t size = Batch::size;

    Batch lanes;

    Pack() = default;
    Pack(const Batch& batch) : lanes(batch) {}

    /// The same constant in every lane. Implicit, and from any arithmetic type, so that `1 - y * y` reads the
    /// same in every number type.
    template <class Constant>
    requires std::is_arithmetic_v<Constant> Pack(Constant constant) : lanes(static_cast<T>(constant)) {}

    /// A condition is the number 1 where it holds and 0 elsewhere.
    Pack(const Mask& condition) : Pack(where(condition, Pack(1), Pack(0))) {}

    // Memory. No address needs to be aligned.

    static Pack load(const T* source) { return Batch::load_unaligned(source); }
    void store(T* target) const { lanes.store_unaligned(target); }

    /// The first n numbers (n <= size), and 0 in the lanes behind them. Nothing beyond them is read.
    static Pack load_first(const T* source, std::size_t n);
    /// Writes the first n lanes (n <= size) and nothing else.
    void store_first(T* target, std::size_t n) const;

    /// The sum of all lanes, added by halves.
    T sum() const;

    // Arithmetic.

    friend Pack operator+(const Pack& a, const Pack& b) { return a.lanes + b.lanes; }
    friend Pack operator-(const Pack& a, const Pack& b) { return a.lanes - b.lanes; }
    friend Pack operator*(const Pack& a, const Pack& b) { return a.lanes * b.lanes; }
    friend Pack operator/(const Pack& a, const Pack& b) { return a.lanes / b.lanes; }
    friend Pack operator-(const Pack& x) { return from_bits(x.bits() ^ sign_bit()); }

    Pack& operator+=(const Pack& other) { return *this = *this + other; }
    Pack& operator-=(const Pack& other) { return *this = *this - other; }
    Pack& operator*=(const Pack& other) { return *this = *this * other; }
    Pack& operator/=(const Pack& other) { return *this = *this / other; }

    friend Mask operator==(const Pack& a, const Pack& b) { return {a.lanes == b.lanes}; }
    friend Mask operator!=(const Pack& a, const Pack& b) {
        return !(a == b);
    }  // xsimd's misses NaN on AVX-512
    friend Mask operator<(const Pack& a, const Pack& b) { return {a.lanes < b.lanes}; }
    friend Mask operator<=(const Pack& a, const Pack& b) { return {a.lanes <= b.lanes}; }
    friend Mask operator>(const Pack& a, const Pack& b) { return {a.lanes > b.lanes}; }
    friend Mask operator>=(const Pack& a, const Pack& b) { return {a.lanes >= b.lanes}; }

    /// NaN if either is NaN, as NumPy's.
    friend Pack minimum(const Pack& a, const Pack& b) { return where(a < b || a != a, a, b); }
    friend Pack maximum(const Pack& a, const Pack& b) { return where(a > b || a != a, a, b); }

    /// -1 or 1; a zero and NaN stay what they are.
    friend Pack sign(const Pack& x) { return where(x > 0, 1, where(x < 0, -1, x)); }
    friend Pack abs(const Pack& x) { return from_bits(x.bits() & ~sign_bit()); }
    friend Pack copysign(const Pack& x, const Pack& sign) {
        return from_bits((x.bits() & ~sign_bit()) | (sign.bits() & sign_bit()));
    }
    friend Pack sqrt(const Pack& x) { return xsimd::sqrt(x.lanes); }

    /// a * b + c, rounded once where the machine can.
    friend Pack fma(const Pack& a, const Pack& b, const Pack& c) {
        return xsimd::fma(a.lanes, b.lanes, c.lanes);
    }

    // The lanes as integers. Signs are changed there: compilers see through integer operations, and compute
    // only once what a function of x and the same function of -x have in common.

    Bits bits() const { return std::bit_cast<Bits>(lanes); }
    static Pack from_bits(const Bits& bits) { return std::bit_cast<Batch>(bits); }
    static Bits sign_bit() { return std::numeric_limits<typename Bits::value_type>::min(); }

private:
    using Buffer = T[size];

    template <std::size_t Chunk>
    static void copy_first(const T* source, T* target, std::size_t n);
};

/// Copies n <= size and n < 2 * Chunk numbers, Chunk a power of two, in pieces of such sizes, each of which is one move.
template <std::floating_point T, class Arch>
template <std::size_t Chunk>
void Pack<T, Arch>::copy_first(const T* source, T* target, std::size_t n) {
    if constexpr (Chunk > 0) {
        if (n & Chunk) {
            std::memcpy(target, source, sizeof(T) * Chunk);
            if constexpr (Chunk == size) return;
            source += Chunk;
            target += Chunk;
        }
        copy_first<Chunk / 2>(source, target, n);
    }
}

template <std::floating_point T, class Arch>
void Pack<T, Arch>::store_first(T* target, std::size_t n) const {
    alignas(Batch) Buffer buffer;
    lanes.store_aligned(buffer);
    copy_first<size>(buffer, target, n);
}

template <std::floating_point T, class Arch>
Pack<T, Arch> Pack<T, Arch>::load_first(const T* source, std::size_t n) {
    // A register read from memory that was just written in smaller pieces would have to wait for them.
#if XSIMD_WITH_AVX512F
    if constexpr (std::derived_from<Arch, xsimd::avx512f>) {
        const auto mask = static_cast<__mmask16>((1U << n) - 1);
        if constexpr (sizeof(T) == 4)
            return Batch(_mm512_maskz_loadu_ps(mask, source));
        else
            return Batch(_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), source));
    }
#endif
#if XSIMD_WITH_AVX
    if constexpr (std::derived_from<Arch, xsimd::avx>) {
        static constexpr std::int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
        const std::int32_t* start = ones_then_zeros + 8 - n * (sizeof(T) / 4);
        const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start));
        if constexpr (sizeof(T) == 4)
            return Batch(_mm256_maskload_ps(source, mask));
        else
            return Batch(_mm256_maskload_pd(source, mask));
    }
#endif
    alignas(Batch) Buffer buffer = {};
    copy_first<size>(source, buffer, n);
    return Batch::load_aligned(buffer);
}

template <std::floating_point T, class Arch>
T Pack<T, Arch>::sum() const {
    alignas(Batch) Buffer buffer;
    lanes.store_aligned(buffer);
    for (std::size_t half = size / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) buffer[i] += buffer[i + half];
    return buffer[0];
}

}  // namespace xtape
