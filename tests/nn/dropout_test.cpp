#include "nn/dropout.hpp"

#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

TEST_CASE("dropout: drops about its share of elements and scales the others up") {
    nn::Engine engine(1);
    const nn::Dropout dropout(0.2, engine);
    Tape<double> tape;
    const Var<double> x = tape.variable(xt::xarray<double>(xt::ones<double>({100, 200}) * 3));
    const Var<double> y = dropout(x);
    std::size_t dropped = 0;
    for (double element : y.value()) {
        CHECK((element == 0 || element == Approx(3 / 0.8)));
        if (element == 0) ++dropped;
    }
    CHECK(std::abs(static_cast<double>(dropped) - 4000) < 4 * std::sqrt(20000 * 0.2 * 0.8));
    backward(sum(y));
    CHECK(distance(x.grad(), xt::xarray<double>(y.value() / 3)) < 1e-15);
}

TEST_CASE("dropout: draws a new mask at each call, and the same ones from the same seed") {
    const auto two_calls = [] {
        nn::Engine engine(7);
        const nn::Dropout dropout(0.5, engine);
        Tape<double> tape;
        const Var<double> x = tape.constant(Matrix(xt::ones<double>(std::array{8, 8})));
        return std::vector<Matrix>{matrix(dropout(x)), matrix(dropout(x))};
    };
    const auto masks = two_calls();
    CHECK(distance(masks[0], masks[1]) > 0);
    CHECK((two_calls() == masks));
}

TEST_CASE("dropout: in evaluation, or with rate 0, hands on what it gets and draws nothing") {
    nn::Engine engine(1);
    nn::Dropout dropout(0.5, engine), never(0, engine);
    const nn::Engine before = engine;
    Tape<double> tape;
    const Var<double> x = tape.constant(Matrix(xt::ones<double>(std::array{4, 4})));
    nn::eval(dropout);
    CHECK(dropout(x).index() == x.index());
    CHECK(never(x).index() == x.index());
    CHECK((engine == before));
    nn::train(dropout);
    CHECK(dropout(x).index() != x.index());
}

TEST_CASE("dropout: with rate 1 leaves nothing, and other rates are refused") {
    nn::Engine engine(1);
    Tape<double> tape;
    const Var<double> x = tape.constant(Matrix(xt::ones<double>(std::array{4, 4})));
    CHECK(distance(nn::Dropout(1, engine)(x).value(), xt::xarray<double>(xt::zeros<double>({4, 4}))) == 0);
    CHECK_THROWS_WITH(nn::Dropout(1.5, engine), Catch::Contains("[Dropout] rate is 1.5"));
    CHECK_THROWS_AS(nn::Dropout(-0.1, engine), std::invalid_argument);
    CHECK_THROWS_AS(nn::Dropout(NAN, engine), std::invalid_argument);
}

TEST_CASE("dropout: in a step that wrongly promises to be the same at every time, draws at every time") {
    nn::Engine engine(1);
    const nn::Dropout dropout(0.5, engine);
    Tape<double> tape;
    const Var<double> xs = tape.constant(Matrix(xt::ones<double>(std::array{20, 30})));
    const auto [outputs, last] = nn::unroll(
        nn::every_step([&](const Var<double>& x, const Var<double>&) { return dropout(x); }), xs, xs[0]);
    const Matrix y = outputs.value();
    for (std::size_t t = 1; t < 20; ++t) CHECK(distance(rows(y, t, t + 1), rows(y, t - 1, t)) > 0);
}

namespace {

struct Model {
    nn::Engine engine{1};
    nn::Linear<double> linear{2, 3, engine};
    std::vector<nn::Dropout> dropouts{{0.5, engine}, {0.1, engine}};
    bool training = true;

    template <class F>
    void visit(F&& f) {
        f("linear", linear);
        f("dropouts", dropouts);
    }
};

}  // namespace

TEST_CASE("dropout: train and eval reach every module in a model, and the model itself") {
    Model model;
    nn::eval(model);
    CHECK_FALSE(model.training);
    for (const nn::Dropout& dropout : model.dropouts) CHECK_FALSE(dropout.training);
    nn::train(model);
    CHECK(model.training);
    for (const nn::Dropout& dropout : model.dropouts) CHECK(dropout.training);
    CHECK(nn::parameter_count(model) == 2 * 3 + 3);
}
