#include "nn/cross_entropy.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "nn/engine.hpp"
#include "nn/nll.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::gradcheck;
using xtape::gradgradcheck;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr double anything = std::numeric_limits<double>::quiet_NaN();
constexpr nn::Reduction reductions[] = {nn::Reduction::mean, nn::Reduction::sum, nn::Reduction::none};

// Rows whose softmax is (1/4, 1/2, 1/4), (1/2, 1/4, 1/4) and (1/8, 1/8, 3/4).
const Matrix logits = xt::log(Matrix{{1, 2, 1}, {2, 1, 1}, {1, 1, 6}});
const Matrix softmaxes{{0.25, 0.5, 0.25}, {0.5, 0.25, 0.25}, {0.125, 0.125, 0.75}};
const xt::xtensor<int, 1> classes{1, 2, 0};  // with probabilities 1/2, 1/4 and 1/8
const double ln2 = std::log(2.0);

}  // namespace

TEST_CASE("cross entropy: without a reduction there is a loss for each sample, in the samples' shape") {
    const Sequence by_time{{{0, 0}, {0, 0}, {0, 0}}, {{0, 0}, {0, 0}, {0, 0}}};
    Tape<double> tape;
    const Var<double> x = tape.constant(by_time);
    const xt::xtensor<int, 2> labels{{0, 1, 0}, {1, 1, 0}};
    const Matrix expected{{ln2, ln2, ln2}, {ln2, ln2, ln2}};
    CHECK(distance(nn::cross_entropy(x, labels, nn::Reduction::none).value(), expected) < 1e-15);
    const xt::xtensor<bool, 2> mask{{true, false, true}, {true, true, false}};
    CHECK(distance(nn::cross_entropy(x, labels, mask, nn::Reduction::none).value(),
                   Matrix{{ln2, 0, ln2}, {ln2, ln2, 0}}) < 1e-15);
    CHECK(distance(nn::cross_entropy(x, std::vector<int>(6), nn::Reduction::none).value(), expected) < 1e-15);
}

TEST_CASE("cross entropy: weights of classes multiply losses, and the mean divides by their sum") {
    const std::vector<double> weights{8, 2, 4};  // of the samples 2, 4, 8
    Tape<double> tape;
    const Var<double> x = tape.variable(logits);
    CHECK(distance(
              nn::cross_entropy(x, classes, {.reduction = nn::Reduction::none, .weights = weights}).value(),
              Vector(ln2 * Vector{2 * 1, 4 * 2, 8 * 3})) < 1e-14);
    const Var<double> loss = nn::cross_entropy(x, classes, {.weights = weights});
    CHECK(loss.item() == Approx(34 * ln2 / 14).epsilon(1e-14));
    backward(loss);
    Matrix gradient = softmaxes;
    for (std::size_t n = 0; n < 3; ++n) {
        gradient(n, static_cast<std::size_t>(classes(n))) -= 1;
        for (std::size_t c = 0; c < 3; ++c) gradient(n, c) *= std::array{2, 4, 8}[n] / 14.0;
    }
    CHECK(distance(x.grad(), gradient) < 1e-15);
}

TEST_CASE("cross entropy: samples of an ignored class have no influence, whatever they hold") {
    Matrix broken = logits;
    for (std::size_t c = 0; c < 3; ++c) broken(1, c) = anything;
    const std::vector<int> labels{1, -100, 0};
    Tape<double> tape;
    const Var<double> x = tape.variable(broken);
    const Var<double> loss = nn::cross_entropy(x, labels, {.ignore_index = -100});
    CHECK(loss.item() == Approx((1 + 3) * ln2 / 2).epsilon(1e-14));
    backward(loss);
    CHECK(distance(x.grad(), Matrix{{0.125, -0.25, 0.125}, {0, 0, 0}, {-0.4375, 0.0625, 0.375}}) < 1e-15);
    const Var<double> each =
        nn::cross_entropy(x, labels, {.reduction = nn::Reduction::none, .ignore_index = -100});
    CHECK(distance(each.value(), Vector{ln2, 0, 3 * ln2}) < 1e-15);
    // Beside a mask both decide.
    const xt::xtensor<int, 1> same{1, -100, 0};
    const xt::xtensor<bool, 1> mask{false, true, true};
    CHECK(nn::cross_entropy(x, same, mask, {.ignore_index = -100}).item() == Approx(3 * ln2));
}

