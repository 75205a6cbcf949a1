#include <cmath>
#include <memory>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using xtape::Parameter;
using xtape::Shape;
namespace nn = xtape::nn;

TEST_CASE("optimizer: Adam's step in numbers, for float, whatever the size of the parameter") {
    // The first step of Adam moves each element by the rate against the sign of its gradient, whatever its size.
    for (std::size_t count : {1u, 3u, 8u, 16u, 17u, 100u}) {
        Parameter<float> p(Shape{count});
        nn::Adam adam(p, {.learning_rate = 0.25});
        for (std::size_t k = 0; k < count; ++k) p.grad()(k) = (k % 2 == 0 ? 1.0f : -1.0f) * float(k + 1);
        adam.step();
        for (std::size_t k = 0; k < count; ++k)
            CHECK(p.value()(k) == Approx(k % 2 == 0 ? -0.25 : 0.25).epsilon(1e-6));
    }
}

namespace {

/// Calls f with an optimizer of each kind, its decay on.
template <class M, class F>
void with_each_optimizer(M& module, F&& f) {
    const auto run = [&](const char* name, auto optimizer) {
        INFO(name);
        f(optimizer);
    };
    run("SGD", nn::SGD<double>(module, {.momentum = 0.5, .weight_decay = 0.5}));
    run("plain SGD", nn::SGD<double>(module, {.weight_decay = 0.5}));
    run("Adam", nn::Adam<double>(module, {.weight_decay = 0.5, .amsgrad = true}));
    run("AdamW", nn::AdamW<double>(module, {.weight_decay = 0.5}));
    run("RMSprop", nn::RMSprop<double>(module, {.momentum = 0.5, .centered = true, .weight_decay = 0.5}));
    run("Adagrad", nn::Adagrad<double>(module, {.weight_decay = 0.5}));
}

}  // namespace

TEST_CASE("optimizer: a parameter that is frozen or has no gradient stays") {
    std::vector<Parameter<double>> model(3, Parameter<double>(Shape{2}));
    enum { still, frozen, moving };
    model[frozen].freeze();
    with_each_optimizer(model, [&](auto& optimizer) {
        for (Parameter<double>& p : model) p.value() = xt::ones<double>({2});
        model[frozen].grad() += 1;
        model[moving].zero_grad();
        model[moving].grad() += 1;
        optimizer.step();
        CHECK(model[still].value()(0) == 1);
        CHECK(model[frozen].value()(0) == 1);
        CHECK(model[moving].value()(0) < 1);
    });
}

TEST_CASE("optimizer: what is remembered of a parameter waits while it has no gradient") {
    // Two parameters that move equally often end in the same place, even if one of them pauses.
    std::vector<Parameter<double>> model(2, Parameter<double>(Shape{1}));
    with_each_optimizer(model, [&](auto& optimizer) {
        for (Parameter<double>& p : model) p.value() = xt::ones<double>({1});
        for (double gradient : {3.0, -1.0, 0.5}) {
            model[1].zero_grad();
            model[0].grad()(0) = gradient;
            optimizer.step();
            model[0].zero_grad();
            model[1].grad()(0) = gradient;
            optimizer.step();
        }
        CHECK(model[0].value()(0) != 1);
        CHECK(model[0].value()(0) == model[1].value()(0));
        nn::zero_grad(model);
    });
}

TEST_CASE("optimizer: one that is known by its base alone moves parameters too") {
    Parameter<double> p(Shape{1});
    std::unique_ptr<nn::Optimizer<double>> optimizer =
        std::make_unique<nn::SGD<double>>(p, nn::SGDOptions{.learning_rate = 0.25});
    p.grad()(0) = 1;
    optimizer->step();
    CHECK(p.value()(0) == -0.25);
}

