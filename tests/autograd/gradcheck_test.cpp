#include "autograd/gradcheck.hpp"

#include "autograd/autograd.hpp"
#include "tests/catch.hpp"

using namespace xtape;

namespace {

const xt::xarray<double> a = {{0.5, -1.5, 2.0}, {-0.25, 1.0, -2.5}};
const xt::xarray<double> b = {1.5, 0.5, -1.0};

/// A user's op whose derivative is wrong: that of x² is 2x.
struct WrongSquare : Unary {
    static constexpr const char* name = "wrong_square";
    static auto value(const auto& x) { return x * x; }
    static auto partials(const auto& x, const auto&) { return std::tuple(3 * x); }
};

/// Right, but its partial derivative, as a Var, is differentiated wrongly.
struct WrongSecond : Unary {
    static constexpr const char* name = "wrong_second";
    static auto value(const auto& x) { return x * x * x; }
    static auto partials(const auto& x, const auto&) {
        if constexpr (is_var<std::remove_cvref_t<decltype(x)>>)
            return std::tuple(3 * x * stop_gradient(x));
        else
            return std::tuple(3 * x * x);
    }
};

/// A user's op on whole tensors, 2x, whose rule forgets the factor.
Var<double> wrong_double(const Var<double>& x) {
    static constexpr Rule<double> rule{RuleName::of_own_op("wrong_double"),
                                       [](Pull<double>& node) { node.add(0, node.gradient()); }};
    Tape<double>& tape = x.tape();
    double* value = tape.allocate(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) value[i] = 2 * x.value().flat(i);
    return tape.record(rule, {x}, x.shape(), value);
}

GradcheckError failure_of(const Differentiable& f, const std::vector<Array<double>>& inputs,
                          const GradcheckOptions& options = {}) {
    try {
        gradcheck(f, inputs, options);
    } catch (const GradcheckError& error) {
        return error;
    }
    FAIL("no error was found");
    throw;
}

}  // namespace

TEST_CASE("gradcheck: right rules pass, with results and inputs of any shape", "[gradcheck]") {
    CHECK_NOTHROW(gradcheck([](auto x) { return sum(x[0]); }, {a}));
    CHECK_NOTHROW(gradcheck([](auto x) { return tanh(x[0]) * x[1] + square(x[1]); }, {a, b}));
    CHECK_NOTHROW(gradgradcheck([](auto x) { return tanh(x[0]) * x[1] + square(x[1]); }, {a, b}));
}

TEST_CASE("gradcheck: a wrong pointwise op is named, with input, index and both numbers", "[gradcheck]") {
    const GradcheckError error =
        failure_of([](auto x) { return tanh(x[0]) + apply<WrongSquare>(x[1]) * x[0]; }, {a, b});
    CHECK(error.mismatch.op == "wrong_square");
    CHECK(error.mismatch.input == "input 1");
    CHECK(error.mismatch.index == Shape{0});
    // The result depends on b_0 through b_0² Σ weights a, so the rule's factor 3 for 2 shows in the ratio.
    CHECK(error.mismatch.by_backward / error.mismatch.by_differences == Approx(1.5));

    const std::string text = error.what();
    CHECK_THAT(text, Catch::StartsWith("[gradcheck] op wrong_square: "));
    CHECK_THAT(text, Catch::Contains("input 1 at index (0,) is "));
    CHECK_THAT(text, Catch::Contains(" by backward, but "));
    CHECK_THAT(text, Catch::Contains(" by central differences"));
}

TEST_CASE("gradcheck: a wrong op on whole tensors is named among right ones", "[gradcheck]") {
    const GradcheckError error =
        failure_of([](auto x) { return sum(square(wrong_double(transpose(x[0]))), {0}); }, {a});
    CHECK(error.mismatch.op == "wrong_double");
    CHECK(error.mismatch.input == "input 0");
    CHECK(error.mismatch.index == Shape{0, 0});
    CHECK(error.mismatch.by_differences / error.mismatch.by_backward == Approx(2));
}

TEST_CASE("gradcheck: the index is that of the element whose derivative is wrong", "[gradcheck]") {
    const GradcheckError error =
        failure_of([](auto x) { return sum(x[0]) + apply<WrongSquare>(x[0][1][2]); }, {a});
    CHECK(error.mismatch.index == Shape{1, 2});
    CHECK(error.mismatch.op == "wrong_square");
}

TEST_CASE("gradgradcheck: finds a wrong second derivative that gradcheck can't see", "[gradcheck]") {
    const auto f = [](auto x) { return apply<WrongSecond>(x[0]); };
    CHECK_NOTHROW(gradcheck(f, {b}));
    CHECK_THROWS_AS(gradgradcheck(f, {b}), GradcheckError);
    CHECK_THROWS_WITH(gradgradcheck(f, {b}),
                      Catch::StartsWith("[gradgradcheck] ") && Catch::Contains("input 0"));
}

TEST_CASE("gradcheck: parameters that the function watches are checked, and left as they were",
          "[gradcheck]") {
    Parameter<double> weight(b, "weight");
    weight.grad()(1) = 7;
    const GradcheckOptions options{.parameters = {&weight}};
    const auto right = [&](auto x) { return x[0] * exp(x[0].tape().watch(weight)); };
    CHECK_NOTHROW(gradcheck(right, {a}, options));
    CHECK_NOTHROW(gradgradcheck(right, {a}, options));

    const auto wrong = [&](auto x) { return x[0] * apply<WrongSquare>(x[0].tape().watch(weight)); };
    const GradcheckError error = failure_of(wrong, {a}, options);
    CHECK(error.mismatch.input == "parameter weight");
    CHECK(error.mismatch.op == "wrong_square");

    CHECK((xt::xarray<double>(weight.value()) == b));
    CHECK((xt::xarray<double>(weight.grad()) == xt::xarray<double>{0.0, 7.0, 0.0}));
}

TEST_CASE("gradcheck: a function that records nothing is refused", "[gradcheck]") {
    CHECK_THROWS_AS(gradcheck([](auto x) { return x[0].tape().constant(3); }, {a}), GradientError);
    CHECK_THROWS_AS(gradcheck([](auto x) { return stop_gradient(x[0]); }, {a}), GradientError);
    CHECK_THROWS_AS(gradcheck(
                        [](auto x) {
                            NoRecording values_only(x[0].tape());
                            return Var<double>(tanh(x[0]));
                        },
                        {a}),
                    GradientError);
}

TEST_CASE("gradcheck: a function that gives different results for the same inputs is refused",
          "[gradcheck]") {
    double state = 0;
    CHECK_THROWS_AS(gradcheck([&](auto x) { return x[0] * (state += 1); }, {a}), GradientError);
}

TEST_CASE("gradcheck: NaN is a failure", "[gradcheck]") {
    CHECK_THROWS_AS(gradcheck([](auto x) { return log(x[0]); }, {xt::xarray<double>{-1.0}}), GradcheckError);
}
