#include <cmath>

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

TEST_CASE("optimizer: a parameter without a gradient stays, and so do its moments") {
    Parameter<double> still(Shape{2}), moving(Shape{2});
    std::vector<Parameter<double>> both{still, moving};
    nn::Adam adam(both, {.learning_rate = 0.1, .weight_decay = 0.5});
    nn::SGD sgd(both, {.learning_rate = 0.1, .momentum = 0.5, .weight_decay = 0.5});
    both[0].value() += 1;
    both[1].grad() += 1;
    adam.step();
    sgd.step();
    CHECK(both[0].value()(0) == 1);
    CHECK(both[1].value()(0) < 0);
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
}
