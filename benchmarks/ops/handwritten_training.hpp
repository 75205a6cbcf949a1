#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "autograd/gemm.hpp"
#include "benchmarks/ops/contender.hpp"
#include "benchmarks/ops/handwritten_rows.hpp"
#include "benchmarks/pack_loop.hpp"

// Rows of a table, Adam, a chain of tiny ops and two layers.

namespace bench::ops {

template <class T>
class TakenRows : public Contender<T> {
public:
    explicit TakenRows(const Take<T>& work) : work_(work), y_(work.dy.size()), dtable_(work.table.size()) {}

    void run() override {
        const std::size_t n = work_.cols;
        for (std::size_t k = 0; k < work_.indices.size(); ++k)
            std::copy_n(work_.table.data() + row(k), n, y_.data() + k * n);
        std::fill(dtable_.begin(), dtable_.end(), T(0));
        for (std::size_t k = 0; k < work_.indices.size(); ++k) {
            const T* from = work_.dy.data() + k * n;
            T* to = dtable_.data() + row(k);
            for_each_pack<T>(n, [&](auto load, auto store) { store(to, load(to) + load(from)); });
        }
    }
    std::vector<Buffer<T>> results() override { return {y_, dtable_}; }

private:
    std::size_t row(std::size_t k) const { return static_cast<std::size_t>(work_.indices[k]) * work_.cols; }

    const Take<T>& work_;
    Buffer<T> y_, dtable_;
};

/// One tensor's part of an Adam step. m̂ / (√v̂ + ε) with the two corrections drawn out of the loop.
template <class T>
class AdamState {
public:
    explicit AdamState(std::size_t size) : m_(size), v_(size) {}

    void step(Buffer<T>& parameters, const Buffer<T>& gradient) {
        using P = xtape::Pack<T>;
        using A = Adam<T>;
        ++steps_;
        const double v_correction = std::sqrt(1 - std::pow(A::beta2, steps_));
        const P rate = A::rate * v_correction / (1 - std::pow(A::beta1, steps_));
        const P epsilon = A::epsilon * v_correction;
        const P beta1 = A::beta1, beta2 = A::beta2, rest1 = 1 - A::beta1, rest2 = 1 - A::beta2;
        T* const p = parameters.data();
        const T* const g = gradient.data();
        for_each_pack<T>(m_.size(), [&](auto load, auto store) {
            const P dp = load(g);
            const P m = fma(beta1, load(m_.data()), rest1 * dp);
            const P v = fma(beta2, load(v_.data()), rest2 * dp * dp);
            store(m_.data(), m);
            store(v_.data(), v);
            store(p, load(p) - rate * m / (sqrt(v) + epsilon));
        });
    }

private:
    Buffer<T> m_, v_;
    int steps_ = 0;
};

template <class T>
class FusedAdam : public Contender<T> {
public:
    explicit FusedAdam(const Adam<T>& work) : work_(work), p_(work.p), state_(work.p.size()) {}
    void run() override { state_.step(p_, work_.g); }
    std::vector<Buffer<T>> results() override { return {p_}; }

private:
    const Adam<T>& work_;
    Buffer<T> p_;
    AdamState<T> state_;
};

template <class T>
class ChainOfLoops : public Contender<T> {
    using P = xtape::Pack<T>;

public:
    explicit ChainOfLoops(const Chain<T>& work)
        : work_(work), n_(work.x.size()), x_((work.length + 1) * n_), dx_(n_), dw_(n_), db_(n_) {
        std::copy(work.x.begin(), work.x.end(), x_.begin());
    }

    void run() override {
        for (std::size_t i = 0; i < work_.length; ++i) forward(i);
        dx_ = work_.dy;
        std::fill(dw_.begin(), dw_.end(), T(0));
        std::fill(db_.begin(), db_.end(), T(0));
        for (std::size_t i = work_.length; i-- > 0;) backward(i);
    }
    std::vector<Buffer<T>> results() override {
        return {Buffer<T>(x_.end() - static_cast<std::ptrdiff_t>(n_), x_.end()), dx_, dw_, db_};
    }

private:
    void forward(std::size_t i) {
        const T* x = x_.data() + i * n_;
        T* y = x_.data() + (i + 1) * n_;
        for_each_pack<T>(n_, [&](auto load, auto store) {
            switch (i % 3) {
                case 0: store(y, load(x) * load(work_.w.data())); break;
                case 1: store(y, load(x) + load(work_.b.data())); break;
                default: store(y, tanh(load(x)));
            }
        });
    }
    void backward(std::size_t i) {
        const T* x = x_.data() + i * n_;
        const T* y = x_.data() + (i + 1) * n_;
        T* dx = dx_.data();
        for_each_pack<T>(n_, [&](auto load, auto store) {
            const P dy = load(dx);
            switch (i % 3) {
                case 0:
                    store(dw_.data(), fma(dy, load(x), load(dw_.data())));
                    store(dx, dy * load(work_.w.data()));
                    break;
                case 1: store(db_.data(), load(db_.data()) + dy); break;
                default: store(dx, dy * (1 - load(y) * load(y)));
            }
        });
    }

