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
        return total(0, n, [from](std::size_t i, std::size_t count) { return first_of(from + i, count); });
    }

    // ---- extremes ----

    template <class Op>
    static T chosen(T a, T b) {
        return Op::value(Scalar<T>(a), Scalar<T>(b)).value;
    }

    template <class Op>
    static T choose(std::size_t n, const T* x, T best) {
        N parts[chains];
        for (N& part : parts) part = N(best);
        std::size_t i = 0;
        for (; i + chains * N::size <= n; i += chains * N::size)
            for (std::size_t k = 0; k < chains; ++k)
                parts[k] = Op::value(parts[k], N::load(x + i + k * N::size));
        for (; i + N::size <= n; i += N::size) parts[0] = Op::value(parts[0], N::load(x + i));
        T each[N::size];
        Op::value(Op::value(parts[0], parts[1]), Op::value(parts[2], parts[3])).store(each);
        for (T lane : each) best = chosen<Op>(best, lane);
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

    /// Σ exp(x - shift), each of which is given to keep(i, count, ·).
    template <class Keep>
    static T exponentials(std::size_t n, const T* x, T shift, const Keep& keep) {
        return total(0, n, [&](std::size_t i, std::size_t count) {
            const N y = exp(first_of(x + i, count) - N(shift));
            keep(i, count, y);
            return count == N::size ? y : without_rest(y, count);
        });
    }
    static T sum_of_exponentials(std::size_t n, const T* x, T shift) {
        return exponentials(n, x, shift, [](std::size_t, std::size_t, const N&) {});
    }

    static T logsumexp(std::size_t n, const T* x) {
        const T shift = largest(n, x);
        return std::isfinite(shift) ? shift + std::log(sum_of_exponentials(n, x, shift)) : shift;
    }
    /// dx = dy exp(x - y). The bound keeps x - y from being -inf - -inf.
    static void pull_logsumexp(std::size_t n, const T* x, T y, T dy, bool first, T* dx) {
        const N shift = y < std::numeric_limits<T>::lowest() ? std::numeric_limits<T>::lowest() : y;
        put(n, first, dx, [&](auto load) { return N(dy) * exp(load(x) - shift); });
    }

    static void softmax(std::size_t n, const T* x, T* y) {
        const T sum = exponentials(n, x, largest(n, x), [y](std::size_t i, std::size_t count, const N& e) {
            store_first_of(y + i, count, e);
        });
        const T scale = 1 / sum;
        for (std::size_t i = 0; i < n; ++i) y[i] *= scale;
    }
    /// dx = y (dy - Σ dy y)
    static void pull_softmax(std::size_t n, const T* y, const T* dy, bool first, T* dx) {
        const N common = total(0, n, [=](std::size_t i, std::size_t count) {
            return first_of(y + i, count) * first_of(dy + i, count);
        });
        put(n, first, dx, [&](auto load) { return load(y) * (load(dy) - common); });
    }

    static void log_softmax(std::size_t n, const T* x, T* y) {
        const T shift = largest(n, x);
        const T rest = std::log(sum_of_exponentials(n, x, shift));
        // One after the other: in their sum the small one would lose its digits.
        for (std::size_t i = 0; i < n; ++i) y[i] = (x[i] - shift) - rest;
    }
    /// dx = dy - exp(y) Σ dy
    static void pull_log_softmax(std::size_t n, const T* y, const T* dy, bool first, T* dx) {
        const N common = sum(n, dy);
        put(n, first, dx, [&](auto load) { return load(dy) - exp(load(y)) * common; });
    }

private:
    // As many sums and extremes are computed side by side as hide the time that an addition takes.
    static constexpr std::size_t chains = 4;

    static N first_of(const T* from, std::size_t count) {
        return count == N::size ? N::load(from) : N::load_first(from, count);
    }
    static void store_first_of(T* to, std::size_t count, const N& x) {
        if (count == N::size)
            x.store(to);
        else
            x.store_first(to, count);
    }
    /// 0 instead of the lanes from `count` on.
    static N without_rest(const N& x, std::size_t count) {
        T lanes[N::size];
        x.store(lanes);
        for (std::size_t i = count; i < N::size; ++i) lanes[i] = 0;
        return N::load(lanes);
    }

    /// Σ element(i, count) over begin <= i < end, where element gives `count` numbers from i on and 0 behind them. By
    /// halves down to blocks of a few vectors, so that the error of a long sum hardly grows with its length.
    template <class Element>
    static T total(std::size_t begin, std::size_t end, const Element& element) {
        constexpr std::size_t block = 16 * chains * N::size;
        if (end - begin > block) {
            const std::size_t middle = begin + ((end - begin) / 2 + N::size - 1) / N::size * N::size;
            return total(begin, middle, element) + total(middle, end, element);
        }
        N sums[chains];
        for (N& sum : sums) sum = N(0);
        std::size_t i = begin;
        for (; i + chains * N::size <= end; i += chains * N::size)
            for (std::size_t k = 0; k < chains; ++k) sums[k] += element(i + k * N::size, N::size);
        for (; i + N::size <= end; i += N::size) sums[0] += element(i, N::size);
        if (i < end) sums[0] += element(i, end - i);
        return ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum();
    }

    /// to = element(load), or to += unless this is the first contribution. load(row) is the row's part at the place at hand.
    template <class Element>
    static void put(std::size_t n, bool first, T* to, const Element& element) {
        std::size_t i = 0;
        const auto whole = [&i](const T* row) { return N::load(row + i); };
        if (first)
            for (; i + N::size <= n; i += N::size) element(whole).store(to + i);
        else
            for (; i + N::size <= n; i += N::size) (N::load(to + i) + element(whole)).store(to + i);
        if (i == n) return;
        const auto part = [&](const T* row) { return N::load_first(row + i, n - i); };
        const N rest = element(part);
        (first ? rest : part(to) + rest).store_first(to + i, n - i);
    }
};

}  // namespace xtape
