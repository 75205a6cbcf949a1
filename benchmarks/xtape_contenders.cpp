#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/nn_cells.hpp"
#include "benchmarks/user_cells.hpp"
#include "nn/nn.hpp"

namespace bench {
namespace {

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

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
        packed_forward_ = packed_now();
        backward(outputs_, stop_gradient(tape_.watch(dh_)), {.release_values = options_.release_values});
    }

    /// The way back may put other copies where those of the way forward were.
    std::size_t packed_bytes() override { return std::max(packed_forward_, packed_now()); }

protected:
    OnTape(const Problem<T>& problem, const TapeOptions& options)
        : p_(problem),
          options_(options),
          x_(parameter({problem.size.steps, problem.size.batch, problem.size.inputs}, problem.x)),
          dh_(parameter({problem.size.steps, problem.size.batch, problem.size.hidden}, problem.dh)) {
        tape_.set_threads(options.threads);
    }

    virtual void zero_grad() = 0;
    /// From x (T, B, D) to all outputs (T, B, H).
    virtual Var<T> forward(const Var<T>& x) = 0;

    Buffer<T> outputs() {
        if (tape_.has_released()) {
            tape_.clear();
            outputs_ = forward(tape_.watch(x_));
        }
        const auto h = outputs_.value();
        return Buffer<T>(h.begin(), h.end());
    }

    const Problem<T>& p_;
    TapeOptions options_;
    Parameter<T> x_, dh_;
    Tape<T> tape_;
    Var<T> outputs_;

private:
    std::size_t packed_now() {
        std::size_t bytes = 0;
        for (const auto& copy : tape_.products().packed) {
            if (copy.packed.data != nullptr) bytes += copy.bytes;
        }
        return bytes;
    }

    std::size_t packed_forward_ = 0;
};

/// The library's cells, unrolled.
template <class T, class Cell>
class BuiltIn : public OnTape<T> {
public:
    BuiltIn(const Problem<T>& problem, const TapeOptions& options, Cell cell)
        : OnTape<T>(problem, options), cell_(std::move(cell)) {
        fill_cell(cell_, problem);
    }

    Author author() const override { return Author::nn; }

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
    void zero_grad() override {
        cell_.visit([](const char*, Parameter<T>& p) { p.zero_grad(); });
    }
    Var<T> forward(const Var<T>& x) override { return xtape::nn::unroll(cell_, x).outputs; }

    Cell cell_;
};

/// A cell of user_cells.hpp, unrolled.
template <class T, template <class> class Cell>
class OwnCell : public OnTape<T> {
public:
    OwnCell(const Problem<T>& problem, const TapeOptions& options)
        : OnTape<T>(problem, options), cell_(problem) {}

    Author author() const override { return Author::user; }

    Results<T> results() override {
        return {this->outputs(),     gradient(this->x_),   gradient(cell_.w_x),
                gradient(cell_.w_h), gradient(cell_.bias), gradient(cell_.bias_n)};
    }

private:
    void zero_grad() override {
        for (Parameter<T>* p : {&cell_.w_x, &cell_.w_h, &cell_.bias, &cell_.bias_n}) p->zero_grad();
    }

    Var<T> forward(const Var<T>& x) override {
        const Var<T> zero = xtape::nn::zeros(this->tape_, Shape{this->p_.size.batch, this->p_.size.hidden});
        if constexpr (xtape::is_var<typename Cell<T>::State>)
            return xtape::nn::unroll(cell_, x, zero).outputs;
        else
            return xtape::nn::unroll(cell_, x, {zero, zero}).outputs;
    }

    Cell<T> cell_;
};

}  // namespace

template <class T>
Contenders<T> xtape_contenders(const Problem<T>& problem, const TapeOptions& options) {
    const std::size_t inputs = problem.size.inputs, hidden = problem.size.hidden;
    xtape::nn::Engine engine(1);
    Contenders<T> result;
    const auto add = [&](auto cell) {
        result.push_back(std::make_unique<BuiltIn<T, decltype(cell)>>(problem, options, std::move(cell)));
    };
    const auto add_own = [&]<template <class> class Own>() {
        result.push_back(std::make_unique<OwnCell<T, Own>>(problem, options));
    };
    using namespace xtape::nn;
    switch (problem.cell) {
        case Cell::rnn: add(RNNCell<T>(inputs, hidden, engine)); break;
        case Cell::lstm:
            add(LSTMCell<T>(inputs, hidden, engine));
            add_own.template operator()<UserLstm>();
            break;
        case Cell::gru:
            add(GRUCell<T>(inputs, hidden, engine, Reset::before_product));
            add_own.template operator()<UserGru>();
            break;
        case Cell::gru_reset_after:
            add(GRUCell<T>(inputs, hidden, engine, Reset::after_product));
            add_own.template operator()<UserGruResetAfter>();
            break;
        case Cell::mgu: add_own.template operator()<UserMgu>(); break;
    }
    return result;
}

template Contenders<float> xtape_contenders(const Problem<float>&, const TapeOptions&);
template Contenders<double> xtape_contenders(const Problem<double>&, const TapeOptions&);

}  // namespace bench
