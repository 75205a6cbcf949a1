#pragma once

#include <algorithm>
#include <cstddef>

#include "autograd/gemm.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/pack_loop.hpp"

namespace bench {

/// What both forms of the GRU have in common: r, z = σ(W x + U h + b), h' = (1 - z) n + z h. By the same means as
/// HandwrittenLstm.
template <class T>
class HandwrittenGru : public Contender<T> {
protected:
    using P = xtape::Pack<T>;
    using View = xtape::MatrixView<T>;
    using ConstView = xtape::MatrixView<const T>;

    explicit HandwrittenGru(const Problem<T>& problem)
        : p_(problem),
          gates_(steps() * batch() * 3 * hidden()),
          zero_(batch() * hidden()),
          dh_(batch() * hidden()) {
        out_.h.resize(steps() * batch() * hidden());
        out_.dx.resize(p_.x.size());
        out_.dw_x.resize(p_.w_x.size());
        out_.dw_h.resize(p_.w_h.size());
        out_.dbias.resize(p_.bias.size());
        out_.dbias_n.resize(p_.bias_n.size());
    }

public:
    Author author() const override { return Author::hand; }
    Results<T> results() override { return out_; }

protected:
    std::size_t steps() const { return p_.size.steps; }
    std::size_t batch() const { return p_.size.batch; }
    std::size_t inputs() const { return p_.size.inputs; }
    std::size_t hidden() const { return p_.size.hidden; }
    std::size_t all_rows() const { return steps() * batch(); }

    // Rows t B + b of (T B, 3H): pre-activations, then activations r, z, n, then their gradients.
    View all_gates() { return {gates_.data(), all_rows(), 3 * hidden()}; }
    View gates(std::size_t t) { return all_gates().row_block(t * batch(), batch()); }
    View all_h() { return {out_.h.data(), all_rows(), hidden()}; }
    View h(std::size_t t) { return all_h().row_block(t * batch(), batch()); }
    const T* h_before(std::size_t t, std::size_t b) { return t > 0 ? h(t - 1).at(b, 0) : zero_.data(); }
    ConstView x() const { return {p_.x.data(), all_rows(), inputs()}; }
    ConstView w_x() const { return {p_.w_x.data(), 3 * hidden(), inputs()}; }
    ConstView w_h() const { return {p_.w_h.data(), 3 * hidden(), hidden()}; }

    void input_gradients() {
        xtape::gemm(all_gates(), w_x(), T(0), View(out_.dx.data(), all_rows(), inputs()));
        xtape::gemm(all_gates().transposed(), x(), T(0), View(out_.dw_x.data(), 3 * hidden(), inputs()));
        sum_rows(gates_.data(), all_rows(), 3 * hidden(), out_.dbias.data());
    }

    const Problem<T>& p_;
    Buffer<T> gates_, zero_, dh_;
    Results<T> out_;
};

/// n = tanh(W_n x + U_n (r h) + b_n): two products per step.
template <class T>
class HandwrittenGruOriginal : public HandwrittenGru<T> {
    using Base = HandwrittenGru<T>;
    using typename Base::P, typename Base::View;

public:
    explicit HandwrittenGruOriginal(const Problem<T>& problem)
        : Base(problem),
          reset_h_(this->all_rows() * this->hidden()),
          packed_rz_(std::max(xtape::packed_size<T>(this->hidden(), 2 * this->hidden()),
                              xtape::packed_size<T>(2 * this->hidden(), this->hidden()))),
          packed_n_(xtape::packed_size<T>(this->hidden(), this->hidden())),
          dreset_h_(this->batch() * this->hidden()) {}

    void run() override {
        forward();
        backward();
    }

private:
    using Base::batch, Base::hidden, Base::steps, Base::gates, Base::h, Base::h_before, Base::w_h;

    View reset_h(std::size_t t) { return {reset_h_.data() + t * batch() * hidden(), batch(), hidden()}; }

