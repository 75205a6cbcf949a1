#include "autograd/softmax.hpp"

#include <cmath>
#include <limits>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("softmax: values over one and several axes, of rows of any length", "[softmax]") {
    for (std::size_t length : {1u, 2u, 7u, 8u, 9u, 16u, 17u, 33u, 511u, 512u, 513u, 1500u}) {
        CAPTURE(length);
        const auto x = random({3, 2, length}, 1, -4, 4);
        const Numbers e = xt::exp(x);
        Tape<double> tape;
        const auto v = tape.variable(x);
        for (const std::vector<std::ptrdiff_t>& chosen :
             {std::vector<std::ptrdiff_t>{2}, {1}, {0}, {0, 2}, {1, 2}}) {
            Axes axes;
            for (std::ptrdiff_t axis : chosen) axes.push_back(axis);
            const Numbers total = xt::sum(e, chosen, xt::keep_dims);
            CHECK(difference(softmax(v, axes).value(), Numbers(e / total)) < 1e-15);
            CHECK(difference(log_softmax(v, axes).value(), Numbers(x - xt::log(total))) < 1e-14);
            CHECK(difference(logsumexp(v, axes, true).value(), Numbers(xt::log(total))) < 1e-14);
        }
        CHECK(logsumexp(v).item() == Approx(std::log(xt::sum(e)())).epsilon(1e-14));
        CHECK(difference(softmax(v).value(), softmax(v, {-1}).value()) == 0);
    }
}

TEST_CASE("softmax: large numbers neither overflow nor lose what is small", "[softmax]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>{1000.0, 1001.0, 300.0});
    const double e = std::exp(1.0);
    CHECK(logsumexp(x).item() == Approx(1001 + std::log1p(1 / e)).epsilon(1e-15));
    CHECK(difference(softmax(x).value(), xt::xarray<double>{1 / (1 + e), e / (1 + e), 0.0}) < 1e-15);
    const Var<double> logs = log_softmax(x);
    CHECK(logs.value()(2) == Approx(-701 - std::log1p(1 / e)).epsilon(1e-15));
    // A tiny chance of being wrong stays: log(1 - 1e-20) rounds to 0, its gradient doesn't vanish.
    Tape<double> other;
    const auto z = other.variable(xt::xarray<double>{46.0, 0.0});
    backward(log_softmax(z)[0]);
    CHECK(z.grad()(1) == Approx(-std::exp(-46.0)).epsilon(1e-12));
    CHECK(softmax(other.variable(xt::xarray<double>{-1e5, -1e5})).value()(0) == 0.5);
}

TEST_CASE("softmax: an element of minus infinity has no share, and no gradient but 0", "[softmax]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>{0.5, -inf, 0.5});
    CHECK(difference(softmax(x).value(), xt::xarray<double>{0.5, 0.0, 0.5}) < 1e-15);
    CHECK(logsumexp(x).item() == Approx(0.5 + std::log(2)));
    CHECK(log_softmax(x).value()(1) == -inf);
    backward(logsumexp(x));
    CHECK(difference(x.grad(), xt::xarray<double>{0.5, 0.0, 0.5}) < 1e-15);
    const auto nothing = tape.variable(xt::xarray<double>{-inf, -inf});
    CHECK(logsumexp(nothing).item() == -inf);
    backward(logsumexp(nothing));
    CHECK(difference(nothing.grad(), xt::xarray<double>{0.0, 0.0}) == 0);
    CHECK(logsumexp(tape.variable(xt::xarray<double>{inf, 1.0})).item() == inf);
    CHECK(std::isnan(logsumexp(tape.variable(xt::xarray<double>{std::nan(""), 1.0})).item()));
}

TEST_CASE("softmax: gradients of a cross entropy are probabilities less the label", "[softmax]") {
    const auto x = random({4, 10}, 1, -3, 3);
    const xt::xarray<int> labels = tensors::column({3, 0, 9, 3});
    Tape<double> tape;
    const auto v = tape.variable(x);
    backward(-sum(take_along_axis(log_softmax(v), labels, 1)));
    const Numbers e = xt::exp(x);
    const Numbers total = xt::sum(e, {1}, xt::keep_dims);
    Numbers expected = e / total;
    for (std::size_t i = 0; i < 4; ++i) expected(i, static_cast<std::size_t>(labels(i, 0))) -= 1;
    CHECK(difference(v.grad(), expected) < 1e-15);
}

TEST_CASE("softmax: of nothing", "[softmax]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>(xt::zeros<double>({2, 0})));
    CHECK(difference(logsumexp(x, {1}).value(), xt::xarray<double>{-inf, -inf}) == 0);
    CHECK(softmax(x).shape() == Shape{2, 0});
}

TEST_CASE("softmax: gradients over any axes reach tensors, views of them, and what is used twice",
          "[softmax]") {
    const auto x = random({3, 4, 5}, 1, -2, 2), weight = random({3, 4, 5}, 2);
    for (const Axes& axes : {Axes{2}, Axes{1}, Axes{0}, Axes{0, 2}, Axes{1, 2}, Axes{}}) {
        const auto each = [&](auto function) {
            gradcheck([&](std::span<const Var<double>> in) { return function(in[0]); }, {x});
        };
        const auto all_of = [&](const Var<double>& v, const Var<double>& w) -> Var<double> {
            return softmax(v, axes) * w + log_softmax(v, axes) * w + square(logsumexp(v, axes, true));
        };
        each([&](const Var<double>& v) -> Var<double> { return all_of(v, v.tape().constant(weight)); });
        each([&](const Var<double>& v) -> Var<double> {
            const Var<double> turned = transpose(v, {2, 1, 0});
            return all_of(turned, transpose(v.tape().constant(weight), {2, 1, 0}));
        });
        each([&](const Var<double>& v) -> Var<double> {
            const Var<double> part = slice(v, 2, 1, 4);
            return all_of(part, slice(v.tape().constant(weight), 2, 1, 4));
        });
    }
}