TEST_CASE("optimizer: groups of parameters learn at different rates, with options of their own") {
    std::vector<Parameter<double>> model(3, Parameter<double>(Shape{1}));
    nn::SGD optimizer(model[0], {.learning_rate = 1});
    optimizer.add_group(model[1], {.learning_rate = 4});
    optimizer.add_group(model[2], {.learning_rate = 0.5, .weight_decay = 2});
    CHECK(optimizer.groups() == 3);
    for (Parameter<double>& p : model) {
        p.value()(0) = 1;
        p.grad()(0) = 1;
    }
    optimizer.step();
    CHECK(model[0].value()(0) == 0);
    CHECK(model[1].value()(0) == -3);
    CHECK(model[2].value()(0) == -0.5);  // 1 - 0.5 (1 + 2 · 1)
}

TEST_CASE("optimizer: the rates of groups stay in proportion, and one can be set alone") {
    std::vector<Parameter<double>> model(2, Parameter<double>(Shape{1}));
    nn::SGD sgd(model[0], {.learning_rate = 1});
    sgd.add_group(model[1], {.learning_rate = 4});
    const auto rates = [&] { return std::vector<double>{sgd.learning_rate(0), sgd.learning_rate(1)}; };
    sgd.set_learning_rate(0.5);
    CHECK((rates() == std::vector<double>{0.5, 2}));
    sgd.set_learning_rate(8, 1);
    CHECK((rates() == std::vector<double>{0.5, 8}));
    sgd.set_learning_rate(0);  // a warm-up may start there
    CHECK((rates() == std::vector<double>{0, 0}));
    sgd.set_learning_rate(0.25);
    CHECK((rates() == std::vector<double>{0.25, 1}));
    CHECK(sgd.learning_rate() == 0.25);
    CHECK_THROWS_AS(sgd.learning_rate(2), xtape::IndexError);
    CHECK_THROWS_WITH(sgd.set_learning_rate(1, 2), Catch::Contains("[SGD] group 2 of 2"));
    CHECK_THROWS_AS(sgd.set_learning_rate(-1, 1), std::invalid_argument);
}

TEST_CASE("optimizer: nothing has a proportion to a group that was made with a rate of 0") {
    std::vector<Parameter<double>> model(2, Parameter<double>(Shape{1}));
    nn::SGD sgd(model[0], {.learning_rate = 0});
    sgd.set_learning_rate(3);
    CHECK(sgd.learning_rate() == 3);
    sgd.add_group(model[1], {.learning_rate = 4});
    CHECK_THROWS_WITH(sgd.set_learning_rate(1), Catch::Contains("the first was made with 0"));
    CHECK(sgd.learning_rate() == 3);
}

TEST_CASE("optimizer: a parameter is in one group, tied ones included") {
    std::vector<Parameter<double>> model(3, Parameter<double>(Shape{1}));
    tie(model[2], model[0]);
    nn::Adam adam(model[0]);
    using Catch::Contains;
    CHECK_THROWS_WITH(adam.add_group(model[0], {}), Contains("[Adam] the parameter is in a group already"));
    CHECK_THROWS_WITH(adam.add_group(model[2], {}), Contains("in a group already"));
    CHECK_THROWS_WITH(adam.add_group(model, {}), Contains("[Adam] 0 is in a group already"));
    CHECK(adam.groups() == 1);
    CHECK_THROWS_WITH(adam.add_group(model[1], {.beta1 = 1}), Contains("[Adam] beta1"));
    CHECK_THROWS_WITH(adam.add_group(model[1], {.learning_rate = -1}), Contains("[Adam] learning_rate"));
    CHECK(adam.groups() == 1);
    adam.add_group(model[1], {.learning_rate = 0.25});
    model[1].grad()(0) = 1;
    adam.step();
    CHECK(model[1].value()(0) == Approx(-0.25));
    CHECK(model[0].value()(0) == 0);
}

TEST_CASE("optimizer: centered RMSprop stays finite while a gradient stays the same") {
    // v - a² tends to 0, and is below it for some of these when rounded.
    constexpr std::size_t count = 64;
    Parameter<float> p(Shape{count});
    nn::RMSprop rmsprop(p, {.alpha = 0.5, .centered = true});
    for (std::size_t k = 0; k < count; ++k) p.grad()(k) = 1 + float(k) / 7;
    for (int step = 0; step < 100; ++step) rmsprop.step();
    for (std::size_t k = 0; k < count; ++k) CHECK(std::isfinite(p.value()(k)));
}

