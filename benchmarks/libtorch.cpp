#include "benchmarks/contender.hpp"
#include "benchmarks/lengths.hpp"
#include "benchmarks/streaming.hpp"

#ifdef XTAPE_BENCH_LIBTORCH
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>

#include <torch/torch.h>
#include <torch/version.h>
#endif

namespace bench {

#ifdef XTAPE_BENCH_LIBTORCH
namespace {

std::int64_t dim(std::size_t size) { return static_cast<std::int64_t>(size); }

template <class T>
torch::Tensor tensor(const Buffer<T>& data, std::vector<std::int64_t> shape) {
    auto type = std::is_same_v<T, float> ? torch::kFloat : torch::kDouble;
    return torch::from_blob(const_cast<T*>(data.data()), shape, type).clone();
}

template <class T>
Buffer<T> buffer(const torch::Tensor& t) {
    torch::Tensor dense = t.detach().contiguous();
    return Buffer<T>(dense.data_ptr<T>(), dense.data_ptr<T>() + dense.numel());
}

template <class T>
torch::Tensor weight_x(const Problem<T>& p) {
    return tensor(p.w_x, {dim(gate_count(p.cell) * p.size.hidden), dim(p.size.inputs)});
}
template <class T>
torch::Tensor weight_h(const Problem<T>& p) {
    return tensor(p.w_h, {dim(gate_count(p.cell) * p.size.hidden), dim(p.size.hidden)});
}
template <class T>
torch::Tensor bias(const Problem<T>& p) {
    return tensor(p.bias, {dim(p.bias.size())});
}
/// PyTorch's modules have two biases, and the second is only needed by the GRU, for n.
template <class T>
torch::Tensor second_bias(const Problem<T>& p) {
    torch::Tensor second = torch::zeros_like(bias(p));
    const auto h = dim(p.size.hidden);
    if (p.cell == Cell::gru_reset_after) second.slice(0, 2 * h, 3 * h).copy_(tensor(p.bias_n, {h}));
    return second;
}
/// PyTorch's gates of the LSTM are i, f, g, o: o and g change places, in either direction.
torch::Tensor in_torch_order(Cell cell, const torch::Tensor& rows) {
    if (cell != Cell::lstm) return rows;
    const auto block = rows.chunk(4, 0);
    return torch::cat({block[0], block[1], block[3], block[2]}, 0);
}

/// What both contenders share: leaves in, gradients out. `forward` is theirs.
template <class T>
class LibTorch : public Contender<T> {
public:
    void run() override {
        for (torch::Tensor& leaf : leaves_) leaf.mutable_grad().reset();
        h_ = forward();
        h_.backward(dh_);
    }

protected:
    explicit LibTorch(const Problem<T>& problem) : p_(problem) {
        torch::set_num_threads(1);
        const auto s = problem.size;
        x_ = tensor(problem.x, {dim(s.steps), dim(s.batch), dim(s.inputs)}).requires_grad_();
        dh_ = tensor(problem.dh, {dim(s.steps), dim(s.batch), dim(s.hidden)});
    }

    virtual torch::Tensor forward() = 0;

    std::int64_t hidden() const { return dim(p_.size.hidden); }

