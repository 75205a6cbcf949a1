#include "benchmarks/ops/contender.hpp"

#ifdef XTAPE_BENCH_LIBTORCH
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <torch/torch.h>
#include <torch/version.h>

#include "benchmarks/ops/formulas.hpp"
#endif

namespace bench::ops {

#ifdef XTAPE_BENCH_LIBTORCH
namespace {

using torch::Tensor;
using Sizes = std::vector<std::int64_t>;

std::int64_t dim(std::size_t size) { return static_cast<std::int64_t>(size); }

template <class T>
Tensor tensor(const Buffer<T>& data, const Sizes& shape) {
    const auto type = std::is_same_v<T, float> ? torch::kFloat : torch::kDouble;
    return torch::from_blob(const_cast<T*>(data.data()), shape, type).clone();
}

Tensor tensor(const std::vector<std::int64_t>& data) {
    return torch::from_blob(const_cast<std::int64_t*>(data.data()), {dim(data.size())}, torch::kLong).clone();
}

template <class T>
Buffer<T> buffer(const Tensor& t) {
    const Tensor dense = t.detach().contiguous();
    return Buffer<T>(dense.data_ptr<T>(), dense.data_ptr<T>() + dense.numel());
}

/// Forward and backward to the leaves. Without dy, y is a loss.
template <class T, class Forward>
class Differentiated : public Contender<T> {
public:
    Differentiated(std::vector<Tensor> leaves, Tensor dy, Forward forward)
        : leaves_(std::move(leaves)), dy_(std::move(dy)), forward_(std::move(forward)) {
        for (std::size_t k = 0; k < leaves_.size(); ++k) x_[k] = leaves_[k].requires_grad_();
    }

    void run() override {
        for (Tensor& leaf : leaves_) leaf.mutable_grad().reset();
        y_ = forward_(x_);
        y_.backward(dy_);
    }

    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{buffer<T>(y_)};
        for (const Tensor& leaf : leaves_) all.push_back(buffer<T>(leaf.grad()));
        return all;
    }

private:
    std::vector<Tensor> leaves_;
    Tensor dy_, y_;
    Forward forward_;
    std::array<Tensor, 5> x_;
};

template <class T, class Forward>
Entry<T> differentiated(std::vector<Tensor> leaves, Tensor dy, Forward forward) {
    return std::make_unique<Differentiated<T, Forward>>(std::move(leaves), std::move(dy), std::move(forward));
}

template <class T>
torch::optim::AdamOptions adam_options() {
    using A = Adam<T>;
    return torch::optim::AdamOptions(A::rate).betas({A::beta1, A::beta2}).eps(A::epsilon);
}

template <class T>
class TorchAdam : public Contender<T> {
public:
    explicit TorchAdam(const Adam<T>& work)
        : p_(tensor(work.p, {dim(work.p.size())}).requires_grad_()), adam_({p_}, adam_options<T>()) {
        p_.mutable_grad() = tensor(work.g, {dim(work.g.size())});
    }
    void run() override { adam_.step(); }
    std::vector<Buffer<T>> results() override { return {buffer<T>(p_)}; }

private:
    Tensor p_;
    torch::optim::Adam adam_;
};

template <class T>
class TorchTraining : public Contender<T> {
public:
    explicit TorchTraining(const Mlp<T>& work)
        : x_(tensor(work.x, {dim(work.batch), dim(work.inputs)})),
          classes_(tensor(work.classes)),
          learned_{tensor(work.w1, {dim(work.hidden), dim(work.inputs)}).requires_grad_(),
                   tensor(work.b1, {dim(work.hidden)}).requires_grad_(),
                   tensor(work.w2, {dim(work.outputs), dim(work.hidden)}).requires_grad_(),
                   tensor(work.b2, {dim(work.outputs)}).requires_grad_()},
          adam_(learned_, adam_options<T>()) {}

