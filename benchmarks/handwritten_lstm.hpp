#pragma once

#include <algorithm>
#include <cstddef>

#include "autograd/gemm.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/pack_loop.hpp"

namespace bench {

/// LSTM by backpropagation through time as an expert writes it for one machine: one product for all input
/// projections, the recurrent weight packed once in each direction, one fused loop per step, one product per
/// weight gradient, all memory allocated beforehand.
template <class T>
class HandwrittenLstm : public Contender<T> {
    using P = xtape::Pack<T>;
    using View = xtape::MatrixView<T>;
    using ConstView = xtape::MatrixView<const T>;

public:
    explicit HandwrittenLstm(const Problem<T>& problem)
        : p_(problem),
          gates_(steps() * batch() * 4 * hidden()),
          c_((steps() + 1) * batch() * hidden()),
          tanh_c_(steps() * batch() * hidden()),
          dh_(batch() * hidden()),
          dc_(batch() * hidden()),
          packed_(std::max(xtape::packed_size<T>(hidden(), 4 * hidden()),
                           xtape::packed_size<T>(4 * hidden(), hidden()))) {
        out_.h.resize(steps() * batch() * hidden());
        out_.dx.resize(p_.x.size());
        out_.dw_x.resize(p_.w_x.size());
        out_.dw_h.resize(p_.w_h.size());
        out_.dbias.resize(p_.bias.size());
    }

    Author author() const override { return Author::hand; }
    Results<T> results() override { return out_; }

    void run() override {
        forward();
        backward();
    }

private:
    std::size_t steps() const { return p_.size.steps; }
    std::size_t batch() const { return p_.size.batch; }
    std::size_t inputs() const { return p_.size.inputs; }
    std::size_t hidden() const { return p_.size.hidden; }

    // Pre-activations, then activations, then (backward) gradients of pre-activations: (T B, 4H).
    View all_gates() { return {gates_.data(), steps() * batch(), 4 * hidden()}; }
    View gates(std::size_t t) { return all_gates().row_block(t * batch(), batch()); }
    View h(std::size_t t) {
        return View(out_.h.data(), steps() * batch(), hidden()).row_block(t * batch(), batch());
    }
    ConstView x() const { return {p_.x.data(), steps() * batch(), inputs()}; }
    ConstView w_x() const { return {p_.w_x.data(), 4 * hidden(), inputs()}; }
    ConstView w_h() const { return {p_.w_h.data(), 4 * hidden(), hidden()}; }

    void forward() {
        xtape::gemm(x(), w_x().transposed(), T(0), all_gates());
        auto w = xtape::pack(w_h().transposed(), packed_.data());
        for (std::size_t t = 0; t < steps(); ++t) {
            if (t > 0) xtape::gemm(h(t - 1), w, T(1), gates(t));
            for (std::size_t b = 0; b < batch(); ++b) forward_row(t, b);
        }
    }

    // c = f c_prev + i g, h = o tanh(c); c_[t] is the state before step t.
    void forward_row(std::size_t t, std::size_t b) {
        std::size_t n = hidden(), row = t * batch() + b;
        T* gate = gates_.data() + row * 4 * n;
        const T* bias = p_.bias.data();
        const T* c_prev = c_.data() + row * n;
        T* c_next = c_.data() + (row + batch()) * n;
        T* tanh_c = tanh_c_.data() + row * n;
        T* h_next = out_.h.data() + row * n;
        for_each_pack<T>(n, [&](auto load, auto store) {
            P i = sigmoid(load(gate) + load(bias)), f = sigmoid(load(gate + n) + load(bias + n));
            P o = sigmoid(load(gate + 2 * n) + load(bias + 2 * n)),
              g = tanh(load(gate + 3 * n) + load(bias + 3 * n));
            P c = fma(f, load(c_prev), i * g), tc = tanh(c);
            store(gate, i);
            store(gate + n, f);
            store(gate + 2 * n, o);
            store(gate + 3 * n, g);
            store(c_next, c);
            store(tanh_c, tc);
            store(h_next, o * tc);
        });
    }

    void backward() {
        std::fill(dh_.begin(), dh_.end(), T(0));
        std::fill(dc_.begin(), dc_.end(), T(0));
        auto w = xtape::pack(w_h(), packed_.data());
        for (std::size_t t = steps(); t-- > 0;) {
            for (std::size_t b = 0; b < batch(); ++b) backward_row(t, b);
            if (t > 0) xtape::gemm(gates(t), w, T(0), View(dh_.data(), batch(), hidden()));
        }
        std::size_t rows = (steps() - 1) * batch();
        xtape::gemm(all_gates(), w_x(), T(0), View(out_.dx.data(), steps() * batch(), inputs()));
        xtape::gemm(all_gates().transposed(), x(), T(0), View(out_.dw_x.data(), 4 * hidden(), inputs()));
        xtape::gemm(all_gates().row_block(batch(), rows).transposed(), View(out_.h.data(), rows, hidden()),
                    T(0), View(out_.dw_h.data(), 4 * hidden(), hidden()));
        sum_rows(gates_.data(), steps() * batch(), 4 * hidden(), out_.dbias.data());
    }

    void backward_row(std::size_t t, std::size_t b) {
        std::size_t n = hidden(), row = t * batch() + b;
        T* gate = gates_.data() + row * 4 * n;
        const T* c_prev = c_.data() + row * n;
        const T* tanh_c = tanh_c_.data() + row * n;
        const T* dh_out = p_.dh.data() + row * n;
        const T* dh_rec = dh_.data() + b * n;
        T* dc_row = dc_.data() + b * n;
        for_each_pack<T>(n, [&](auto load, auto store) {
            P i = load(gate), f = load(gate + n), o = load(gate + 2 * n), g = load(gate + 3 * n);
            P tc = load(tanh_c), dh = load(dh_out) + load(dh_rec);
            P dc = load(dc_row) + dh * o * (1 - tc * tc);
            store(gate, dc * g * (i * (1 - i)));
            store(gate + n, dc * load(c_prev) * (f * (1 - f)));
            store(gate + 2 * n, dh * tc * (o * (1 - o)));
            store(gate + 3 * n, dc * i * (1 - g * g));
            store(dc_row, dc * f);
        });
    }

    const Problem<T>& p_;
    Buffer<T> gates_, c_, tanh_c_, dh_, dc_, packed_;
    Results<T> out_;
};

}  // namespace bench