    void forward() {
        std::size_t n = hidden();
        xtape::gemm(this->x(), this->w_x().transposed(), T(0), this->all_gates());
        auto w_rz = xtape::pack(w_h().row_block(0, 2 * n).transposed(), packed_rz_.data());
        auto w_n = xtape::pack(w_h().row_block(2 * n, n).transposed(), packed_n_.data());
        for (std::size_t t = 0; t < steps(); ++t) {
            if (t > 0) xtape::gemm(h(t - 1), w_rz, T(1), gates(t).column_block(0, 2 * n));
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* rh = reset_h(t).at(b, 0);
                const T* bias = this->p_.bias.data();
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P r = sigmoid(load(gate) + load(bias));
                    store(gate, r);
                    store(gate + n, sigmoid(load(gate + n) + load(bias + n)));
                    store(rh, r * load(h_prev));
                });
            }
            if (t > 0) xtape::gemm(reset_h(t), w_n, T(1), gates(t).column_block(2 * n, n));
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* h_next = h(t).at(b, 0);
                const T* bias = this->p_.bias.data();
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P z = load(gate + n), c = tanh(load(gate + 2 * n) + load(bias + 2 * n));
                    store(gate + 2 * n, c);
                    store(h_next, fma(z, load(h_prev) - c, c));
                });
            }
        }
    }

    // dh_ holds the gradient of h(t) that comes from step t + 1.
    void backward() {
        std::size_t n = hidden();
        auto w_rz = xtape::pack(w_h().row_block(0, 2 * n), packed_rz_.data());
        auto w_n = xtape::pack(w_h().row_block(2 * n, n), packed_n_.data());
        View dh(this->dh_.data(), batch(), n), dreset_h(dreset_h_.data(), batch(), n);
        std::fill(this->dh_.begin(), this->dh_.end(), T(0));
        for (std::size_t t = steps(); t-- > 0;) {
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* dh_row = dh.at(b, 0);
                const T* dh_out = this->p_.dh.data() + (t * batch() + b) * n;
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P z = load(gate + n), c = load(gate + 2 * n), dy = load(dh_out) + load(dh_row);
                    store(gate + n, dy * (load(h_prev) - c) * (z * (1 - z)));
                    store(gate + 2 * n, dy * (1 - z) * (1 - c * c));
                    store(dh_row, dy * z);
                });
            }
            xtape::gemm(gates(t).column_block(2 * n, n), w_n, T(0), dreset_h);
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* dh_row = dh.at(b, 0);
                const T* drh = dreset_h.at(b, 0);
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P r = load(gate), d = load(drh);
                    store(gate, d * load(h_prev) * (r * (1 - r)));
                    store(dh_row, fma(d, r, load(dh_row)));
                });
            }
            if (t > 0) xtape::gemm(gates(t).column_block(0, 2 * n), w_rz, T(1), dh);
        }
        this->input_gradients();
        std::size_t rows = (steps() - 1) * batch();
        View later = this->all_gates().row_block(batch(), rows), dw_h(this->out_.dw_h.data(), 3 * n, n);
        xtape::gemm(later.column_block(0, 2 * n).transposed(), this->all_h().row_block(0, rows), T(0),
                    dw_h.row_block(0, 2 * n));
        xtape::gemm(later.column_block(2 * n, n).transposed(), View(reset_h(1).data, rows, n), T(0),
                    dw_h.row_block(2 * n, n));
    }

    Buffer<T> reset_h_;  // r h_prev, (T B, H)
    Buffer<T> packed_rz_, packed_n_, dreset_h_;
};

/// n = tanh(W_n x + b_n + r (U_n h + c_n)): one product per step.
template <class T>
class HandwrittenGruResetAfter : public HandwrittenGru<T> {
    using Base = HandwrittenGru<T>;
    using typename Base::P, typename Base::View;

public:
    explicit HandwrittenGruResetAfter(const Problem<T>& problem)
        : Base(problem),
          from_h_(this->batch() * 3 * this->hidden()),
          s_(this->all_rows() * this->hidden()),
          dfrom_h_(this->all_rows() * 3 * this->hidden()),
          packed_(std::max(xtape::packed_size<T>(this->hidden(), 3 * this->hidden()),
                           xtape::packed_size<T>(3 * this->hidden(), this->hidden()))) {}

