#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "benchmarks/ops/contender.hpp"
#include "benchmarks/ops/formulas.hpp"
#include "nn/nn.hpp"

namespace bench::ops {
namespace {

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

template <class T>
Parameter<T> parameter(const Shape& shape, const Buffer<T>& values) {
    Parameter<T> result(shape);
    std::copy(values.begin(), values.end(), result.data());
    return result;
}

template <class T>
Buffer<T> value(const Var<T>& var) {
    const auto elements = var.value();
    return Buffer<T>(elements.begin(), elements.end());
}

template <class T>
Buffer<T> gradient(Parameter<T>& p) {
    return Buffer<T>(p.grad_data(), p.grad_data() + p.size());
}

/// A tape's life for each run, as in a training step: `forward` computes y from the watched inputs, whose gradients
/// follow from dy. Without dy, y is a loss.
template <class T, class Forward>
class OnTape : public Contender<T> {
public:
    OnTape(std::vector<Parameter<T>> inputs, Parameter<T> dy, Forward forward)
        : inputs_(std::move(inputs)), dy_(std::move(dy)), forward_(std::move(forward)) {}

    void run() override {
        tape_.clear();
        for (std::size_t k = 0; k < inputs_.size(); ++k) {
            inputs_[k].zero_grad();
            x_[k] = tape_.watch(inputs_[k]);
        }
        y_ = forward_(x_);
        if (dy_.size() > 0)
            backward(y_, stop_gradient(tape_.watch(dy_)));
        else
            backward(y_);
    }

    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{value(y_)};
        for (Parameter<T>& input : inputs_) all.push_back(gradient(input));
        return all;
    }

private:
    std::vector<Parameter<T>> inputs_;
    Parameter<T> dy_;
    Forward forward_;
    Tape<T> tape_;
    std::array<Var<T>, 5> x_;
    Var<T> y_;
};

template <class T, class Forward>
Entry<T> on_tape(std::vector<Parameter<T>> inputs, Parameter<T> dy, Forward forward) {
    return std::make_unique<OnTape<T, Forward>>(std::move(inputs), std::move(dy), std::move(forward));
}

template <class T>
class AdamStep : public Contender<T> {
    using Work = Adam<T>;

public:
    explicit AdamStep(const Work& work)
        : p_(parameter({work.p.size()}, work.p)),
          adam_(p_, {.learning_rate = Work::rate,
                     .beta1 = Work::beta1,
                     .beta2 = Work::beta2,
                     .epsilon = Work::epsilon}) {
        std::copy(work.g.begin(), work.g.end(), p_.grad_data());
    }
    void run() override { adam_.step(); }
    std::vector<Buffer<T>> results() override { return {Buffer<T>(p_.data(), p_.data() + p_.size())}; }

private:
    Parameter<T> p_;
    xtape::nn::Adam<T> adam_;
};

template <class T>
class Training : public Contender<T> {
    struct Model {
        xtape::nn::Linear<T> first, second;

        Var<T> operator()(const Var<T>& x) const { return second(relu(first(x))); }

        template <class F>
        void visit(F&& f) {
            f("first", first);
            f("second", second);
        }
    };

public:
    explicit Training(const Mlp<T>& work)
        : work_(work),
          model_(model(work)),
          x_(parameter({work.batch, work.inputs}, work.x)),
          adam_(model_, {.learning_rate = Adam<T>::rate}) {}

    void run() override {
        tape_.clear();
        xtape::nn::zero_grad(model_);
        loss_ = xtape::nn::cross_entropy(model_(stop_gradient(tape_.watch(x_))), work_.classes);
        backward(loss_);
        adam_.step();
    }

    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{value(loss_)};
        xtape::nn::for_each_parameter(model_, [&](Parameter<T>& p) { all.push_back(gradient(p)); });
        return all;
    }

private:
    static Model model(const Mlp<T>& work) {
        xtape::nn::Engine engine(1);
        Model result{{work.inputs, work.hidden, engine}, {work.hidden, work.outputs, engine}};
        std::copy(work.w1.begin(), work.w1.end(), result.first.weight.data());
        std::copy(work.b1.begin(), work.b1.end(), result.first.bias.data());
        std::copy(work.w2.begin(), work.w2.end(), result.second.weight.data());
        std::copy(work.b2.begin(), work.b2.end(), result.second.bias.data());
        return result;
    }

    const Mlp<T>& work_;
    Model model_;
    Parameter<T> x_;
    xtape::nn::Adam<T> adam_;
    Tape<T> tape_;
    Var<T> loss_;
};

template <class T>
class Xtape : public Peer<T> {
    using Inputs = std::array<Var<T>, 5>;

public:
    std::string name() const override { return "xtape"; }

    Entry<T> statement(const Statement<T>& work) const override {
        const Shape shape{work.rows, work.cols};
        std::vector<Parameter<T>> inputs;
        for (std::size_t k = 0; k < work.used(); ++k)
            inputs.push_back(parameter(work.row_c && k == 2 ? Shape{work.cols} : shape, work.operands[k]));
        return on_tape(std::move(inputs), parameter(shape, work.dy), [ops = work.ops](const Inputs& x) {
            return formula(ops, x[0], x[1], x[2], x[3], x[4]);
        });
    }

    Entry<T> reduction(const Reduction<T>& work) const override {
        using Over = typename Reduction<T>::Over;
        const xtape::Axes axes = work.over == Over::first  ? xtape::Axes{0}
                                 : work.over == Over::last ? xtape::Axes{1}
                                                           : xtape::Axes{};
        const Shape result = work.over == Over::both ? Shape{} : Shape{work.result_size()};
        return on_tape({parameter({work.rows, work.cols}, work.x)}, parameter(result, work.dy),
                       [mean = work.mean, axes](const Inputs& x) {
                           return mean ? xtape::mean(x[0], axes) : xtape::sum(x[0], axes);
                       });
    }

    Entry<T> softmax(const Softmax<T>& work) const override {
        const Shape shape{work.rows, work.cols};
        return on_tape({parameter(shape, work.x)}, parameter(shape, work.dy),
                       [](const Inputs& x) { return xtape::softmax(x[0]); });
    }

    Entry<T> cross_entropy(const CrossEntropy<T>& work) const override {
        return on_tape({parameter({work.rows, work.cols}, work.logits)}, Parameter<T>(),
                       [&](const Inputs& x) { return xtape::nn::cross_entropy(x[0], work.classes); });
    }

    Entry<T> take(const Take<T>& work) const override {
        return on_tape({parameter({work.rows, work.cols}, work.table)},
                       parameter({work.indices.size(), work.cols}, work.dy),
                       [&](const Inputs& x) { return xtape::take(x[0], work.indices); });
    }

    Entry<T> adam(const Adam<T>& work) const override { return std::make_unique<AdamStep<T>>(work); }

    Entry<T> chain(const Chain<T>& work) const override {
        const Shape shape{work.x.size()};
        return on_tape({parameter(shape, work.x), parameter(shape, work.w), parameter(shape, work.b)},
                       parameter(shape, work.dy), [length = work.length](const Inputs& in) {
                           Var<T> x = in[0];
                           for (std::size_t i = 0; i < length; ++i) x = chain_op(i, x, in[1], in[2]);
                           return x;
                       });
    }

    Entry<T> mlp(const Mlp<T>& work) const override { return std::make_unique<Training<T>>(work); }
};

}  // namespace

template <class T>
const Peer<T>* xtape_peer() {
    static const Xtape<T> peer;
    return &peer;
}

template const Peer<float>* xtape_peer();
template const Peer<double>* xtape_peer();

}  // namespace bench::ops