TEST_CASE("cross entropy: smoothed labels are probabilities 1 - ε + ε/C and ε/C") {
    const double rest = 0.3 / 3;
    Matrix smoothed = xt::ones<double>({3, 3}) * rest;
    for (std::size_t n = 0; n < 3; ++n) smoothed(n, static_cast<std::size_t>(classes(n))) += 0.7;
    double expected = 0;
    for (std::size_t n = 0; n < 3; ++n)
        for (std::size_t c = 0; c < 3; ++c) expected -= smoothed(n, c) * std::log(softmaxes(n, c)) / 3;
    Tape<double> tape;
    const Var<double> x = tape.variable(logits), y = tape.variable(logits);
    const Var<double> loss = nn::cross_entropy(x, classes, {.label_smoothing = 0.3});
    CHECK(loss.item() == Approx(expected).epsilon(1e-14));
    backward(loss);
    CHECK(distance(x.grad(), Matrix((softmaxes - smoothed) / 3)) < 1e-15);
    backward(nn::cross_entropy(y, tape.constant(smoothed)));
    CHECK(distance(y.grad(), Matrix((softmaxes - smoothed) / 3)) < 1e-15);
}

TEST_CASE("cross entropy: of probabilities is -Σ p log softmax, with the mean over samples") {
    const Matrix p{{0.5, 0.25, 0.25}, {1, 0, 0}, {0, 1, 0}};
    const Vector losses = ln2 * Vector{0.5 * 2 + 0.25 * 1 + 0.25 * 2, 1, 3};
    Tape<double> tape;
    const Var<double> x = tape.variable(logits), target = tape.constant(p);
    CHECK(distance(nn::cross_entropy(x, target, nn::Reduction::none).value(), losses) < 1e-15);
    const Var<double> loss = nn::cross_entropy(x, target);
    CHECK(loss.item() == Approx(5.75 * ln2 / 3).epsilon(1e-14));
    backward(loss);
    CHECK(distance(x.grad(), Matrix((softmaxes - p) / 3)) < 1e-15);
    CHECK(nn::cross_entropy(x, target, {.weights = {4, 2, 4}}).item() ==
          Approx((2 * 2 + 0.5 + 2 + 4 + 6) * ln2 / 3).epsilon(1e-14));
    const xt::xtensor<bool, 1> mask{true, false, true};
    CHECK(nn::cross_entropy(x, target, mask).item() == Approx(4.75 * ln2 / 2).epsilon(1e-14));
    CHECK(distance(nn::cross_entropy(x, target, mask, nn::Reduction::none).value(),
                   Vector{losses(0), 0, losses(2)}) < 1e-15);
}

TEST_CASE("cross entropy: of a class that is impossible, and that nothing asks for, is finite") {
    Tape<double> tape;
    const Var<double> x = tape.variable(Vector{0, -std::numeric_limits<double>::infinity(), 0});
    const Var<double> loss = nn::cross_entropy(x, tape.constant(Vector{1, 0, 0}));
    CHECK(loss.item() == Approx(ln2));
    backward(loss);
    CHECK(distance(x.grad(), Vector{-0.5, 0, 0.5}) < 1e-15);
}

TEST_CASE("cross entropy: is exact at logits of ±1000, with every option") {
    const Matrix far{{1000, -1000}, {1000, -1000}};
    const std::vector<int> labels{0, 1};
    Tape<double> tape;
    const Var<double> x = tape.variable(far);
    const auto each = [](nn::CrossEntropyOptions options) {
        options.reduction = nn::Reduction::none;
        return options;
    };
    CHECK((nn::cross_entropy(x, labels, each({})).value() == Vector{0, 2000}));
    CHECK((nn::cross_entropy(x, labels, each({.weights = {3, 2}})).value() == Vector{0, 4000}));
    CHECK((nn::cross_entropy(x, labels, each({.label_smoothing = 0.5})).value() == Vector{500, 1500}));
    const Var<double> p = tape.constant(Matrix{{1, 0}, {0.25, 0.75}});
    CHECK((nn::cross_entropy(x, p, each({})).value() == Vector{0, 1500}));
    CHECK((nn::nll(log_softmax(x), labels, nn::Reduction::none).value() == Vector{0, 2000}));
    backward(nn::cross_entropy(x, labels, {.reduction = nn::Reduction::sum, .label_smoothing = 0.5}));
    CHECK((x.grad() == Matrix{{0.25, -0.25}, {0.75, -0.75}}));
}

TEST_CASE("nll: is minus the logarithm at the class") {
    const Matrix log_p = xt::log(softmaxes);
    Tape<double> tape;
    const Var<double> x = tape.variable(log_p);
    CHECK(distance(nn::nll(x, classes, nn::Reduction::none).value(), Vector(ln2 * Vector{1, 2, 3})) < 1e-15);
    CHECK(nn::nll(x, std::vector<std::uint8_t>{1, 2, 0}, nn::Reduction::sum).item() == Approx(6 * ln2));
    const xt::xtensor<bool, 1> mask{true, false, true};
    CHECK(nn::nll(x, classes, mask).item() == Approx(2 * ln2));
    const Var<double> loss = nn::nll(x, classes, {.ignore_index = 2, .weights = {3, 1, 1}});
    CHECK(loss.item() == Approx((1 + 9) * ln2 / 4));
    backward(loss);
    CHECK((x.grad() == Matrix{{0, -0.25, 0}, {0, 0, 0}, {-0.75, 0, 0}}));
}

