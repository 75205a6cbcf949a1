#pragma once

#include <algorithm>
#include <cstddef>

#include "autograd/gemm.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/pack_loop.hpp"

namespace bench {

/// h = tanh(W_x x + W_h h + b), by the same means as HandwrittenLstm.
template <class T>
class HandwrittenRnn : public Contender<T> {
    using P = xtape::Pack<T>;
    using View = xtape::MatrixView<T>;
    using ConstView = xtape::MatrixView<const T>;

public:
    explicit HandwrittenRnn(const Problem<T>& problem)
        : p_(problem),
          dz_(steps() * batch() * hidden()),
          dh_(batch() * hidden()),
          packed_(xtape::packed_size<T>(hidden(), hidden())) {
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

    // Pre-activations become outputs in place: (T B, H).
    View all_h() { return {out_.h.data(), steps() * batch(), hidden()}; }
    View h(std::size_t t) { return all_h().row_block(t * batch(), batch()); }
    View all_dz() { return {dz_.data(), steps() * batch(), hidden()}; }
    ConstView x() const { return {p_.x.data(), steps() * batch(), inputs()}; }
    ConstView w_x() const { return {p_.w_x.data(), hidden(), inputs()}; }
    ConstView w_h() const { return {p_.w_h.data(), hidden(), hidden()}; }

    void forward() {
        xtape::gemm(x(), w_x().transposed(), T(0), all_h());
        auto w = xtape::pack(w_h().transposed(), packed_.data());
        for (std::size_t t = 0; t < steps(); ++t) {
            if (t > 0) xtape::gemm(h(t - 1), w, T(1), h(t));
            for (std::size_t b = 0; b < batch(); ++b) {
                T* row = h(t).at(b, 0);
                const T* bias = p_.bias.data();
                for_each_pack<T>(hidden(),
                                 [&](auto load, auto store) { store(row, tanh(load(row) + load(bias))); });
            }
        }
    }

    void backward() {
        std::fill(dh_.begin(), dh_.end(), T(0));
        auto w = xtape::pack(w_h(), packed_.data());
        for (std::size_t t = steps(); t-- > 0;) {
            for (std::size_t b = 0; b < batch(); ++b) {
                std::size_t row = (t * batch() + b) * hidden();
                const T* y = out_.h.data() + row;
                const T* dy = p_.dh.data() + row;
                const T* dy_rec = dh_.data() + b * hidden();
                T* dz = dz_.data() + row;
                for_each_pack<T>(hidden(), [&](auto load, auto store) {
                    P value = load(y);
                    store(dz, (load(dy) + load(dy_rec)) * (1 - value * value));
                });
            }
            if (t > 0)
                xtape::gemm(all_dz().row_block(t * batch(), batch()), w, T(0),
                            View(dh_.data(), batch(), hidden()));
        }
        std::size_t rows = (steps() - 1) * batch();
        xtape::gemm(all_dz(), w_x(), T(0), View(out_.dx.data(), steps() * batch(), inputs()));
        xtape::gemm(all_dz().transposed(), x(), T(0), View(out_.dw_x.data(), hidden(), inputs()));
        xtape::gemm(all_dz().row_block(batch(), rows).transposed(), all_h().row_block(0, rows), T(0),
                    View(out_.dw_h.data(), hidden(), hidden()));
        sum_rows(dz_.data(), steps() * batch(), hidden(), out_.dbias.data());
    }

    const Problem<T>& p_;
    Buffer<T> dz_, dh_, packed_;
    Results<T> out_;
};

}  // namespace bench
