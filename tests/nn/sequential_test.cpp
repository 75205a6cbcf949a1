#include "nn/sequential.hpp"

#include <array>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::gradcheck;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

TEST_CASE("sequential: is its parts, one after the other") {
    nn::Engine engine(1);
    nn::Sequential model(
        nn::Linear<double>(3, 4, engine), [](const Var<double>& x) { return tanh(x); },
        nn::Linear<double>(4, 2, engine));
    const Matrix x = random(engine, std::array<std::size_t, 2>{5, 3});
    const auto& [first, function, last] = model.parts;
    const Matrix hidden = xt::tanh(product(x, transposed(matrix(first.weight))));  // biases are 0
    Tape<double> tape;
    const Var<double> y = model(tape.constant(x));
    CHECK(distance(y.value(), product(hidden, transposed(matrix(last.weight)))) < tolerance);
    gradcheck([&](auto in) { return model(in[0]); }, {x}, {.parameters = nn::parameters(model)});
}

TEST_CASE("sequential: lists its modules by position, and functions not at all") {
    nn::Engine engine(1);
    nn::Sequential inner([](const Var<float>& x) { return relu(x); }, nn::Linear<float>(4, 2, engine));
    nn::Sequential model(nn::Linear<float>(3, 4, engine), nn::Dropout(0.5, engine), inner);
    std::vector<std::string> names;
    nn::for_each_parameter(model, [&](const std::string& name, auto&) { names.push_back(name); });
    CHECK((names == std::vector<std::string>{"0.weight", "0.bias", "2.1.weight", "2.1.bias"}));
    CHECK(nn::parameter_count(model) == 3 * 4 + 4 + 4 * 2 + 2);
    CHECK(nn::parameters(model).size() == 4);  // of float, which it need not be told
}

TEST_CASE("sequential: training and evaluation reach its modules") {
    nn::Engine engine(1);
    nn::Sequential model(nn::Dropout(0.5, engine), [](const auto& x) { return 2 * x; });
    Tape<double> tape;
    const Var<double> ones = tape.constant(xt::xarray<double>(xt::ones<double>({1000})));
    nn::eval(model);
    CHECK(sum(model(ones)).item() == 2000);
    nn::train(model);
    const Var<double> y = model(ones);
    const Var<double> dropped = y == 0;
    CHECK(sum(dropped).item() > 400);
    CHECK(sum(dropped).item() < 600);
}

TEST_CASE("sequential: the first part takes whatever it wants, and parts may hand on anything") {
    nn::Engine engine(1);
    nn::Sequential model(
        nn::Embedding<double>(6, 3, engine), nn::LSTM<double>(3, 4, engine),
        [](const auto& sequence) { return sequence.outputs; }, nn::Linear<double>(4, 6, engine));
    const xt::xtensor<int, 2> ids{{0, 1}, {5, 5}, {2, 3}};
    Tape<double> tape;
    const Var<double> y = model(tape, ids);
    CHECK((y.shape() == xtape::Shape{3, 2, 6}));
    const auto& [embedding, lstm, outputs, linear] = model.parts;
    CHECK(distance(y.value(), linear(lstm(embedding(tape, ids)).outputs).value()) == 0);
}

TEST_CASE("sequential: is trained like any module") {
    nn::Engine engine(1);
    nn::Sequential model(
        nn::Linear<double>(2, 8, engine), [](const Var<double>& x) { return tanh(x); },
        nn::Linear<double>(8, 2, engine));
    const Matrix inputs{{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    const std::vector<int> exclusive_or{0, 1, 1, 0};
    nn::Adam adam(model, {.learning_rate = 0.05});
    Tape<double> tape;
    double loss = 1;
    for (int step = 0; step < 300; ++step) {
        tape.clear();
        nn::zero_grad(model);
        const Var<double> l = nn::cross_entropy(model(tape.constant(inputs)), exclusive_or);
        backward(l);
        adam.step();
        loss = l.item();
    }
    CHECK(loss < 0.01);  // guessing is log 2
}
