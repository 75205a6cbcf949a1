#include "nn/lbfgs.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

namespace nn = xtape::nn;
using Catch::Contains;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

namespace {

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("lbfgs.txt");
    return file(name);
}

/// What make_lbfgs.py computes.
struct Logistic {
    using value_type = double;
    Parameter<double> w{Shape{5}}, b{Shape{}};

    Var<double> loss(Tape<double>& tape) const {
        const Var<double> weights = tape.watch(w);
        const Var<double> scores = matmul(tape.constant(golden("inputs")), weights) + tape.watch(b);
        const Var<double> each = softplus(-tape.constant(golden("signs")) * scores);
        return mean(each) + 0.05 * sum(weights * weights);
    }

    template <class F>
    void visit(F&& f) {
        f("w", w);
        f("b", b);
    }
};

struct Valley {
    using value_type = double;
    Parameter<double> x{golden("start")};

    Var<double> loss(Tape<double>& tape) const {
        const Var<double> all = tape.watch(x);
        const Var<double> a = slice(all, 0, 0, -1), b = slice(all, 0, 1);
        return sum(4 * square(b - square(a)) + square(1 - a));
    }

    template <class F>
    void visit(F&& f) {
        f("x", x);
    }
};

/// What step() is given; counts how often it is called.
template <class Model>
struct Closure {
    Model& model;
    int calls = 0;
    Tape<double> tape{};

    double operator()() {
        ++calls;
        tape.clear();
        nn::zero_grad(model);
        const Var<double> loss = model.loss(tape);
        backward(loss);
        return loss.item();
    }
};

template <class Model>
void check_path(const std::string& name, nn::LBFGSOptions options) {
    INFO(name);
    const xt::xarray<double>& path = golden(name + "/path");
    Model model;
    nn::LBFGS optimizer(model, options);
    for (std::size_t step = 0; step < path.shape(0); ++step) {
        INFO("step " << step);
        Closure<Model> closure{model};
        const double loss = optimizer.step(closure);
        CHECK(std::abs(loss - golden(name + "/losses")(step)) < 1e-12);
        CHECK(closure.calls == golden(name + "/calls")(step));
        std::size_t k = 0;
        nn::for_each_parameter(model, [&](const Parameter<double>& p) {
            for (std::size_t i = 0; i < p.size(); ++i) CHECK(std::abs(p.data()[i] - path(step, k++)) < 1e-12);
        });
    }
}

}  // namespace

TEST_CASE("lbfgs: takes PyTorch's path, without a line search") {
    check_path<Logistic>("plain", {.learning_rate = 0.3, .iterations = 2, .history = 3});
    check_path<Logistic>("plain_whole_steps", {.learning_rate = 1, .iterations = 1});
}

TEST_CASE("lbfgs: takes PyTorch's path, with the line search, and calls as often") {
    constexpr nn::LineSearch wolfe = nn::LineSearch::strong_wolfe;
    check_path<Valley>("wolfe", {.iterations = 2, .history = 4, .line_search = wolfe});
    check_path<Valley>("wolfe_from_near",
                       {.learning_rate = 0.001, .iterations = 1, .history = 2, .line_search = wolfe});
    check_path<Valley>("wolfe_from_afar", {.learning_rate = 30, .iterations = 1, .line_search = wolfe});
    check_path<Valley>("wolfe_to_the_end", {.line_search = wolfe});
}

namespace {

/// Of one element x: (x - 1)² and its gradient, and whatever `change` makes of both.
template <class T, class Change>
auto parabola(Parameter<T>& x, Change change) {
    return [&x, change] {
        const T at = x.data()[0];
        T gradient = 2 * (at - 1);
        double loss = static_cast<double>((at - 1) * (at - 1));
        change(static_cast<double>(at), loss, gradient);
        x.zero_grad();
        x.grad_data()[0] = gradient;
        return loss;
    };
}

}  // namespace

TEST_CASE("lbfgs: finds the bottom of a parabola, of floats as well") {
    Parameter<float> x(Shape{1});
    nn::LBFGS optimizer(x, {.iterations = 5, .line_search = nn::LineSearch::strong_wolfe});
    const double first = optimizer.step(parabola(x, [](double, double&, float&) {}));
    CHECK(first == 1);
    CHECK(x.data()[0] == Approx(1).epsilon(1e-6));
}

