#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "autograd/matmul.hpp"
#include "autograd/pointwise.hpp"
#include "autograd/reductions.hpp"
#include "autograd/statement.hpp"
#include "autograd/sweep.hpp"
#include "autograd/tape.hpp"
#include "autograd/views.hpp"
#include "benchmarks/contender.hpp"

namespace bench {
namespace {

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

/// A cell that a user writes: one step in plain statements.
template <class T>
struct Weights {
    Var<T> w_x, w_h, bias, bias_n;
};

template <class T>
struct State {
    Var<T> h, c;
};

template <class T>
State<T> rnn_step(const Weights<T>& w, const Var<T>& x, const State<T>& before) {
    Var<T> z = matmul(x, transpose(w.w_x)) + matmul(before.h, transpose(w.w_h)) + w.bias;
    Var<T> h = tanh(z);
    return {h, {}};
}

template <class T>
State<T> lstm_step(const Weights<T>& w, const Var<T>& x, const State<T>& before) {
    Var<T> z = matmul(x, transpose(w.w_x)) + matmul(before.h, transpose(w.w_h)) + w.bias;
    auto [i, f, o, g] = xtape::split<4>(z);
    Var<T> c = sigmoid(f) * before.c + sigmoid(i) * tanh(g);
    Var<T> h = sigmoid(o) * tanh(c);
    return {h, c};
}

template <class T>
class UserWritten : public Contender<T> {
public:
    explicit UserWritten(const Problem<T>& problem) : p_(problem) {
        const auto s = problem.size;
        const std::size_t rows = gate_count(problem.cell) * s.hidden;
        x_ = parameter({s.steps, s.batch, s.inputs}, problem.x);
        w_x_ = parameter({rows, s.inputs}, problem.w_x);
        w_h_ = parameter({rows, s.hidden}, problem.w_h);
        bias_ = parameter({rows}, problem.bias);
        dh_ = parameter({s.steps, s.batch, s.hidden}, problem.dh);
        zero_ = Parameter<T>(Shape{s.batch, s.hidden});
    }

    std::string name() const override { return "xtape, user's cell"; }

    void run() override {
        for (Parameter<T>* p : {&x_, &w_x_, &w_h_, &bias_}) p->zero_grad();
        tape_.clear();
        outputs_.clear();
        Weights<T> w{tape_.watch(w_x_), tape_.watch(w_h_), tape_.watch(bias_), {}};
        Var<T> x = tape_.watch(x_), dh = xtape::stop_gradient(tape_.watch(dh_));
        Var<T> zero = xtape::stop_gradient(tape_.watch(zero_));
        State<T> state{zero, zero};
        Var<T> loss;
        for (std::size_t t = 0; t < p_.size.steps; ++t) {
            const auto step = static_cast<std::ptrdiff_t>(t);
            state = p_.cell == Cell::rnn ? rnn_step(w, x[step], state) : lstm_step(w, x[step], state);
            outputs_.push_back(state.h);
            Var<T> part = sum(state.h * dh[step]);
            loss = t == 0 ? part : Var<T>(loss + part);
        }
        backward(loss);
    }

    Results<T> results() const override {
        Results<T> result{{}, gradient(x_), gradient(w_x_), gradient(w_h_), gradient(bias_), {}};
        for (const Var<T>& h : outputs_)
            for (T value : h.value()) result.h.push_back(value);
        return result;
    }

private:
    static Parameter<T> parameter(const Shape& shape, const Buffer<T>& values) {
        Parameter<T> result(shape);
        std::copy(values.begin(), values.end(), result.data());
        return result;
    }
    static Buffer<T> gradient(Parameter<T> p) { return Buffer<T>(p.grad_data(), p.grad_data() + p.size()); }

    const Problem<T>& p_;
    Parameter<T> x_, w_x_, w_h_, bias_, dh_, zero_;
    Tape<T> tape_;
    std::vector<Var<T>> outputs_;
};

}  // namespace

template <class T>
Contenders<T> xtape_contenders(const Problem<T>& problem) {
    Contenders<T> result;
    if (problem.cell == Cell::rnn || problem.cell == Cell::lstm)
        result.push_back(std::make_unique<UserWritten<T>>(problem));
    return result;
}

template Contenders<float> xtape_contenders(const Problem<float>&);
template Contenders<double> xtape_contenders(const Problem<double>&);

}  // namespace bench
