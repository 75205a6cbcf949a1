#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "autograd/pointwise.hpp"

namespace xtape {

/// Loops over rows of contiguous elements, for one instruction set, Arch, which is part of every name.
template <class T, class Arch>
struct RowLoops {
    using N = Pack<T, Arch>;

    static void add(std::size_t n, const T* from, T* to) {
        std::size_t i = 0;
        for (; i + N::size <= n; i += N::size) (N::load(to + i) + N::load(from + i)).store(to + i);
        for (; i < n; ++i) to[i] += from[i];
    }

    static T sum(std::size_t n, const T* from) {
        constexpr std::size_t block = 16 * N::size;
        if (n > block) {
            const std::size_t half = (n / 2 + N::size - 1) / N::size * N::size;
            return sum(half, from) + sum(n - half, from + half);
        }
        N even(0), odd(0);
        std::size_t i = 0;
        for (; i + 2 * N::size <= n; i += 2 * N::size) {
            even += N::load(from + i);
            odd += N::load(from + i + N::size);
        }
        T sum = (even + odd).sum();
        for (; i < n; ++i) sum += from[i];
        return sum;
    }

    // ---- extremes ----

    template <class Op>
    static T chosen(T a, T b) {
        return Op::value(Scalar<T>(a), Scalar<T>(b)).value;
    }

    template <class Op>
    static T choose(std::size_t n, const T* x, T best) {
        std::size_t i = 0;
        if (n >= N::size) {
            N lanes = N::load(x);
            for (i = N::size; i + N::size <= n; i += N::size) lanes = Op::value(lanes, N::load(x + i));
            T each[N::size];
            lanes.store(each);
            for (T lane : each) best = chosen<Op>(best, lane);
        }
        for (; i < n; ++i) best = chosen<Op>(best, x[i]);
        return best;
    }

    template <class Op>
    static void choose_each(std::size_t n, const T* x, T* best) {
        std::size_t i = 0;
        for (; i + N::size <= n; i += N::size) Op::value(N::load(best + i), N::load(x + i)).store(best + i);
        for (; i < n; ++i) best[i] = chosen<Op>(best[i], x[i]);
    }

    // ---- softmax ----

    static T largest(std::size_t n, const T* x) {
        return choose<op::Maximum>(n, x, -std::numeric_limits<T>::infinity());
    }

    /// y = exp(x - shift)
    static void exponentials(std::size_t n, const T* x, T shift, T* y) {
        std::size_t i = 0;
        for (; i + N::size <= n; i += N::size) exp(N::load(x + i) - N(shift)).store(y + i);
        if (i < n) exp(N::load_first(x + i, n - i) - N(shift)).store_first(y + i, n - i);
    }

    /// Σ exp(x - shift)
    static T sum_of_exponentials(std::size_t n, const T* x, T shift) {
        constexpr std::size_t piece = 512;
        alignas(64) T y[piece];
        T total = 0;
        for (std::size_t begin = 0; begin < n; begin += piece) {
            const std::size_t count = n - begin < piece ? n - begin : piece;
            exponentials(count, x + begin, shift, y);
            total += sum(count, y);
        }
        return total;
    }

    static T logsumexp(std::size_t n, const T* x) {
        const T shift = largest(n, x);
        return std::isfinite(shift) ? shift + std::log(sum_of_exponentials(n, x, shift)) : shift;
    }

    static void softmax(std::size_t n, const T* x, T* y) {
        exponentials(n, x, largest(n, x), y);
        const T scale = 1 / sum(n, y);
        for (std::size_t i = 0; i < n; ++i) y[i] *= scale;
    }

    static void log_softmax(std::size_t n, const T* x, T* y) {
        const T shift = largest(n, x);
        const T rest = std::log(sum_of_exponentials(n, x, shift));
        // One after the other: in their sum the small one would lose its digits.
        for (std::size_t i = 0; i < n; ++i) y[i] = (x[i] - shift) - rest;
    }
};

}  // namespace xtape
