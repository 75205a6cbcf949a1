#include <algorithm>
#include <cstddef>

#include "autograd/gemm.hpp"
#include "benchmarks/pack_loop.hpp"
#include "benchmarks/streaming.hpp"

#include <cblas.h>

namespace bench {
namespace {

void add_product(int rows, int cols, const float* a, const float* x, float* y) {
    cblas_sgemv(CblasRowMajor, CblasNoTrans, rows, cols, 1, a, cols, x, 1, 1, y, 1);
}
void add_product(int rows, int cols, const double* a, const double* x, double* y) {
    cblas_dgemv(CblasRowMajor, CblasNoTrans, rows, cols, 1, a, cols, x, 1, 1, y, 1);
}

/// What both layers have in common: y += W x, by BLAS or by a weight that was packed once.
template <class T>
class HandwrittenStreamer : public Streamer<T> {
public:
    HandwrittenStreamer(const Problem<T>& problem, bool packs)
        : p_(problem),
          packs_(packs),
          rows_(gate_count(problem.cell) * problem.size.hidden),
          h_(problem.size.hidden),
          packed_memory_x_(xtape::packed_size<T>(problem.size.inputs, rows_)),
          packed_memory_h_(xtape::packed_size<T>(problem.size.hidden, rows_)),
          packed_x_(pack(problem.w_x, problem.size.inputs, packed_memory_x_)),
          packed_h_(pack(problem.w_h, problem.size.hidden, packed_memory_h_)) {}

    std::string name() const override { return packs_ ? "by hand, packed" : "by hand, gemv"; }
    void restart() override { std::fill(h_.begin(), h_.end(), T(0)); }

protected:
    std::size_t hidden() const { return p_.size.hidden; }
    void add_from_x(const T* x, Buffer<T>& y) { add(p_.w_x, packed_x_, p_.size.inputs, x, y); }
    void add_from_h(Buffer<T>& y) { add(p_.w_h, packed_h_, hidden(), h_.data(), y); }

    const Problem<T>& p_;
    bool packs_;
    std::size_t rows_;
    Buffer<T> h_;

private:
    xtape::PackedMatrix<T> pack(const Buffer<T>& weight, std::size_t cols, Buffer<T>& memory) {
        return xtape::pack(xtape::MatrixView<const T>(weight.data(), rows_, cols).transposed(),
                           memory.data());
    }
    void add(const Buffer<T>& weight, const xtape::PackedMatrix<T>& packed, std::size_t cols, const T* x,
             Buffer<T>& y) {
        if (packs_)
            xtape::gemm(xtape::MatrixView<const T>(x, 1, cols), packed, T(1),
                        xtape::MatrixView<T>(y.data(), 1, rows_));
        else
            add_product(static_cast<int>(rows_), static_cast<int>(cols), weight.data(), x, y.data());
    }

    Buffer<T> packed_memory_x_, packed_memory_h_;
    xtape::PackedMatrix<T> packed_x_, packed_h_;
};

template <class T>
class LstmStreamer : public HandwrittenStreamer<T> {
    using Base = HandwrittenStreamer<T>;
    using P = xtape::Pack<T>;

public:
    LstmStreamer(const Problem<T>& problem, bool packs)
        : Base(problem, packs), c_(problem.size.hidden), gates_(problem.bias.size()) {}

    void restart() override {
        Base::restart();
        std::fill(c_.begin(), c_.end(), T(0));
    }

    void step(const T* x, T* h) override {
        const std::size_t n = this->hidden();
        gates_ = this->p_.bias;
        this->add_from_x(x, gates_);
        this->add_from_h(gates_);
        const T* gate = gates_.data();
        for_each_pack<T>(n, [&](auto load, auto store) {
            const P c =
                fma(sigmoid(load(gate + n)), load(c_.data()), sigmoid(load(gate)) * tanh(load(gate + 3 * n)));
            store(c_.data(), c);
            store(this->h_.data(), sigmoid(load(gate + 2 * n)) * tanh(c));
        });
        std::copy(this->h_.begin(), this->h_.end(), h);
    }

private:
    Buffer<T> c_, gates_;
};

template <class T>
class GruStreamer : public HandwrittenStreamer<T> {
    using Base = HandwrittenStreamer<T>;
    using P = xtape::Pack<T>;

public:
    GruStreamer(const Problem<T>& problem, bool packs)
        : Base(problem, packs), from_x_(problem.bias.size()), from_h_(problem.bias.size()) {}

    void step(const T* x, T* h) override {
        const std::size_t n = this->hidden();
        from_x_ = this->p_.bias;
        std::fill_n(from_h_.data(), 2 * n, T(0));
        std::copy(this->p_.bias_n.begin(), this->p_.bias_n.end(), from_h_.data() + 2 * n);
        this->add_from_x(x, from_x_);
        this->add_from_h(from_h_);
        const T *w = from_x_.data(), *u = from_h_.data();
        for_each_pack<T>(n, [&](auto load, auto store) {
            const P r = sigmoid(load(w) + load(u)), z = sigmoid(load(w + n) + load(u + n));
            const P c = tanh(fma(r, load(u + 2 * n), load(w + 2 * n)));
            store(this->h_.data(), fma(z, load(this->h_.data()) - c, c));
        });
        std::copy(this->h_.begin(), this->h_.end(), h);
    }

private:
    Buffer<T> from_x_, from_h_;
};

}  // namespace

template <class T>
Streamers<T> handwritten_streamers(const Problem<T>& problem) {
    Streamers<T> result;
    for (const bool packs : {true, false}) {
        if (problem.cell == Cell::lstm) result.push_back(std::make_unique<LstmStreamer<T>>(problem, packs));
        if (problem.cell == Cell::gru_reset_after)
            result.push_back(std::make_unique<GruStreamer<T>>(problem, packs));
    }
    return result;
}

template Streamers<float> handwritten_streamers(const Problem<float>&);
template Streamers<double> handwritten_streamers(const Problem<double>&);

}  // namespace bench