    void run() override {
        for (Tensor& leaf : learned_) leaf.mutable_grad().reset();
        const Tensor hidden = torch::relu(torch::linear(x_, learned_[0], learned_[1]));
        loss_ = torch::cross_entropy_loss(torch::linear(hidden, learned_[2], learned_[3]), classes_);
        loss_.backward();
        adam_.step();
    }
    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{buffer<T>(loss_)};
        for (const Tensor& leaf : learned_) all.push_back(buffer<T>(leaf.grad()));
        return all;
    }

private:
    Tensor x_, classes_, loss_;
    std::vector<Tensor> learned_;
    torch::optim::Adam adam_;
};

template <class T>
class LibTorch : public Peer<T> {
    using Inputs = std::array<Tensor, 5>;

public:
    LibTorch() { torch::set_num_threads(1); }
    std::string name() const override { return "libtorch"; }
    std::string version() const override { return std::string("libtorch ") + TORCH_VERSION; }

    Entry<T> statement(const Statement<T>& work) const override {
        const Sizes shape{dim(work.rows), dim(work.cols)};
        std::vector<Tensor> leaves;
        for (std::size_t k = 0; k < work.used(); ++k)
            leaves.push_back(tensor(work.operands[k], work.row_c && k == 2 ? Sizes{dim(work.cols)} : shape));
        return differentiated<T>(
            std::move(leaves), tensor(work.dy, shape),
            [ops = work.ops](const Inputs& x) { return formula(ops, x[0], x[1], x[2], x[3], x[4]); });
    }

    Entry<T> reduction(const Reduction<T>& work) const override {
        using Over = typename Reduction<T>::Over;
        const Sizes axes = work.over == Over::first  ? Sizes{0}
                           : work.over == Over::last ? Sizes{1}
                                                     : Sizes{0, 1};
        const Sizes result = work.over == Over::both ? Sizes{} : Sizes{dim(work.result_size())};
        return differentiated<T>({tensor(work.x, {dim(work.rows), dim(work.cols)})}, tensor(work.dy, result),
                                 [mean = work.mean, axes](const Inputs& x) {
                                     return mean ? torch::mean(x[0], axes) : torch::sum(x[0], axes);
                                 });
    }

    Entry<T> softmax(const Softmax<T>& work) const override {
        const Sizes shape{dim(work.rows), dim(work.cols)};
        return differentiated<T>({tensor(work.x, shape)}, tensor(work.dy, shape),
                                 [](const Inputs& x) { return torch::softmax(x[0], 1); });
    }

    Entry<T> cross_entropy(const CrossEntropy<T>& work) const override {
        return differentiated<T>({tensor(work.logits, {dim(work.rows), dim(work.cols)})}, Tensor(),
                                 [classes = tensor(work.classes)](const Inputs& x) {
                                     return torch::cross_entropy_loss(x[0], classes);
                                 });
    }

    Entry<T> take(const Take<T>& work) const override {
        return differentiated<T>(
            {tensor(work.table, {dim(work.rows), dim(work.cols)})},
            tensor(work.dy, {dim(work.indices.size()), dim(work.cols)}),
            [indices = tensor(work.indices)](const Inputs& x) { return torch::embedding(x[0], indices); });
    }

    Entry<T> adam(const Adam<T>& work) const override { return std::make_unique<TorchAdam<T>>(work); }

    Entry<T> chain(const Chain<T>& work) const override {
        const Sizes shape{dim(work.x.size())};
        return differentiated<T>({tensor(work.x, shape), tensor(work.w, shape), tensor(work.b, shape)},
                                 tensor(work.dy, shape), [length = work.length](const Inputs& in) {
                                     Tensor x = in[0];
                                     for (std::size_t i = 0; i < length; ++i)
                                         x = chain_op(i, x, in[1], in[2]);
                                     return x;
                                 });
    }

    Entry<T> mlp(const Mlp<T>& work) const override { return std::make_unique<TorchTraining<T>>(work); }
};

}  // namespace

template <class T>
const Peer<T>* libtorch_peer() {
    static const LibTorch<T> peer;
    return &peer;
}
#else
template <class T>
const Peer<T>* libtorch_peer() {
    return nullptr;
}
#endif

template const Peer<float>* libtorch_peer();
template const Peer<double>* libtorch_peer();

}  // namespace bench::ops