    const Problem<T>& p_;
    torch::Tensor x_, dh_, h_;
    std::vector<torch::Tensor> leaves_;
};

/// torch::nn::RNN, LSTM or GRU.
template <class T>
class LibTorchModule : public LibTorch<T> {
    using Base = LibTorch<T>;

public:
    explicit LibTorchModule(const Problem<T>& problem) : Base(problem) {
        const auto d = dim(problem.size.inputs), h = this->hidden();
        if (problem.cell == Cell::rnn)
            rnn_ = torch::nn::RNN(d, h);
        else if (problem.cell == Cell::lstm)
            lstm_ = torch::nn::LSTM(d, h);
        else
            gru_ = torch::nn::GRU(d, h);
        auto keep = [this](auto& module) {
            if (!module) return;
            module->to(this->x_.scalar_type());
            auto p = module->named_parameters();
            for (const char* name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"})
                this->leaves_.push_back(p[name]);
        };
        keep(rnn_);
        keep(lstm_);
        keep(gru_);
        torch::NoGradGuard no_gradient;
        const std::array<torch::Tensor, 4> values = {weight_x(problem), weight_h(problem), bias(problem),
                                                     second_bias(problem)};
        for (std::size_t i = 0; i < 4; ++i) this->leaves_[i].copy_(in_torch_order(problem.cell, values[i]));
        this->leaves_.push_back(this->x_);
    }

    Author author() const override { return Author::libtorch_module; }

    Results<T> results() override {
        auto gradient = [this](std::size_t i) {
            return in_torch_order(this->p_.cell, this->leaves_[i].grad());
        };
        Results<T> result{buffer<T>(this->h_),    buffer<T>(this->x_.grad()), buffer<T>(gradient(0)),
                          buffer<T>(gradient(1)), buffer<T>(gradient(2)),     {}};
        if (this->p_.cell == Cell::gru_reset_after)
            result.dbias_n = buffer<T>(gradient(3).slice(0, 2 * this->hidden(), 3 * this->hidden()));
        return result;
    }

private:
    torch::Tensor forward() override {
        if (rnn_) return std::get<0>(rnn_->forward(this->x_));
        if (lstm_) return std::get<0>(lstm_->forward(this->x_));
        return std::get<0>(gru_->forward(this->x_));
    }

    torch::nn::RNN rnn_{nullptr};
    torch::nn::LSTM lstm_{nullptr};
    torch::nn::GRU gru_{nullptr};
};

/// The cell as a user of libtorch writes it with tensor operations.
template <class T>
class LibTorchCell : public LibTorch<T> {
public:
    explicit LibTorchCell(const Problem<T>& problem) : LibTorch<T>(problem) {
        this->leaves_ = {weight_x(problem), weight_h(problem), bias(problem), this->x_};
        if (problem.cell == Cell::gru_reset_after)
            this->leaves_.push_back(tensor(problem.bias_n, {this->hidden()}));
        for (torch::Tensor& leaf : this->leaves_) leaf.requires_grad_();
    }

    Author author() const override { return Author::libtorch_cell; }

    Results<T> results() override {
        auto gradient = [this](std::size_t i) { return buffer<T>(this->leaves_[i].grad()); };
        Results<T> result{buffer<T>(this->h_), gradient(3), gradient(0), gradient(1), gradient(2), {}};
        if (this->leaves_.size() > 4) result.dbias_n = gradient(4);
        return result;
    }

private:
    torch::Tensor forward() override {
        const torch::Tensor &w_x = this->leaves_[0], &w_h = this->leaves_[1], &b = this->leaves_[2];
        const std::int64_t n = this->hidden();
        torch::Tensor h = torch::zeros({dim(this->p_.size.batch), n},
                                       this->x_.options().requires_grad(false)),
                      c = h;
        std::vector<torch::Tensor> outputs;
        for (const torch::Tensor& x : this->x_.unbind(0)) {
            torch::Tensor from_x = torch::linear(x, w_x, b);
            if (this->p_.cell == Cell::rnn) {
                h = torch::tanh(from_x + torch::linear(h, w_h));
            } else if (this->p_.cell == Cell::lstm) {
                auto gate = (from_x + torch::linear(h, w_h)).chunk(4, 1);
                c = torch::sigmoid(gate[1]) * c + torch::sigmoid(gate[0]) * torch::tanh(gate[3]);
                h = torch::sigmoid(gate[2]) * torch::tanh(c);
            } else if (this->p_.cell == Cell::gru) {
                auto w = w_h.chunk(3, 0);
                auto from = from_x.chunk(3, 1);
                auto r = torch::sigmoid(from[0] + torch::linear(h, w[0]));
                auto z = torch::sigmoid(from[1] + torch::linear(h, w[1]));
                auto candidate = torch::tanh(from[2] + torch::linear(r * h, w[2]));
                h = (1 - z) * candidate + z * h;
            } else if (this->p_.cell == Cell::mgu) {
                auto w = w_h.chunk(2, 0);
                auto from = from_x.chunk(2, 1);
                auto f = torch::sigmoid(from[0] + torch::linear(h, w[0]));
                auto candidate = torch::tanh(from[1] + torch::linear(f * h, w[1]));
                h = (1 - f) * h + f * candidate;
            } else {
                auto from = from_x.chunk(3, 1), from_h = torch::linear(h, w_h).chunk(3, 1);
                auto r = torch::sigmoid(from[0] + from_h[0]), z = torch::sigmoid(from[1] + from_h[1]);
                auto candidate = torch::tanh(from[2] + r * (from_h[2] + this->leaves_[4]));
                h = (1 - z) * candidate + z * h;
            }
            outputs.push_back(h);
        }
        return torch::stack(outputs);
    }
};

/// torch::nn::LSTMCell or GRUCell, one step at a time without gradients.
template <class T>
class LibTorchStreamer : public Streamer<T> {
public:
    explicit LibTorchStreamer(const Problem<T>& problem) : p_(problem) {
        torch::set_num_threads(1);
        const torch::NoGradGuard no_gradient;
        const auto fill = [&](auto& module) {
            module->to(type());
            auto p = module->named_parameters();
            p["weight_ih"].copy_(in_torch_order(problem.cell, weight_x(problem)));
            p["weight_hh"].copy_(in_torch_order(problem.cell, weight_h(problem)));
            p["bias_ih"].copy_(in_torch_order(problem.cell, bias(problem)));
            p["bias_hh"].copy_(in_torch_order(problem.cell, second_bias(problem)));
        };
        const auto d = dim(problem.size.inputs), h = dim(problem.size.hidden);
        if (problem.cell == Cell::lstm)
            fill(lstm_ = torch::nn::LSTMCell(d, h));
        else
            fill(gru_ = torch::nn::GRUCell(d, h));
        restart();
    }

