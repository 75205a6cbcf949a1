// Formulas 10 to 12: a σ that is accurate in both tails, starting weights, and clipping.

#include <cmath>
#include <limits>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

/// How many units in the last place of the reference `x` is off; subnormal numbers may lose all of theirs.
template <class T>
double ulps(T x, long double reference) {
    const long double smallest = std::numeric_limits<T>::min();
    const long double size = std::max(std::abs(reference), smallest);
    int exponent = 0;
    std::frexp(size, &exponent);
    const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
    return static_cast<double>(std::abs(x - reference) / unit);
}

long double exact_sigma(long double x) { return 1 / (1 + std::exp(-x)); }

template <class T>
void check_sigma_and_tanh(const std::vector<double>& points) {
    xt::xarray<T> x = xt::zeros<T>(std::array{points.size()});
    for (std::size_t k = 0; k < points.size(); ++k) x(k) = static_cast<T>(points[k]);
    Tape<T> tape;
    const Var<T> s_at = tape.variable(x), t_at = tape.variable(x);
    const Var<T> s = sigmoid(s_at), t = tanh(t_at);
    backward(sum(s));
    backward(sum(t));
    for (std::size_t k = 0; k < points.size(); ++k) {
        const long double at = x(k);
        CAPTURE(x(k));
        CHECK(ulps<T>(s.value()(k), exact_sigma(at)) <= 4);
        CHECK(ulps<T>(s_at.grad()(k), exact_sigma(at) * exact_sigma(-at)) <= 8);
        CHECK(ulps<T>(t.value()(k), std::tanh(at)) <= 4);
        CHECK(t_at.grad()(k) >= 0);
        CHECK(t_at.grad()(k) <= 1);
    }
}

struct Statistics {
    double mean, deviation;
};
Statistics statistics(const Parameter<double>& p) {
    double sum = 0, squares = 0;
    for (std::size_t k = 0; k < p.size(); ++k) sum += p.data()[k];
    const double mean = sum / double(p.size());
    for (std::size_t k = 0; k < p.size(); ++k) squares += (p.data()[k] - mean) * (p.data()[k] - mean);
    return {mean, std::sqrt(squares / double(p.size()))};
}

/// Within five standard errors of what independent draws would show.
void check_statistics(const Parameter<double>& p, double deviation) {
    const auto [mean, actual] = statistics(p);
    CAPTURE(mean, actual, deviation);
    CHECK(std::abs(mean) < 5 * deviation / std::sqrt(double(p.size())));
    CHECK(std::abs(actual / deviation - 1) < 5 / std::sqrt(2 * double(p.size())));
}

void check_all(const Parameter<double>& p, double value) {
    for (std::size_t k = 0; k < p.size(); ++k) CHECK(p.data()[k] == value);
}

/// Two parameters whose gradients are (3, 0) and (0, 4): the norm of both is 5.
struct Pair {
    Parameter<double> a{Shape{2}}, b{Shape{2}};
    Pair() {
        a.grad()(0) = 3;
        b.grad()(1) = 4;
    }
    template <class F>
    void visit(F&& f) {
        f("a", a);
        f("b", b);
    }
};

}  // namespace

TEST_CASE("formula 10: σ and its derivative are finite and accurate from -1e4 to 1e4") {
    std::vector<double> points{0};
    for (double x :
         {1e-300, 1e-10, 0.1, 1.0, 2.0, 17.0, 36.0, 40.0, 100.0, 500.0, 700.0, 708.0, 745.0, 1e3, 1e4}) {
        points.push_back(x);
        points.push_back(-x);
    }
    check_sigma_and_tanh<double>(points);
}

TEST_CASE("formula 10: in float as well") {
    std::vector<double> points{0};
    for (double x : {1e-30, 1e-5, 0.1, 1.0, 2.0, 9.0, 17.0, 40.0, 80.0, 87.0, 100.0, 1e4}) {
        points.push_back(x);
        points.push_back(-x);
    }
    check_sigma_and_tanh<float>(points);
}

