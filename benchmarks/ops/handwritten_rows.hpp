#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "benchmarks/ops/contender.hpp"
#include "benchmarks/pack_loop.hpp"

// Reductions, softmax and cross entropy, row by row.

namespace bench::ops {

/// Σ f(j) over the places j of a row of n, f giving a register; in four chains.
template <class T, class F>
T sum_over(std::size_t n, const F& f) {
    using P = xtape::Pack<T>;
    std::array<P, 4> parts;
    parts.fill(P(0));
    std::size_t j = 0;
    for (; j + 4 * P::size <= n; j += 4 * P::size)
        for (std::size_t k = 0; k < 4; ++k) parts[k] += f(j + k * P::size, P::size);
    for (; j < n; j += P::size) parts[0] += f(j, std::min(n - j, P::size));
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])).sum();
}

template <class T>
T sum_of_row(std::size_t n, const T* x) {
    using P = xtape::Pack<T>;
    return sum_over<T>(n, [x](std::size_t j, std::size_t count) {
        return count == P::size ? P::load(x + j) : P::load_first(x + j, count);
    });
}

template <class T>
T max_of_row(std::size_t n, const T* x) {
    using P = xtape::Pack<T>;
    std::array<P, 4> parts;
    parts.fill(P(-std::numeric_limits<T>::infinity()));
    std::size_t j = 0;
    for (; j + 4 * P::size <= n; j += 4 * P::size)
        for (std::size_t k = 0; k < 4; ++k)
            parts[k] = max(parts[k].lanes, P::load(x + j + k * P::size).lanes);
    for (; j + P::size <= n; j += P::size) parts[0] = max(parts[0].lanes, P::load(x + j).lanes);
    std::array<T, P::size> lanes;
    P(max(max(parts[0].lanes, parts[1].lanes), max(parts[2].lanes, parts[3].lanes))).store(lanes.data());
    T result = *std::max_element(lanes.begin(), lanes.end());
    for (; j < n; ++j) result = std::max(result, x[j]);
    return result;
}

/// y = exp(x - max x); returns Σ y.
template <class T>
T exponentials(std::size_t n, const T* x, T* y) {
    using P = xtape::Pack<T>;
    const P shift = max_of_row(n, x);
    P sum(0);
    std::size_t j = 0;
    for (; j + P::size <= n; j += P::size) {
        const P e = exp(P::load(x + j) - shift);
        e.store(y + j);
        sum += e;
    }
    T rest = 0;
    if (j < n) {
        exp(P::load_first(x + j, n - j) - shift).store_first(y + j, n - j);
        for (; j < n; ++j) rest += y[j];
    }
    return sum.sum() + rest;
}

template <class T>
class ReducedRows : public Contender<T> {
    using Over = typename Reduction<T>::Over;

public:
    explicit ReducedRows(const Reduction<T>& work)
        : work_(work), y_(work.result_size()), dx_(work.x.size()), row_(work.cols) {}

    void run() override {
        const T scale = static_cast<T>(1 / work_.divisor());
        switch (work_.over) {
            case Over::first: return over_first(scale);
            case Over::last: return over_last(scale);
            case Over::both: return over_both(scale);
        }
    }
    std::vector<Buffer<T>> results() override { return {y_, dx_}; }

private:
    void over_first(T scale) {
        sum_rows(work_.x.data(), work_.rows, work_.cols, y_.data());
        for (std::size_t j = 0; j < work_.cols; ++j) {
            y_[j] *= scale;
            row_[j] = work_.dy[j] * scale;
        }
        for (std::size_t i = 0; i < work_.rows; ++i)
            std::copy(row_.begin(), row_.end(), dx_.data() + i * work_.cols);
    }
    void over_last(T scale) {
        for (std::size_t i = 0; i < work_.rows; ++i)
            y_[i] = sum_of_row(work_.cols, work_.x.data() + i * work_.cols) * scale;
        for (std::size_t i = 0; i < work_.rows; ++i)
            std::fill_n(dx_.data() + i * work_.cols, work_.cols, work_.dy[i] * scale);
    }
    void over_both(T scale) {
        y_[0] = sum_of_row(work_.x.size(), work_.x.data()) * scale;
        std::fill(dx_.begin(), dx_.end(), work_.dy[0] * scale);
    }