TEST_CASE("class losses: gradients agree with differences, and those of gradients") {
    nn::Engine engine(1);
    const std::array<std::size_t, 2> shape{3, 4};
    const Matrix x = random(engine, shape), p = sigma(random(engine, shape));
    const std::vector<int> labels{3, 1, 0};
    for (nn::Reduction reduction : reductions) {
        const nn::CrossEntropyOptions options{
            .reduction = reduction, .weights = {1, 2, 0.5, 3}, .label_smoothing = 0.2};
        nn::CrossEntropyOptions ignoring = options;
        ignoring.ignore_index = 1;
        const auto of_classes = [&](auto in) { return nn::cross_entropy(in[0], labels, ignoring); };
        const auto of_probabilities = [&](auto in) { return nn::cross_entropy(in[0], in[1], options); };
        gradcheck(of_classes, {x});
        gradgradcheck(of_classes, {x});
        gradcheck(of_probabilities, {x, p});
        gradgradcheck(of_probabilities, {x, p});
        gradcheck([&](auto in) { return nn::nll(in[0], labels, reduction); }, {x});
    }
}

TEST_CASE("class losses: what doesn't fit is refused") {
    Tape<double> tape;
    const Var<double> x = tape.constant(logits), number = tape.constant(1.0);
    CHECK_THROWS_WITH(nn::nll(x, std::array{1, 2}),
                      Catch::Contains("[nll] 2 classes") && Catch::Contains("(3, 3)"));
    CHECK_THROWS_AS(nn::nll(x, std::array{1, 2, 3}), xtape::IndexError);
    CHECK_THROWS_AS(nn::nll(number, std::array{1}), xtape::ShapeError);
    CHECK_THROWS_WITH(nn::cross_entropy(x, classes, {.weights = {1, 2}}),
                      Catch::Contains("[cross_entropy] 2 weights") && Catch::Contains("(3, 3)"));
    CHECK_THROWS_AS(nn::cross_entropy(x, x, {.weights = {1, 2}}), xtape::ShapeError);
    CHECK_THROWS_AS(nn::cross_entropy(x, classes, {.label_smoothing = 1.5}), std::invalid_argument);
    CHECK_THROWS_AS(nn::cross_entropy(x, std::array{2, 2, 2}, {.ignore_index = 2}), xtape::ShapeError);
    CHECK_THROWS_AS(nn::cross_entropy(x, x, {.ignore_index = 2}), std::invalid_argument);
    CHECK_THROWS_AS(nn::cross_entropy(x, number), xtape::ShapeError);
    CHECK_THROWS_AS(nn::cross_entropy(number, number), xtape::ShapeError);
    const xt::xtensor<bool, 1> mask{true, false};
    CHECK_THROWS_AS(nn::nll(x, classes, mask), xtape::ShapeError);
    CHECK_THROWS_AS(nn::cross_entropy(x, x, mask), xtape::ShapeError);
    const Var<double> by_time = tape.constant(Sequence(xt::zeros<double>({3, 2, 4})));
    const xt::xarray<int> turned = xt::zeros<int>({2, 3});
    const xt::xarray<bool> all = xt::ones<bool>({3, 2});
    CHECK_THROWS_WITH(nn::cross_entropy(by_time, turned, all),
                      Catch::Contains("classes of shape (2, 3)") && Catch::Contains("(3, 2)"));
}

TEST_CASE("class losses: a negative class, one too large and transposed classes are refused") {
    Tape<double> tape;
    const Var<double> x = tape.constant(Sequence(xt::zeros<double>({3, 2, 4})));
    xt::xarray<int> labels = xt::zeros<int>({3, 2});
    CHECK_NOTHROW(nn::cross_entropy(x, labels));
    labels(1, 1) = -1;
    CHECK_THROWS_WITH(nn::cross_entropy(x, labels), Catch::Contains("[cross_entropy] class -1 for 4"));
    CHECK_NOTHROW(nn::cross_entropy(x, labels, {.ignore_index = -1}));
    labels(1, 1) = 4;
    CHECK_THROWS_AS(nn::cross_entropy(x, labels), xtape::IndexError);
    CHECK_THROWS_AS(nn::nll(x, labels), xtape::IndexError);
    const xt::xarray<int> transposed = xt::zeros<int>({2, 3});
    CHECK_THROWS_AS(nn::cross_entropy(x, transposed), xtape::ShapeError);
}