TEST_CASE("lbfgs: the line search goes round places where the loss isn't finite") {
    for (double broken :
         {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
        CAPTURE(broken);
        Parameter<double> x(Shape{1});
        nn::LBFGS optimizer(x, {.learning_rate = 100, .line_search = nn::LineSearch::strong_wolfe});
        std::vector<double> tried;
        optimizer.step(parabola(x, [&](double at, double& loss, double& gradient) {
            tried.push_back(at);
            if (at > 1.5) loss = gradient = broken;
        }));
        CHECK(tried[1] > 1.5);
        CHECK(x.data()[0] == Approx(1));
    }
}

TEST_CASE(
    "lbfgs: a loss or a gradient that isn't finite throws, and the parameters are where the iteration "
    "began") {
    Parameter<double> x(Shape{1});
    nn::LBFGS optimizer(x, {.learning_rate = 0.25, .iterations = 5});
    std::vector<double> tried;
    const auto fails_third = [&](bool in_loss) {
        tried.clear();
        return parabola(x, [&tried, in_loss](double at, double& loss, double& gradient) {
            tried.push_back(at);
            if (tried.size() == 3) (in_loss ? loss : gradient) = std::nan("");
        });
    };
    CHECK_THROWS_WITH(optimizer.step(fails_third(true)), Contains("[LBFGS] the loss is nan"));
    CHECK(tried.size() == 3);
    CHECK(tried[1] != tried[2]);
    CHECK(x.data()[0] == tried[1]);
    CHECK_THROWS_WITH(optimizer.step(fails_third(false)), Contains("[LBFGS] a gradient isn't finite"));
    CHECK(x.data()[0] == tried[1]);
    optimizer.step(parabola(x, [](double, double&, double&) {}));  // and goes on
    CHECK(x.data()[0] == Approx(1).margin(0.5));
}

TEST_CASE("lbfgs: a closure that throws in the middle of a search leaves the parameters where it began") {
    Parameter<double> x(Shape{1});
    nn::LBFGS optimizer(x, {.line_search = nn::LineSearch::strong_wolfe});
    int calls = 0;
    const auto closure = parabola(x, [&](double, double&, double&) {
        if (++calls == 2) throw std::runtime_error("no");
    });
    x.data()[0] = -3;
    CHECK_THROWS_AS(optimizer.step(closure), std::runtime_error);
    CHECK(calls == 2);
    CHECK(x.data()[0] == -3);
}

TEST_CASE("lbfgs: a frozen parameter stays, at the bottom nothing moves, and one call is enough to see it") {
    std::vector<Parameter<double>> model(2, Parameter<double>(Shape{1}));
    model[1].freeze();
    nn::LBFGS optimizer(model, {.line_search = nn::LineSearch::strong_wolfe});
    int calls = 0;
    const auto closure = parabola(model[0], [&](double, double&, double&) { ++calls; });
    optimizer.step(closure);
    CHECK(model[0].data()[0] == Approx(1));
    CHECK(model[1].data()[0] == 0);
    calls = 0;
    optimizer.step(closure);
    CHECK(calls == 1);
}

TEST_CASE("lbfgs: options that make no sense are refused by name") {
    Parameter<double> x(Shape{1});
    CHECK_THROWS_WITH(nn::LBFGS(x, {.learning_rate = -1}), Contains("[LBFGS] learning_rate"));
    CHECK_THROWS_WITH(nn::LBFGS(x, {.iterations = 0}), Contains("[LBFGS] iterations"));
    CHECK_THROWS_WITH(nn::LBFGS(x, {.gradient_tolerance = -1}), Contains("[LBFGS] gradient_tolerance"));
    CHECK_THROWS_WITH(nn::LBFGS(x, {.change_tolerance = -1}), Contains("[LBFGS] change_tolerance"));
    CHECK_THROWS_WITH(nn::LBFGS(x, {.history = 0}), Contains("[LBFGS] history"));
    nn::LBFGS optimizer(x);
    optimizer.set_learning_rate(0.5);
    CHECK(optimizer.learning_rate() == 0.5);
    CHECK_THROWS_AS(optimizer.set_learning_rate(-1), std::invalid_argument);
}