    const Reduction<T>& work_;
    Buffer<T> y_, dx_, row_;
};

template <class T>
class SoftmaxRows : public Contender<T> {
    using P = xtape::Pack<T>;

public:
    explicit SoftmaxRows(const Softmax<T>& work) : work_(work), y_(work.x.size()), dx_(work.x.size()) {}

    void run() override {
        const std::size_t n = work_.cols;
        for (std::size_t i = 0; i < work_.rows; ++i) forward(n, work_.x.data() + i * n, y_.data() + i * n);
        for (std::size_t i = 0; i < work_.rows; ++i)
            backward(n, y_.data() + i * n, work_.dy.data() + i * n, dx_.data() + i * n);
    }
    std::vector<Buffer<T>> results() override { return {y_, dx_}; }

private:
    static void forward(std::size_t n, const T* x, T* y) {
        const P scale = 1 / exponentials(n, x, y);
        for_each_pack<T>(n, [&](auto load, auto store) { store(y, load(y) * scale); });
    }
    // dx = y (dy - Σ dy y)
    static void backward(std::size_t n, const T* y, const T* dy, T* dx) {
        const P common = sum_over<T>(n, [=](std::size_t j, std::size_t count) {
            return count == P::size ? P::load(y + j) * P::load(dy + j)
                                    : P::load_first(y + j, count) * P::load_first(dy + j, count);
        });
        for_each_pack<T>(n, [&](auto load, auto store) { store(dx, load(y) * (load(dy) - common)); });
    }

    const Softmax<T>& work_;
    Buffer<T> y_, dx_;
};

/// The gradient is made of the forward pass's exponentials, in place.
template <class T>
class CrossEntropyRows : public Contender<T> {
public:
    explicit CrossEntropyRows(const CrossEntropy<T>& work)
        : work_(work), loss_(1), sums_(work.rows), dx_(work.logits.size()) {}

    void run() override {
        loss_[0] =
            forward(work_.rows, work_.cols, work_.logits.data(), work_.classes, sums_.data(), dx_.data());
        backward(work_.rows, work_.cols, work_.classes, sums_.data(), dx_.data());
    }
    std::vector<Buffer<T>> results() override { return {loss_, dx_}; }

    /// The mean loss; leaves exponentials in dx, (rows, cols), and their sums.
    static T forward(std::size_t rows, std::size_t cols, const T* logits,
                     const std::vector<std::int64_t>& classes, T* sums, T* dx) {
        T loss = 0;
        for (std::size_t i = 0; i < rows; ++i) {
            const T* x = logits + i * cols;
            const auto chosen = static_cast<std::size_t>(classes[i]);
            sums[i] = exponentials(cols, x, dx + i * cols);
            loss += std::log(sums[i]) + max_of_row(cols, x) - x[chosen];
        }
        return loss / static_cast<T>(rows);
    }
    static void backward(std::size_t rows, std::size_t cols, const std::vector<std::int64_t>& classes,
                         const T* sums, T* dx) {
        const T share = T(1) / static_cast<T>(rows);
        for (std::size_t i = 0; i < rows; ++i, dx += cols) {
            const xtape::Pack<T> scale = share / sums[i];
            for_each_pack<T>(cols, [&](auto load, auto store) { store(dx, load(dx) * scale); });
            dx[classes[i]] -= share;
        }
    }

private:
    const CrossEntropy<T>& work_;
    Buffer<T> loss_, sums_, dx_;
};

}  // namespace bench::ops
