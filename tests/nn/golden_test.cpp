// Cells, unrolling, cross entropy and optimizers against what PyTorch computed: see golden/make_golden.py.

#include <string>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/golden.hpp"
#include "tests/nn/numbers.hpp"

using numbers::distance;
using numbers::tolerance;
using xtape::Tape;
using xtape::Var;

namespace {

const xt::xarray<double>& golden(const std::string& name) {
    static const GoldenTensors tensors("recurrent.txt");
    return tensors[name];
}

template <class Cell>
struct Model {
    using value_type = double;
    Cell cell;
    xtape::nn::Linear<double> head;

    template <class F>
    void visit(F&& f) {
        cell.visit(f);
        f("head", head);
    }
};

constexpr std::size_t D = 4, H = 5, O = 7;

template <class Cell, class... Form>
Model<Cell> model(const std::string& name, Form... form) {
    xtape::nn::Engine engine(1);
    Model<Cell> result{Cell(D, H, engine, form...), {H, O, engine}};
    xtape::nn::for_each_parameter(
        result, [&](const std::string& parameter, auto& p) { p.value() = golden(name + "/" + parameter); });
    return result;
}

template <class State>
State state_of(const std::string& name, Tape<double>& tape) {
    const Var<double> h = tape.variable(golden(name + "/h"));
    if constexpr (xtape::is_var<State>)
        return h;
    else
        return {h, tape.variable(golden(name + "/c"))};
}

template <class Cell>
Var<double> loss_of(const std::string& name, const Model<Cell>& m, Tape<double>& tape) {
    const auto state = state_of<typename Cell::State>(name, tape);
    const auto outputs = unroll(m.cell, tape.constant(golden(name + "/x")), state).outputs;
    const xt::xarray<int> classes = golden(name + "/classes");
    return xtape::nn::cross_entropy(m.head(outputs), classes);
}

template <class Cell>
void check_gradients(const std::string& name, Model<Cell> m) {
    INFO(name);
    Tape<double> tape;
    const Var<double> x = tape.variable(golden(name + "/x"));
    const auto start = state_of<typename Cell::State>(name, tape);
    const auto [outputs, last] = unroll(m.cell, x, start);
    const xt::xarray<int> classes = golden(name + "/classes");
    const Var<double> loss = xtape::nn::cross_entropy(m.head(outputs), classes);
    backward(loss);

    CHECK(distance(outputs.value(), golden(name + "/outputs")) < tolerance);
    CHECK(distance(loss.value(), golden(name + "/loss")) < tolerance);
    CHECK(distance(x.grad(), golden(name + "/x/grad")) < tolerance);
    const auto starts = xtape::nn::vars_of(start), lasts = xtape::nn::vars_of(last);
    const char* names[] = {"/h", "/c"};
    for (std::size_t k = 0; k < starts.size(); ++k) {
        CHECK(distance(starts[k].grad(), golden(name + names[k] + "/grad")) < tolerance);
        CHECK(distance(lasts[k].value(), golden(name + names[k] + "/last")) < tolerance);
    }
    std::size_t compared = 0;
    xtape::nn::for_each_parameter(m, [&](const std::string& parameter, auto& p) {
        INFO(parameter);
        CHECK(distance(p.grad(), golden(name + "/" + parameter + "/grad")) < tolerance);
        ++compared;
    });
    CHECK(compared >= 4);
}

template <class Optimizer, class Cell>
void check_training(const std::string& name, const std::string& run, Model<Cell> m, Optimizer optimizer) {
    INFO(name << "/" << run);
    Tape<double> tape;
    const xt::xarray<double>& losses = golden(name + "/" + run + "/losses");
    for (double expected : losses) {
        const Var<double> loss = loss_of(name, m, tape);
        CHECK(std::abs(loss.item() - expected) < tolerance);
        backward(loss);
        optimizer.step();
        zero_grad(m);
        tape.clear();
    }
    xtape::nn::for_each_parameter(m, [&](const std::string& parameter, auto& p) {
        INFO(parameter);
        CHECK(distance(p.value(), golden(name + "/" + run + "/" + parameter)) < tolerance);
    });
}

using RNN = xtape::nn::RNNCell<double>;
using LSTM = xtape::nn::LSTMCell<double>;
using GRU = xtape::nn::GRUCell<double>;
using xtape::nn::Activation;
using xtape::nn::Reset;

}  // namespace

TEST_CASE("golden: outputs, loss and every gradient of all cells are PyTorch's") {
    check_gradients("rnn", model<RNN>("rnn"));
    check_gradients("rnn_relu", model<RNN>("rnn_relu", Activation::relu));
    check_gradients("lstm", model<LSTM>("lstm"));
    check_gradients("gru", model<GRU>("gru", Reset::after_product));
    check_gradients("gru_before", model<GRU>("gru_before", Reset::before_product));
}

namespace {

// An optimizer refers to the parameters, so the model is made first and moved into the check with it.
template <class Optimizer, class Cell, class Options>
void train(const std::string& name, const std::string& run, Model<Cell> m, Options options) {
    Optimizer optimizer(m, options);
    check_training(name, run, std::move(m), std::move(optimizer));
}

}  // namespace

TEST_CASE("golden: five steps of Adam take every model where PyTorch's Adam takes it") {
    using Adam = xtape::nn::Adam<double>;
    const xtape::nn::AdamOptions options{.learning_rate = 0.05};
    train<Adam>("rnn", "adam", model<RNN>("rnn"), options);
    train<Adam>("rnn_relu", "adam", model<RNN>("rnn_relu", Activation::relu), options);
    train<Adam>("lstm", "adam", model<LSTM>("lstm"), options);
    train<Adam>("gru", "adam", model<GRU>("gru", Reset::after_product), options);
    train<Adam>("gru_before", "adam", model<GRU>("gru_before", Reset::before_product), options);
    train<Adam>(
        "lstm", "adam_decay", model<LSTM>("lstm"),
        xtape::nn::AdamOptions{
            .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.02});
}

TEST_CASE("golden: five steps of SGD, plain, with momentum and after Nesterov, are PyTorch's") {
    using SGD = xtape::nn::SGD<double>;
    using Options = xtape::nn::SGDOptions;
    train<SGD>("lstm", "sgd", model<LSTM>("lstm"), Options{.learning_rate = 0.5});
    train<SGD>("lstm", "momentum", model<LSTM>("lstm"),
               Options{.learning_rate = 0.3, .momentum = 0.8, .weight_decay = 0.01});
    train<SGD>("lstm", "nesterov", model<LSTM>("lstm"),
               Options{.learning_rate = 0.3, .momentum = 0.8, .nesterov = true});
}
