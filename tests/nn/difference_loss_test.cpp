#include "nn/difference_loss.hpp"

#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "nn/engine.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::gradcheck;
using xtape::gradgradcheck;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

const Matrix d{{-3, -0.5, 0}, {0.25, 2, 1e300}};

/// The losses of the differences above, and the gradient of their sum.
template <class Loss>
std::pair<Matrix, Matrix> losses_and_gradient(Loss loss) {
    Tape<double> tape;
    const Var<double> y = tape.variable(d);
    const Var<double> losses = loss(y, tape.constant(Matrix(xt::zeros_like(d))));
    backward(sum(losses));
    return {losses.value(), y.grad()};
}

}  // namespace

TEST_CASE("l1: is the distance, with its sign as gradient") {
    const auto [losses, gradient] =
        losses_and_gradient([](auto y, auto target) { return nn::l1(y, target, nn::Reduction::none); });
    CHECK((losses == Matrix{{3, 0.5, 0}, {0.25, 2, 1e300}}));
    CHECK((gradient == Matrix{{-1, -1, 0}, {1, 1, 1}}));
}

TEST_CASE("smooth l1: is a parabola of curvature 1/beta that goes on straight, with slope 1, from beta") {
    const auto [losses, gradient] = losses_and_gradient(
        [](auto y, auto target) { return nn::smooth_l1(y, target, 0.5, nn::Reduction::none); });
    CHECK((losses == Matrix{{2.75, 0.25, 0}, {0.0625, 1.75, 1e300}}));
    CHECK((gradient == Matrix{{-1, -1, 0}, {0.5, 1, 1}}));
}

TEST_CASE("huber: is half the square, and goes on straight from delta") {
    const auto [losses, gradient] =
        losses_and_gradient([](auto y, auto target) { return nn::huber(y, target, 2, nn::Reduction::none); });
    CHECK((losses == Matrix{{4, 0.125, 0}, {0.03125, 2, 2e300}}));
    CHECK((gradient == Matrix{{-2, -0.5, 0}, {0.25, 2, 2}}));
}

TEST_CASE("difference losses: gradients agree with differences, and those of gradients") {
    nn::Engine engine(1);
    const std::array<std::size_t, 2> shape{3, 4};
    const Matrix y = random(engine, shape, 2), target = random(engine, shape, 2);
    for (auto reduction : {nn::Reduction::mean, nn::Reduction::sum, nn::Reduction::none}) {
        const std::function<Var<double>(Var<double>, Var<double>)> losses[] = {
            [&](auto a, auto b) { return nn::mse(a, b, reduction); },
            [&](auto a, auto b) { return nn::l1(a, b, reduction); },
            [&](auto a, auto b) { return nn::smooth_l1(a, b, 0.7, reduction); },
            [&](auto a, auto b) { return nn::huber(a, b, 1.3, reduction); }};
        for (const auto& loss : losses) gradcheck([&](auto in) { return loss(in[0], in[1]); }, {y, target});
        gradgradcheck([&](auto in) { return nn::huber(in[0], in[1], 1.3, reduction); }, {y, target});
    }
}

TEST_CASE("difference losses: with a mask only its elements count, and none leaves 0 for the others") {
    constexpr double anything = std::numeric_limits<double>::quiet_NaN();
    const Matrix y{{1, anything}, {anything, 5}, {3, 4}}, target{{0, 1}, {2, 2}, {anything, 1}};
    const xt::xarray<bool> mask{{true, false}, {false, true}, {false, true}};  // differences 1, 3, 3
    Tape<double> tape;
    const Var<double> at = tape.variable(y), to = tape.constant(target);
    CHECK(nn::mse(at, to, mask).item() == Approx(19.0 / 3));
    CHECK(nn::l1(at, to, mask, nn::Reduction::sum).item() == 7);
    CHECK(nn::smooth_l1(at, to, mask, 2, nn::Reduction::sum).item() == 0.25 + 2 + 2);
    const Var<double> losses = nn::huber(at, to, mask, 2, nn::Reduction::none);
    CHECK((losses.value() == Matrix{{0.5, 0}, {0, 4}, {0, 4}}));
    backward(sum(losses));
    CHECK((at.grad() == Matrix{{1, 0}, {0, 2}, {0, 2}}));

    const xt::xarray<bool> rows{false, false, true};  // of the leading axis alone
    const Var<double> whole_rows = nn::mse(at, tape.constant(Matrix{{0, 0}, {0, 0}, {1, 1}}), rows,  //
                                           nn::Reduction::none);
    CHECK((whole_rows.value() == Matrix{{0, 0}, {0, 0}, {4, 9}}));
}

TEST_CASE("difference losses: other shapes, and a bend that isn't positive, are refused") {
    Tape<double> tape;
    const Var<double> y = tape.constant(Matrix(xt::zeros<double>({2, 3}))), z = transpose(y);
    CHECK_THROWS_WITH(nn::l1(y, z), Catch::Contains("[l1] shape (2, 3)") && Catch::Contains("(3, 2)"));
    CHECK_THROWS_AS(nn::huber(y, z), xtape::ShapeError);
    CHECK_THROWS_AS(nn::smooth_l1(y, z), xtape::ShapeError);
    CHECK_THROWS_WITH(nn::huber(y, y, 0), Catch::Contains("[huber] delta is 0"));
    CHECK_THROWS_AS(nn::smooth_l1(y, y, -1), std::invalid_argument);
    CHECK_THROWS_AS(nn::smooth_l1(y, y, std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
    const xt::xarray<bool> nothing = xt::zeros<bool>({2}), too_long = xt::ones<bool>({3});
    CHECK_THROWS_WITH(nn::l1(y, y, nothing), Catch::Contains("[l1] a mask that no sample passes"));
    CHECK_THROWS_AS(nn::huber(y, y, too_long), xtape::ShapeError);
}
