#include "nn/module.hpp"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"

using xtape::Parameter;
using xtape::Shape;
namespace nn = xtape::nn;

namespace {

struct Model {
    using value_type = double;

    nn::Engine engine{1};
    nn::LSTMCell<double> cell{3, 4, engine};
    std::vector<nn::Linear<double>> layers{{4, 2, engine}, {2, 5, engine}};
    std::array<Parameter<double>, 2> scales{Parameter<double>(Shape{6}), Parameter<double>(Shape{})};

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("layers", layers);
        f("scales", scales);
    }
};

template <class M>
std::vector<std::string> names(M& module) {
    std::vector<std::string> result;
    nn::for_each_parameter(module, [&](const std::string& name, auto&) { result.push_back(name); });
    return result;
}

}  // namespace

TEST_CASE("module: names are the path of visit, positions included") {
    Model model;
    const std::vector<std::string> expected{"cell.weight",   "cell.bias",       "layers.0.weight",
                                            "layers.0.bias", "layers.1.weight", "layers.1.bias",
                                            "scales.0",      "scales.1"};
    CHECK(names(model) == expected);
    CHECK(names(std::as_const(model)) == expected);
}

TEST_CASE("module: a const module shows const parameters") {
    const Model model;
    nn::for_each_parameter(
        model, [](auto& p) { static_assert(std::is_const_v<std::remove_reference_t<decltype(p)>>); });
    CHECK(nn::parameter_count(model) == 16 * 7 + 16 + 4 * 2 + 2 + 2 * 5 + 5 + 6 + 1);
}

TEST_CASE("module: a parameter, a cell and a vector of them are modules by themselves") {
    nn::Engine engine(1);
    Parameter<float> p(Shape{2, 3});
    CHECK(nn::parameter_count(p) == 6);
    CHECK(names(p) == std::vector<std::string>{""});
    std::vector<Parameter<float>> list{p, p};
    CHECK(names(list) == std::vector<std::string>{"0", "1"});
    CHECK(nn::parameters(list) == std::vector<Parameter<float>*>{&list[0], &list[1]});
    nn::GRUCell<float> gru(2, 3, engine);
    CHECK(nn::parameters(gru).size() == 4);
    gru.reset = nn::Reset::before_product;
    CHECK(nn::parameters(gru).size() == 3);
}

TEST_CASE("module: zero_grad empties every gradient") {
    Model model;
    nn::for_each_parameter(model, [](auto& p) { p.grad() += 1; });
    nn::zero_grad(model);
    nn::for_each_parameter(model, [](auto& p) {
        CHECK_FALSE(p.has_grad());
        CHECK(xt::all(xt::equal(p.grad(), 0.0)));
    });
}

TEST_CASE("module: a copy is independent of its original") {
    Model model;
    Model copy = model;
    copy.cell.weight.data()[0] = 1e6;
    CHECK(model.cell.weight.data()[0] != 1e6);
}

namespace {

struct Tied {
    using value_type = double;

    nn::Engine engine{1};
    std::vector<nn::Linear<double>> layers{{3, 3, engine}, {3, 3, engine}, {3, 3, engine}};

    Tied() { tie(layers[2].weight, layers[0].weight); }

    template <class F>
    void visit(F&& f) {
        f("layers", layers);
    }
};

}  // namespace

TEST_CASE("module: tied parameters are met once, by the first one's name") {
    Tied model;
    const std::vector<std::string> expected{"layers.0.weight", "layers.0.bias", "layers.1.weight",
                                            "layers.1.bias", "layers.2.bias"};
    CHECK(names(model) == expected);
    CHECK(nn::parameter_count(model) == 2 * 9 + 3 * 3);
    CHECK(nn::parameters(model).size() == 5);
}

TEST_CASE("module: an optimizer and clipping see the gradient of tied parameters once") {
    Tied model;
    nn::SGD optimizer(model, {.learning_rate = 1});
    model.layers[0].weight.value().fill(1);
    model.layers[2].weight.grad().fill(2);
    CHECK(nn::grad_norm(model) == Approx(std::sqrt(9 * 4.0)));
    optimizer.step();
    CHECK(xt::all(xt::equal(model.layers[0].weight.value(), -1.0)));
    CHECK(nn::clip_grad_norm(model, 3) == Approx(6));
    CHECK(xt::all(xt::equal(model.layers[0].weight.grad(), 1.0)));
}

TEST_CASE("module: what is frozen stays as it was while the rest learns") {
    Tied model;
    nn::freeze(model.layers[1]);
    nn::Adam optimizer(model, {.learning_rate = 0.1, .weight_decay = 0.1});
    const Tied before = model;
    xtape::Tape<double> tape;
    const xtape::Var<double> x = tape.constant(xt::xarray<double>(xt::ones<double>({2, 3})));
    backward(sum(square(model.layers[2](model.layers[1](model.layers[0](x))))));
    optimizer.step();
    CHECK((model.layers[1].weight.value() == before.layers[1].weight.value()));
    CHECK((model.layers[1].bias.value() == before.layers[1].bias.value()));
    CHECK_FALSE((model.layers[0].weight.value() == before.layers[0].weight.value()));
    CHECK_FALSE((model.layers[2].bias.value() == before.layers[2].bias.value()));
    nn::unfreeze(model);
    CHECK_FALSE(model.layers[1].bias.is_frozen());
}