    void run() override {
        forward();
        backward();
    }

private:
    using Base::batch, Base::hidden, Base::steps, Base::gates, Base::h, Base::h_before, Base::w_h;

    void forward() {
        std::size_t n = hidden();
        xtape::gemm(this->x(), this->w_x().transposed(), T(0), this->all_gates());
        auto w = xtape::pack(w_h().transposed(), packed_.data());
        View from_h(from_h_.data(), batch(), 3 * n);
        std::fill(from_h_.begin(), from_h_.end(), T(0));
        for (std::size_t t = 0; t < steps(); ++t) {
            if (t > 0) xtape::gemm(h(t - 1), w, T(0), from_h);
            for (std::size_t b = 0; b < batch(); ++b) {
                T* gate = gates(t).at(b, 0);
                T* h_next = h(t).at(b, 0);
                T* s_row = s_.data() + (t * batch() + b) * n;
                const T* u = from_h.at(b, 0);
                const T* bias = this->p_.bias.data();
                const T* bias_n = this->p_.bias_n.data();
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P r = sigmoid(load(gate) + load(u) + load(bias));
                    P z = sigmoid(load(gate + n) + load(u + n) + load(bias + n));
                    P s = load(u + 2 * n) + load(bias_n);
                    P c = tanh(fma(r, s, load(gate + 2 * n) + load(bias + 2 * n)));
                    store(gate, r);
                    store(gate + n, z);
                    store(gate + 2 * n, c);
                    store(s_row, s);
                    store(h_next, fma(z, load(h_prev) - c, c));
                });
            }
        }
    }

    void backward() {
        std::size_t n = hidden();
        auto w = xtape::pack(w_h(), packed_.data());
        View dh(this->dh_.data(), batch(), n), dfrom_h(dfrom_h_.data(), this->all_rows(), 3 * n);
        std::fill(this->dh_.begin(), this->dh_.end(), T(0));
        for (std::size_t t = steps(); t-- > 0;) {
            for (std::size_t b = 0; b < batch(); ++b) {
                std::size_t row = t * batch() + b;
                T* gate = gates(t).at(b, 0);
                T* du = dfrom_h.at(row, 0);
                T* dh_row = dh.at(b, 0);
                const T* s_row = s_.data() + row * n;
                const T* dh_out = this->p_.dh.data() + row * n;
                const T* h_prev = h_before(t, b);
                for_each_pack<T>(n, [&](auto load, auto store) {
                    P r = load(gate), z = load(gate + n), c = load(gate + 2 * n),
                      dy = load(dh_out) + load(dh_row);
                    P dz = dy * (load(h_prev) - c) * (z * (1 - z)), dc = dy * (1 - z) * (1 - c * c);
                    P dr = dc * load(s_row) * (r * (1 - r));
                    store(gate, dr);
                    store(gate + n, dz);
                    store(gate + 2 * n, dc);
                    store(du, dr);
                    store(du + n, dz);
                    store(du + 2 * n, dc * r);
                    store(dh_row, dy * z);
                });
            }
            if (t > 0) xtape::gemm(dfrom_h.row_block(t * batch(), batch()), w, T(1), dh);
        }
        this->input_gradients();
        std::size_t rows = (steps() - 1) * batch();
        xtape::gemm(dfrom_h.row_block(batch(), rows).transposed(), this->all_h().row_block(0, rows), T(0),
                    View(this->out_.dw_h.data(), 3 * n, n));
        for_each_pack<T>(n, [&](auto load, auto store) {
            P sum(0);
            for (std::size_t row = 0; row < this->all_rows(); ++row) sum += load(dfrom_h.at(row, 2 * n));
            store(this->out_.dbias_n.data(), sum);
        });
    }

    Buffer<T> from_h_;   // U h of one step, (B, 3H)
    Buffer<T> s_;        // U_n h + c_n, (T B, H)
    Buffer<T> dfrom_h_;  // gradient of U h, (T B, 3H)
    Buffer<T> packed_;
};

}  // namespace bench
