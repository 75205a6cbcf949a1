#pragma once

#include <algorithm>
#include <cstddef>

#include "autograd/gemm.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/pack_loop.hpp"

namespace bench {

/// f = σ(W_f x + U_f h + b_f), n = tanh(W_n x + U_n (f h) + b_n), h' = (1 - f) h + f n, by the same means as
/// HandwrittenLstm. Two products per step, as in HandwrittenGruOriginal.
template <class T>
class HandwrittenMgu : public Contender<T> {
    using P = xtape::Pack<T>;
    using View = xtape::MatrixView<T>;
    using ConstView = xtape::MatrixView<const T>;

public:
    explicit HandwrittenMgu(const Problem<T>& problem)
        : p_(problem),
          gates_(rows() * 2 * hidden()),
          gated_h_(rows() * hidden()),
          zero_(batch() * hidden()),
          dh_(batch() * hidden()),
          df_(batch() * hidden()),
          dgated_h_(batch() * hidden()),
          packed_f_(xtape::packed_size<T>(hidden(), hidden())),
          packed_n_(xtape::packed_size<T>(hidden(), hidden())) {
        out_.h.resize(rows() * hidden());
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
    std::size_t rows() const { return steps() * batch(); }

    // Rows t B + b of (T B, 2H): pre-activations, then activations f, n, then their gradients.
    View all_gates() { return {gates_.data(), rows(), 2 * hidden()}; }
    View gates(std::size_t t) { return all_gates().row_block(t * batch(), batch()); }
    View all_h() { return {out_.h.data(), rows(), hidden()}; }
    View h(std::size_t t) { return all_h().row_block(t * batch(), batch()); }
    View all_gated_h() { return {gated_h_.data(), rows(), hidden()}; }
    View gated_h(std::size_t t) { return all_gated_h().row_block(t * batch(), batch()); }
    const T* h_before(std::size_t t, std::size_t b) { return t > 0 ? h(t - 1).at(b, 0) : zero_.data(); }
    ConstView x() const { return {p_.x.data(), rows(), inputs()}; }
    ConstView w_x() const { return {p_.w_x.data(), 2 * hidden(), inputs()}; }
    ConstView u_f() const { return {p_.w_h.data(), hidden(), hidden()}; }
    ConstView u_n() const { return {p_.w_h.data() + hidden() * hidden(), hidden(), hidden()}; }

    void forward() {
        const std::size_t n = hidden();
        xtape::gemm(x(), w_x().transposed(), T(0), all_gates());
        const auto w_f = xtape::pack(u_f().transposed(), packed_f_.data());
        const auto w_n = xtape::pack(u_n().transposed(), packed_n_.data());
        const T* const bias = p_.bias.data();
        for (std::size_t t = 0; t < steps(); ++t) {
            if (t > 0) xtape::gemm(h(t - 1), w_f, T(1), gates(t).column_block(0, n));
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* fh = gated_h(t).at(b, 0);
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P f = sigmoid(load(gate) + load(bias));
                    store(gate, f);
                    store(fh, f * load(h_prev));
                });
            }
            if (t > 0) xtape::gemm(gated_h(t), w_n, T(1), gates(t).column_block(n, n));
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* h_next = h(t).at(b, 0);
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P c = tanh(load(gate + n) + load(bias + n)), before = load(h_prev);
                    store(gate + n, c);
                    store(h_next, fma(load(gate), c - before, before));
                });
            }
        }
    }

    // dh_ holds the gradient of h(t) that comes from step t + 1.
    void backward() {
        const std::size_t n = hidden();
        const auto w_f = xtape::pack(u_f(), packed_f_.data());
        const auto w_n = xtape::pack(u_n(), packed_n_.data());
        const View dh(dh_.data(), batch(), n), dgated_h(dgated_h_.data(), batch(), n);
        std::fill(dh_.begin(), dh_.end(), T(0));
        for (std::size_t t = steps(); t-- > 0;) {
            for (std::size_t b = 0; b < batch(); ++b) backward_candidate(t, b);
            xtape::gemm(gates(t).column_block(n, n), w_n, T(0), dgated_h);
            for (std::size_t b = 0; b < batch(); ++b) backward_gate(t, b);
            if (t > 0) xtape::gemm(gates(t).column_block(0, n), w_f, T(1), dh);
        }
        input_and_weight_gradients();
    }

    // n's pre-activation, and what flows into f and h by h' = h + f (n - h) alone.
    void backward_candidate(std::size_t t, std::size_t b) {
        const std::size_t n = hidden();
        T* gate = gates(t).at(b, 0);
        T* dh_row = dh_.data() + b * n;
        T* df_row = df_.data() + b * n;
        const T* dh_out = p_.dh.data() + (t * batch() + b) * n;
        const T* h_prev = h_before(t, b);
        for_each_pack<T>(n, [&](auto load, auto store) {
            P f = load(gate), c = load(gate + n), dy = load(dh_out) + load(dh_row);
            store(gate + n, dy * f * (1 - c * c));
            store(df_row, dy * (c - load(h_prev)));
            store(dh_row, dy * (1 - f));
        });
    }

    // The rest, from the gradient of f h.
    void backward_gate(std::size_t t, std::size_t b) {
        const std::size_t n = hidden();
        T* gate = gates(t).at(b, 0);
        T* dh_row = dh_.data() + b * n;
        const T* df_row = df_.data() + b * n;
        const T* dfh = dgated_h_.data() + b * n;
        const T* h_prev = h_before(t, b);
        for_each_pack<T>(n, [&](auto load, auto store) {
            P f = load(gate), d = load(dfh);
            store(gate, fma(d, load(h_prev), load(df_row)) * (f * (1 - f)));
            store(dh_row, fma(d, f, load(dh_row)));
        });
    }

    void input_and_weight_gradients() {
        const std::size_t n = hidden(), later = (steps() - 1) * batch();
        xtape::gemm(all_gates(), w_x(), T(0), View(out_.dx.data(), rows(), inputs()));
        xtape::gemm(all_gates().transposed(), x(), T(0), View(out_.dw_x.data(), 2 * n, inputs()));
        sum_rows(gates_.data(), rows(), 2 * n, out_.dbias.data());
        const View dgates = all_gates().row_block(batch(), later), du(out_.dw_h.data(), 2 * n, n);
        xtape::gemm(dgates.column_block(0, n).transposed(), all_h().row_block(0, later), T(0),
                    du.row_block(0, n));
        xtape::gemm(dgates.column_block(n, n).transposed(), all_gated_h().row_block(batch(), later), T(0),
                    du.row_block(n, n));
    }

    const Problem<T>& p_;
    Buffer<T> gates_, gated_h_, zero_, dh_, df_, dgated_h_, packed_f_, packed_n_;
    Results<T> out_;
};

}  // namespace bench