TEST_CASE("optimizer: the learning rate can be set between steps") {
    Parameter<double> p(Shape{1});
    nn::SGD sgd(p, {.learning_rate = 1});
    p.grad()(0) = 1;
    sgd.step();
    CHECK(p.value()(0) == -1);
    sgd.set_learning_rate(0.5);
    CHECK(sgd.learning_rate() == 0.5);
    sgd.step();
    CHECK(p.value()(0) == -1.5);
    nn::Adam adam(p);
    adam.set_learning_rate(0.125);
    CHECK(adam.learning_rate() == 0.125);
    CHECK_THROWS_AS(adam.set_learning_rate(-1), std::invalid_argument);
}

TEST_CASE("optimizer: follows a model that is moved, and one that another is assigned to") {
    nn::Engine engine(1);
    nn::Linear<double> model(2, 3, engine);
    nn::SGD sgd(model, {.learning_rate = 1});
    nn::Linear<double> moved = std::move(model);
    moved.bias.grad() += 1;
    sgd.step();
    CHECK(moved.bias.value()(0) == -1);

    const nn::Linear<double> best(2, 3, engine);
    moved = best;
    moved.bias.zero_grad();
    moved.bias.grad() += 2;
    sgd.step();
    CHECK(moved.bias.value()(0) == -2);
    CHECK(best.bias.value()(0) == 0);
}

TEST_CASE("optimizer: options that make no sense are refused by name") {
    Parameter<double> p(Shape{1});
    using Catch::Contains;
    CHECK_THROWS_WITH(nn::SGD(p, {.learning_rate = -1}), Contains("[SGD] learning_rate"));
    CHECK_THROWS_WITH(nn::SGD(p, {.momentum = std::nan("")}), Contains("[SGD] momentum"));
    CHECK_THROWS_WITH(nn::SGD(p, {.nesterov = true}), Contains("[SGD] nesterov"));
    CHECK_THROWS_WITH(nn::Adam(p, {.beta1 = 1}), Contains("[Adam] beta1"));
    CHECK_THROWS_WITH(nn::Adam(p, {.beta2 = -0.1}), Contains("[Adam] beta2"));
    CHECK_THROWS_AS(nn::Adam(p, {.epsilon = -1}), std::invalid_argument);
    CHECK_THROWS_WITH(nn::SGD(p, {.dampening = 2}), Contains("[SGD] dampening"));
    CHECK_THROWS_WITH(nn::SGD(p, {.momentum = 0.5, .dampening = 0.5, .nesterov = true}),
                      Contains("[SGD] nesterov with dampening"));
    CHECK_THROWS_WITH(nn::AdamW(p, {.weight_decay = -1}), Contains("[AdamW] weight_decay"));
    CHECK_THROWS_WITH(nn::AdamW(p, {.beta1 = 1}), Contains("[AdamW] beta1"));
    CHECK_THROWS_WITH(nn::RMSprop(p, {.learning_rate = -1}), Contains("[RMSprop] learning_rate"));
    CHECK_THROWS_WITH(nn::RMSprop(p, {.alpha = 1}), Contains("[RMSprop] alpha"));
    CHECK_THROWS_WITH(nn::RMSprop(p, {.momentum = -1}), Contains("[RMSprop] momentum"));
    CHECK_THROWS_WITH(nn::Adagrad(p, {.learning_rate_decay = -1}), Contains("[Adagrad] learning_rate_decay"));
    CHECK_THROWS_WITH(nn::Adagrad(p, {.initial_sum = -1}), Contains("[Adagrad] initial_sum"));
    nn::Adagrad adagrad(p);
    CHECK_THROWS_WITH(adagrad.set_learning_rate(-1), Contains("[Adagrad] learning_rate"));
}