TEST_CASE(
    "formula 11: weights start normal with the promised deviations, biases with 0 and forget rows with 1") {
    constexpr std::size_t D = 40, H = 60, O = 30;
    nn::Engine engine(11);
    const double hidden = std::sqrt(2.0 / (D + H));

    const nn::RNNCell<double> rnn(D, H, engine);
    check_statistics(rnn.w_xh, hidden);
    check_statistics(rnn.w_hh, hidden);
    check_all(rnn.b_h, 0);
    const nn::LSTMCell<double> lstm(D, H, engine);
    check_statistics(lstm.weight, hidden);
    for (std::size_t k = 0; k < 4 * H; ++k) CHECK(lstm.bias.data()[k] == (k / H == 1 ? 1 : 0));
    const nn::GRUCell<double> gru(D, H, engine);
    check_statistics(gru.weight_x, hidden);
    check_statistics(gru.weight_h, hidden);
    check_all(gru.bias, 0);
    check_all(gru.bias_n, 0);
    const nn::Linear<double> linear(H, O, engine);
    check_statistics(linear.weight, std::sqrt(2.0 / (H + O)));
    check_all(linear.bias, 0);
}

TEST_CASE("formula 11: the named initialisers have the deviations and bounds of their papers") {
    constexpr std::size_t inputs = 80, outputs = 120;
    nn::Engine engine(12);
    Parameter<double> w(Shape{outputs, inputs});
    const auto largest = [&] { return xt::amax(xt::abs(w.value()))(); };
    nn::xavier_normal(w, engine);
    check_statistics(w, std::sqrt(2.0 / (inputs + outputs)));
    nn::xavier_uniform(w, engine);
    check_statistics(w, std::sqrt(2.0 / (inputs + outputs)));
    CHECK(largest() <= std::sqrt(6.0 / (inputs + outputs)));
    nn::kaiming_normal(w, engine);
    check_statistics(w, std::sqrt(2.0 / inputs));
    nn::kaiming_uniform(w, engine);
    check_statistics(w, std::sqrt(2.0 / inputs));
    CHECK(largest() <= std::sqrt(6.0 / inputs));

    nn::LSTMCell<double> lstm(30, 64, engine);
    nn::pytorch_uniform(lstm, 64, engine);
    check_statistics(lstm.weight, 1 / std::sqrt(3.0 * 64));
    check_statistics(lstm.bias, 1 / std::sqrt(3.0 * 64));
    CHECK(xt::amax(xt::abs(lstm.weight.value()))() <= 1 / std::sqrt(64.0));
}

TEST_CASE("formula 11: an orthogonal weight has orthonormal rows, or columns, times its gain") {
    nn::Engine engine(13);
    for (const Shape& shape : {Shape{6, 6}, Shape{4, 9}, Shape{9, 4}}) {
        Parameter<double> w(shape);
        nn::orthogonal(w, engine, 1.5);
        const numbers::Matrix q = numbers::matrix(w);
        const numbers::Matrix gram = shape[0] <= shape[1] ? numbers::product(q, numbers::transposed(q))
                                                          : numbers::product(numbers::transposed(q), q);
        CHECK(numbers::distance(gram, numbers::Matrix(2.25 * xt::eye<double>(gram.shape(0)))) < 1e-13);
    }
}

TEST_CASE("formula 11: one seed gives one model, in float and in double") {
    nn::Engine first(7), second(7), third(8);
    const nn::LSTMCell<double> a(3, 4, first);
    const nn::LSTMCell<float> b(3, 4, second);
    const nn::LSTMCell<double> c(3, 4, third);
    std::size_t different = 0;
    for (std::size_t k = 0; k < a.weight.size(); ++k) {
        CHECK(static_cast<float>(a.weight.data()[k]) == b.weight.data()[k]);
        different += a.weight.data()[k] != c.weight.data()[k];
    }
    CHECK(different == a.weight.size());
}

TEST_CASE("formula 12: gradients whose common norm is too large are all scaled by max/norm") {
    Pair p;
    CHECK(nn::clip_grad_norm(p, 2.0) == 5.0);
    CHECK(p.a.grad()(0) == Approx(3 * 2.0 / 5).epsilon(1e-15));
    CHECK(p.a.grad()(1) == 0);
    CHECK(p.b.grad()(1) == Approx(4 * 2.0 / 5).epsilon(1e-15));
    CHECK(nn::grad_norm(p) == Approx(2.0).epsilon(1e-15));
}

