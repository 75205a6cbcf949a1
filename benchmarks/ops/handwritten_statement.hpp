#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "benchmarks/ops/contender.hpp"
#include "benchmarks/pack_loop.hpp"

namespace bench::ops {

/// f of 1 to 12 ops: `forward` gives y and what is worth keeping, `backward` the gradients.
template <std::size_t ops>
struct Formula;

template <>
struct Formula<1> {
    static constexpr std::size_t used = 2, kept = 0;
    template <class N>
    static N forward(const N* x, N*) {
        return x[0] * x[1];
    }
    template <class N>
    static void backward(const N* x, const N*, const N& dy, N* dx) {
        dx[0] = dy * x[1];
        dx[1] = dy * x[0];
    }
};

template <>
struct Formula<2> {
    static constexpr std::size_t used = 3, kept = 0;
    template <class N>
    static N forward(const N* x, N*) {
        return fma(x[0], x[1], x[2]);
    }
    template <class N>
    static void backward(const N* x, const N*, const N& dy, N* dx) {
        dx[0] = dy * x[1];
        dx[1] = dy * x[0];
        dx[2] = dy;
    }
};

template <>
struct Formula<4> {
    static constexpr std::size_t used = 3, kept = 2;
    template <class N>
    static N forward(const N* x, N* keep) {
        keep[0] = sigmoid(x[0]);
        keep[1] = tanh(x[2]);
        return fma(keep[0], x[1], keep[1]);
    }
    template <class N>
    static void backward(const N* x, const N* keep, const N& dy, N* dx) {
        dx[0] = dy * x[1] * (keep[0] * (1 - keep[0]));
        dx[1] = dy * keep[0];
        dx[2] = dy * (1 - keep[1] * keep[1]);
    }
};

template <>
struct Formula<8> {
    static constexpr std::size_t used = 5, kept = 3;
    template <class N>
    static N forward(const N* x, N* keep) {
        keep[0] = sigmoid(x[0]);
        keep[1] = sigmoid(x[2]);
        keep[2] = tanh(x[3]);
        return fma(keep[0], x[1], fma(keep[1], keep[2], 0.1 * x[4]));
    }
    template <class N>
    static void backward(const N* x, const N* keep, const N& dy, N* dx) {
        const N gated = dy * keep[1];
        dx[0] = dy * x[1] * (keep[0] * (1 - keep[0]));
        dx[1] = dy * keep[0];
        dx[2] = gated * keep[2] * (1 - keep[1]);
        dx[3] = gated * (1 - keep[2] * keep[2]);
        dx[4] = 0.1 * dy;
    }
};

template <>
struct Formula<12> {
    static constexpr std::size_t used = 5, kept = 3;
    template <class N>
    static N forward(const N* x, N* keep) {
        keep[0] = sigmoid(x[0] + x[4]);
        keep[1] = sigmoid(x[2] - x[4]);
        keep[2] = tanh(x[3] * x[4]);
        return fma(keep[0], x[1], fma(keep[1], keep[2], 0.1 * x[1] * x[1]));
    }
    template <class N>
    static void backward(const N* x, const N* keep, const N& dy, N* dx) {
        const N gated = dy * keep[1], inner = gated * (1 - keep[2] * keep[2]);
        dx[0] = dy * x[1] * (keep[0] * (1 - keep[0]));
        dx[1] = dy * fma(0.2, x[1], keep[0]);
        dx[2] = gated * keep[2] * (1 - keep[1]);
        dx[3] = inner * x[4];
        dx[4] = dx[0] - dx[2] + inner * x[3];
    }
};

template <class T, std::size_t ops>
class FusedStatement : public Contender<T> {
    using F = Formula<ops>;
    using P = xtape::Pack<T>;

public:
    explicit FusedStatement(const Statement<T>& work)
        : work_(work), n_(work.rows * work.cols), y_(n_), kept_(F::kept * n_) {
        for (std::size_t k = 0; k < F::used; ++k) dx_[k].resize(work.operands[k].size());
    }

    void run() override {
        if constexpr (F::used > 2) {
            if (work_.row_c) return run_with_row();
        }
        run_whole();
    }

    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{y_};
        all.insert(all.end(), dx_.begin(), dx_.end());
        return all;
    }

private:
    void run_whole() {
        for_each_pack<T>(n_, [&](auto load, auto store) {
            const auto x = operands(load, load);
            std::array<P, F::kept> keep;
            store(y_.data(), F::forward(x.data(), keep.data()));
            for (std::size_t k = 0; k != F::kept; ++k) store(kept_.data() + k * n_, keep[k]);
        });
        for_each_pack<T>(n_, [&](auto load, auto store) {
            const auto dx = gradients(load, load);
            for (std::size_t k = 0; k < F::used; ++k) store(dx_[k].data(), dx[k]);
        });
    }

    // The third operand is a row, whose gradient is summed.
    void run_with_row() {
        const std::size_t cols = work_.cols;
        for (std::size_t begin = 0; begin < n_; begin += cols)
            for_each_pack<T>(cols, [&](auto load, auto store) {
                const auto at = [&](const T* row) { return load(row + begin); };
                const auto x = operands(at, load);
                std::array<P, F::kept> keep;
                store(y_.data() + begin, F::forward(x.data(), keep.data()));
                for (std::size_t k = 0; k != F::kept; ++k) store(kept_.data() + k * n_ + begin, keep[k]);
            });
        std::fill(dx_[2].begin(), dx_[2].end(), T(0));
        for (std::size_t begin = 0; begin < n_; begin += cols)
            for_each_pack<T>(cols, [&](auto load, auto store) {
                const auto at = [&](const T* row) { return load(row + begin); };
                const auto dx = gradients(at, load);
                for (std::size_t k = 0; k < F::used; ++k)
                    if (k != 2) store(dx_[k].data() + begin, dx[k]);
                store(dx_[2].data(), load(dx_[2].data()) + dx[2]);
            });
    }

    template <class Load, class LoadC>
    [[gnu::always_inline]] std::array<P, F::used> operands(const Load& load, const LoadC& load_c) const {
        std::array<P, F::used> x;
        for (std::size_t k = 0; k < F::used; ++k)
            x[k] = k == 2 ? load_c(work_.operands[k].data()) : load(work_.operands[k].data());
        return x;
    }
    template <class Load, class LoadC>
    [[gnu::always_inline]] std::array<P, F::used> gradients(const Load& load, const LoadC& load_c) const {
        const auto x = operands(load, load_c);
        std::array<P, F::kept> keep;
        for (std::size_t k = 0; k != F::kept; ++k) keep[k] = load(kept_.data() + k * n_);
        std::array<P, F::used> dx;
        F::backward(x.data(), keep.data(), load(work_.dy.data()), dx.data());
        return dx;
    }

    const Statement<T>& work_;
    std::size_t n_;
    Buffer<T> y_, kept_;
    std::array<Buffer<T>, F::used> dx_;
};

}  // namespace bench::ops