    const Chain<T>& work_;
    std::size_t n_;
    Buffer<T> x_, dx_, dw_, db_;
};

/// Two layers by hand: six products less that for the input's gradient, and fused loops in between.
template <class T>
class FusedMlp : public Contender<T> {
    using View = xtape::MatrixView<T>;
    using ConstView = xtape::MatrixView<const T>;
    using Loss = CrossEntropyRows<T>;

    struct Learned {
        Buffer<T> value, gradient;
        AdamState<T> state;

        explicit Learned(const Buffer<T>& start)
            : value(start), gradient(start.size()), state(start.size()) {}
        void step() { state.step(value, gradient); }
    };

public:
    explicit FusedMlp(const Mlp<T>& work)
        : work_(work),
          w1_(work.w1),
          b1_(work.b1),
          w2_(work.w2),
          b2_(work.b2),
          hidden_(work.batch * work.hidden),
          dhidden_(hidden_.size()),
          logits_(work.batch * work.outputs),
          dlogits_(logits_.size()),
          sums_(work.batch),
          loss_(1) {}

    void run() override {
        forward();
        backward();
        for (Learned* each : {&w1_, &b1_, &w2_, &b2_}) each->step();
    }
    std::vector<Buffer<T>> results() override {
        return {loss_, w1_.gradient, b1_.gradient, w2_.gradient, b2_.gradient};
    }

private:
    ConstView x() const { return {work_.x.data(), work_.batch, work_.inputs}; }
    View hidden() { return {hidden_.data(), work_.batch, work_.hidden}; }
    View dhidden() { return {dhidden_.data(), work_.batch, work_.hidden}; }
    View logits() { return {logits_.data(), work_.batch, work_.outputs}; }
    View dlogits() { return {dlogits_.data(), work_.batch, work_.outputs}; }
    View first(Buffer<T>& w) const { return {w.data(), work_.hidden, work_.inputs}; }
    View second(Buffer<T>& w) const { return {w.data(), work_.outputs, work_.hidden}; }

    void forward() {
        using P = xtape::Pack<T>;
        xtape::gemm(x(), first(w1_.value).transposed(), T(0), hidden());
        for (std::size_t i = 0; i < work_.batch; ++i) {
            T* h = hidden_.data() + i * work_.hidden;
            for_each_pack<T>(work_.hidden, [&](auto load, auto store) {
                store(h, maximum(load(h) + load(b1_.value.data()), P(0)));
            });
        }
        xtape::gemm(hidden(), second(w2_.value).transposed(), T(0), logits());
        for (std::size_t i = 0; i < work_.batch; ++i) {
            T* y = logits_.data() + i * work_.outputs;
            for_each_pack<T>(work_.outputs,
                             [&](auto load, auto store) { store(y, load(y) + load(b2_.value.data())); });
        }
        loss_[0] = Loss::forward(work_.batch, work_.outputs, logits_.data(), work_.classes, sums_.data(),
                                 dlogits_.data());
    }

    void backward() {
        using P = xtape::Pack<T>;
        Loss::backward(work_.batch, work_.outputs, work_.classes, sums_.data(), dlogits_.data());
        xtape::gemm(dlogits().transposed(), hidden(), T(0), second(w2_.gradient));
        sum_rows(dlogits_.data(), work_.batch, work_.outputs, b2_.gradient.data());
        xtape::gemm(dlogits(), second(w2_.value), T(0), dhidden());
        const T* h = hidden_.data();
        T* dh = dhidden_.data();
        for_each_pack<T>(hidden_.size(),
                         [&](auto load, auto store) { store(dh, where(load(h) > P(0), load(dh), P(0))); });
        xtape::gemm(dhidden().transposed(), x(), T(0), first(w1_.gradient));
        sum_rows(dhidden_.data(), work_.batch, work_.hidden, b1_.gradient.data());
    }

    const Mlp<T>& work_;
    Learned w1_, b1_, w2_, b2_;
    Buffer<T> hidden_, dhidden_, logits_, dlogits_, sums_, loss_;
};

}  // namespace bench::ops