TEST_CASE("formula 12: gradients within the norm stay as they are, to the last bit") {
    Pair p;
    CHECK(nn::clip_grad_norm(p, 5.0) == 5.0);
    CHECK(p.a.grad()(0) == 3);
    CHECK(p.b.grad()(1) == 4);
}

TEST_CASE("formula 12: a gradient that isn't finite is named, and nothing is changed") {
    for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        Pair p;
        p.b.grad()(0) = bad;
        CHECK_THROWS_WITH(nn::clip_grad_norm(p, 1.0), Catch::Contains("gradient of b is not finite"));
        CHECK_THROWS_AS(nn::clip_grad_norm(p, 1.0), xtape::GradientError);
        CHECK(p.a.grad()(0) == 3);
        CHECK(p.b.grad()(1) == 4);
    }
}

TEST_CASE("formula 12: a norm that isn't finite is returned if one asks for it, and nothing is changed") {
    constexpr auto leave = nn::NonFinite::leave;
    for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        Pair p;
        p.a.grad()(1) = bad;
        const double norm = nn::clip_grad_norm(p, 1.0, leave);
        CHECK(std::isnan(norm) == std::isnan(bad));
        CHECK_FALSE(std::isfinite(norm));
        CHECK(p.a.grad()(0) == 3);
        CHECK(p.b.grad()(1) == 4);
    }
    Pair p;
    CHECK(nn::clip_grad_norm(p, 2.0, leave) == 5.0);
    CHECK(p.a.grad()(0) == Approx(1.2));
    p.a.grad()(0) = p.b.grad()(1) = 1.5e308;  // finite, their norm isn't
    CHECK(nn::clip_grad_norm(p, 1.0, leave) == std::numeric_limits<double>::infinity());
    CHECK(p.a.grad()(0) == 1.5e308);
    p.a.grad()(0) = p.b.grad()(1) = 3e200;  // only their squares aren't
    CHECK(nn::clip_grad_norm(p, 1.0, leave) == Approx(3e200 * std::sqrt(2.0)));
}

TEST_CASE("formula 12: gradients whose squares overflow are clipped nevertheless") {
    Pair p;
    p.a.grad()(0) = 3e200;
    p.b.grad()(1) = 4e200;
    CHECK(nn::clip_grad_norm(p, 1.0) == Approx(5e200));
    CHECK(p.a.grad()(0) == Approx(0.6));
    CHECK(p.b.grad()(1) == Approx(0.8));
}

TEST_CASE("formula 12: a norm that no double can hold is refused, and nothing is changed") {
    Pair p;
    p.a.grad()(0) = 1.5e308;
    p.b.grad()(1) = 1.5e308;
    CHECK_THROWS_AS(nn::clip_grad_norm(p, 1.0), xtape::GradientError);
    CHECK(p.a.grad()(0) == 1.5e308);
}

TEST_CASE("formula 12: clipping by value takes each element to the interval") {
    Pair p;
    p.a.grad()(1) = -7;
    nn::clip_grad_value(p, 3.5);
    CHECK(p.a.grad()(0) == 3);
    CHECK(p.a.grad()(1) == -3.5);
    CHECK(p.b.grad()(0) == 0);
    CHECK(p.b.grad()(1) == 3.5);
}

TEST_CASE("formula 12: clipping leaves a parameter without a gradient without one") {
    Pair p;
    p.a.zero_grad();
    CHECK(nn::clip_grad_norm(p, 2.0) == 4.0);
    nn::clip_grad_value(p, 1.0);
    CHECK_FALSE(p.a.has_grad());
}

TEST_CASE("formula 12: a norm or a bound that makes no sense is refused") {
    Pair p;
    CHECK_THROWS_AS(nn::clip_grad_norm(p, 0.0), std::invalid_argument);
    CHECK_THROWS_AS(nn::clip_grad_norm(p, std::nan("")), std::invalid_argument);
    CHECK_THROWS_AS(nn::clip_grad_value(p, -1.0), std::invalid_argument);
}