    std::string name() const override { return "libtorch cell module"; }

    void restart() override {
        h_ = torch::zeros({1, dim(p_.size.hidden)}, type());
        c_ = h_;
    }

    void step(const T* x, T* h) override {
        const torch::NoGradGuard no_gradient;
        const torch::Tensor in = torch::from_blob(const_cast<T*>(x), {1, dim(p_.size.inputs)}, type());
        if (lstm_)
            std::tie(h_, c_) = lstm_->forward(in, std::make_tuple(h_, c_));
        else
            h_ = gru_->forward(in, h_);
        std::copy_n(h_.data_ptr<T>(), p_.size.hidden, h);
    }

private:
    static torch::ScalarType type() { return std::is_same_v<T, float> ? torch::kFloat : torch::kDouble; }

    const Problem<T>& p_;
    torch::nn::LSTMCell lstm_{nullptr};
    torch::nn::GRUCell gru_{nullptr};
    torch::Tensor h_, c_;
};

}  // namespace

template <class T>
Streamers<T> libtorch_streamers(const Problem<T>& problem) {
    Streamers<T> result;
    if (problem.cell == Cell::lstm || problem.cell == Cell::gru_reset_after)
        result.push_back(std::make_unique<LibTorchStreamer<T>>(problem));
    return result;
}

template <class T>
Contenders<T> libtorch_contenders(const Problem<T>& problem) {
    Contenders<T> result;
    // PyTorch has no module for the original GRU and for the minimal gated unit.
    if (problem.cell != Cell::gru && problem.cell != Cell::mgu)
        result.push_back(std::make_unique<LibTorchModule<T>>(problem));
    result.push_back(std::make_unique<LibTorchCell<T>>(problem));
    return result;
}

std::string libtorch_version() { return std::string("libtorch ") + TORCH_VERSION; }

std::vector<Work> libtorch_lengths(const LengthsProblem& problem) {
    struct Run {
        torch::nn::LSTM lstm{nullptr};
        torch::Tensor x, seed, lengths;
        std::vector<torch::Tensor> parameters;

        void back(const torch::Tensor& outputs) {
            for (torch::Tensor& p : parameters) p.mutable_grad().reset();
            outputs.backward(seed);
        }
    };
    const Size s = problem.problem.size;
    const auto run = std::make_shared<Run>();
    run->lstm = torch::nn::LSTM(dim(s.inputs), dim(s.hidden));
    run->x = tensor(problem.problem.x, {dim(s.steps), dim(s.batch), dim(s.inputs)});
    run->seed = tensor(problem.seed, {dim(s.steps), dim(s.batch), dim(s.hidden)});
    run->parameters = run->lstm->parameters();
    std::vector<std::int64_t> lengths(problem.lengths.begin(), problem.lengths.end());
    run->lengths = torch::tensor(lengths);
    return {[run] { run->back(std::get<0>(run->lstm->forward(run->x))); },
            [run] {
                namespace rnn = torch::nn::utils::rnn;
                const auto packed = rnn::pack_padded_sequence(run->x, run->lengths, false, false);
                const auto outputs = std::get<0>(run->lstm->forward_with_packed_input(packed));
                run->back(std::get<0>(rnn::pad_packed_sequence(outputs)));
            }};
}

#else
template <class T>
Contenders<T> libtorch_contenders(const Problem<T>&) {
    return {};
}

template <class T>
Streamers<T> libtorch_streamers(const Problem<T>&) {
    return {};
}

std::string libtorch_version() { return ""; }

std::vector<Work> libtorch_lengths(const LengthsProblem&) { return {}; }
#endif

template Contenders<float> libtorch_contenders(const Problem<float>&);
template Contenders<double> libtorch_contenders(const Problem<double>&);
template Streamers<float> libtorch_streamers(const Problem<float>&);
template Streamers<double> libtorch_streamers(const Problem<double>&);

}  // namespace bench
