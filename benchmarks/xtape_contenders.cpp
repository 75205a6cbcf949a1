#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "benchmarks/contender.hpp"
#include "nn/nn.hpp"

namespace bench {
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
Buffer<T> gradient(Parameter<T>& p) {
    return Buffer<T>(p.grad_data(), p.grad_data() + p.size());
}

/// A training step's worth of tape: everything is recorded anew in each run, into memory that the tape kept.
template <class T>
class OnTape : public Contender<T> {
public:
    void run() override {
        x_.zero_grad();
        zero_grad();
        tape_.clear();
        outputs_ = forward(tape_.watch(x_));
        backward(outputs_, stop_gradient(tape_.watch(dh_)));
    }

protected:
    explicit OnTape(const Problem<T>& problem)
        : p_(problem),
          x_(parameter({problem.size.steps, problem.size.batch, problem.size.inputs}, problem.x)),
          dh_(parameter({problem.size.steps, problem.size.batch, problem.size.hidden}, problem.dh)) {}

    virtual void zero_grad() = 0;
    /// From x (T, B, D) to all outputs (T, B, H).
    virtual Var<T> forward(const Var<T>& x) = 0;

    Buffer<T> outputs() const {
        const auto h = outputs_.value();
        return Buffer<T>(h.begin(), h.end());
    }

    const Problem<T>& p_;
    Parameter<T> x_, dh_;
    Tape<T> tape_;
    Var<T> outputs_;
};

/// The library's cells, unrolled.
template <class T, class Cell>
class BuiltIn : public OnTape<T> {
public:
    BuiltIn(const Problem<T>& problem, Cell cell) : OnTape<T>(problem), cell_(std::move(cell)) {
        const Size s = problem.size;
        if constexpr (requires { cell_.w_xh; }) {
            fill(cell_.w_xh, problem.w_x);
            fill(cell_.w_hh, problem.w_h);
            fill(cell_.b_h, problem.bias);
        } else if constexpr (requires { cell_.weight_x; }) {
            fill(cell_.weight_x, problem.w_x);
            fill(cell_.weight_h, problem.w_h);
            fill(cell_.bias, problem.bias);
            fill(cell_.bias_n, problem.bias_n);
        } else {
            // One weight (4H, D + H).
            const std::size_t rows = 4 * s.hidden, cols = s.inputs + s.hidden;
            for (std::size_t i = 0; i < rows; ++i) {
                std::copy_n(problem.w_x.data() + i * s.inputs, s.inputs, cell_.weight.data() + i * cols);
                std::copy_n(problem.w_h.data() + i * s.hidden, s.hidden,
                            cell_.weight.data() + i * cols + s.inputs);
            }
            fill(cell_.bias, problem.bias);
        }
    }

    std::string name() const override { return "xtape nn"; }

    Results<T> results() override {
        Results<T> result{this->outputs(), gradient(this->x_), {}, {}, {}, {}};
        if constexpr (requires { cell_.w_xh; }) {
            result.dw_x = gradient(cell_.w_xh);
            result.dw_h = gradient(cell_.w_hh);
            result.dbias = gradient(cell_.b_h);
        } else if constexpr (requires { cell_.weight_x; }) {
            result.dw_x = gradient(cell_.weight_x);
            result.dw_h = gradient(cell_.weight_h);
            result.dbias = gradient(cell_.bias);
            if (this->p_.cell == bench::Cell::gru_reset_after) result.dbias_n = gradient(cell_.bias_n);
        } else {
            const Size s = this->p_.size;
            const Buffer<T> both = gradient(cell_.weight);
            for (auto row = both.begin(); row != both.end();) {
                const auto middle = row + static_cast<std::ptrdiff_t>(s.inputs);
                const auto end = middle + static_cast<std::ptrdiff_t>(s.hidden);
                result.dw_x.insert(result.dw_x.end(), row, middle);
                result.dw_h.insert(result.dw_h.end(), middle, end);
                row = end;
            }
            result.dbias = gradient(cell_.bias);
        }
        return result;
    }

private:
    static void fill(Parameter<T>& p, const Buffer<T>& values) {
        std::copy(values.begin(), values.end(), p.data());
    }
    void zero_grad() override {
        cell_.visit([](const char*, Parameter<T>& p) { p.zero_grad(); });
    }
    Var<T> forward(const Var<T>& x) override { return xtape::nn::unroll(cell_, x).outputs; }

    Cell cell_;
};

/// An LSTM as a user writes it, without nn's cells: two weights and the equations.
template <class T>
struct UserCell {
    struct State {
        Var<T> h, c;
    };
    Parameter<T> w_x, w_h, bias;

    auto on(Tape<T>& tape) const {
        Var<T> wx = transpose(tape.watch(w_x)), wh = transpose(tape.watch(w_h)), b = tape.watch(bias);
        return xtape::nn::every_step([=](const Var<T>& x, const State& s) -> State {
            auto [i, f, o, g] = xtape::split<4>(matmul(x, wx) + matmul(s.h, wh) + b);
            Var<T> c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            return {sigmoid(o) * tanh(c), c};
        });
    }
};

template <class T>
class UserLstm : public OnTape<T> {
public:
    explicit UserLstm(const Problem<T>& problem)
        : OnTape<T>(problem),
          cell_{parameter({4 * problem.size.hidden, problem.size.inputs}, problem.w_x),
                parameter({4 * problem.size.hidden, problem.size.hidden}, problem.w_h),
                parameter({4 * problem.size.hidden}, problem.bias)} {}

    std::string name() const override { return "xtape, user's LSTM"; }

    Results<T> results() override {
        return {this->outputs(),     gradient(this->x_),   gradient(cell_.w_x),
                gradient(cell_.w_h), gradient(cell_.bias), {}};
    }

private:
    void zero_grad() override {
        for (Parameter<T>* p : {&cell_.w_x, &cell_.w_h, &cell_.bias}) p->zero_grad();
    }

    Var<T> forward(const Var<T>& x) override {
        Var<T> zero = xtape::nn::zeros(this->tape_, Shape{this->p_.size.batch, this->p_.size.hidden});
        return xtape::nn::unroll(cell_, x, {zero, zero}).outputs;
    }

    UserCell<T> cell_;
};

}  // namespace

template <class T>
Contenders<T> xtape_contenders(const Problem<T>& problem) {
    const std::size_t inputs = problem.size.inputs, hidden = problem.size.hidden;
    xtape::nn::Engine engine(1);
    Contenders<T> result;
    auto add = [&](auto cell) {
        result.push_back(std::make_unique<BuiltIn<T, decltype(cell)>>(problem, std::move(cell)));
    };
    switch (problem.cell) {
        case Cell::rnn: add(xtape::nn::RNNCell<T>(inputs, hidden, engine)); break;
        case Cell::lstm:
            add(xtape::nn::LSTMCell<T>(inputs, hidden, engine));
            result.push_back(std::make_unique<UserLstm<T>>(problem));
            break;
        case Cell::gru:
            add(xtape::nn::GRUCell<T>(inputs, hidden, engine, xtape::nn::Reset::before_product));
            break;
        case Cell::gru_reset_after:
            add(xtape::nn::GRUCell<T>(inputs, hidden, engine, xtape::nn::Reset::after_product));
            break;
    }
    return result;
}

template Contenders<float> xtape_contenders(const Problem<float>&);
template Contenders<double> xtape_contenders(const Problem<double>&);

}  // namespace bench
