#pragma once

#include <tuple>
#include <type_traits>

#include "autograd/partial.hpp"

/// Every pointwise op, as a rule of two functions: its value, and its partial derivatives given the inputs
/// and then the result. A rule is generic in the number type and uses nothing but operators and the functions
/// of Pack and Scalar, so the same two lines are the SIMD loop, the scalar that tests compare it with, and,
/// read as Var, the derivative of the derivative.
///
/// To add an op: write its struct, and put its name into PointwiseOps at the end. The list brings its tests.
namespace xtape {

/// Where tests sample an op's inputs: all of them between low and high.
struct Domain {
    double low, high;
};

/// What of an op is so costly that the way forward keeps it for the way back, as a tensor of the statement's shape,
/// instead of having it computed again: its value, or another number, `kept(inputs)`, that its value and its partials
/// follow from.
enum class Kept { nothing, value, other };

/// kink() is 0 where a derivative of the op jumps; gradient tests stay away from there.
template <int Arity>
struct Pointwise {
    static constexpr int arity = Arity;
    static constexpr Kept keeps = Kept::nothing;
    static constexpr double kink(auto...) { return 1; }
};
using Unary = Pointwise<1>;
using Binary = Pointwise<2>;
using Ternary = Pointwise<3>;

namespace op {

// ---- Arithmetic ---------------------------------------------------------------------------------

struct Add : Binary {
    static constexpr const char* name = "add";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& a, const auto& b) { return a + b; }
    static auto partials(const auto&, const auto&, const auto&) { return std::tuple(One{}, One{}); }
};

struct Subtract : Binary {
    static constexpr const char* name = "subtract";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& a, const auto& b) { return a - b; }
    static auto partials(const auto&, const auto&, const auto&) { return std::tuple(One{}, MinusOne{}); }
};

struct Multiply : Binary {
    static constexpr const char* name = "multiply";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& a, const auto& b) { return a * b; }
    static auto partials(const auto& a, const auto& b, const auto&) { return std::tuple(b, a); }
};

struct Divide : Binary {
    static constexpr const char* name = "divide";
    static constexpr Domain domain{0.5, 3};
    static auto value(const auto& a, const auto& b) { return a / b; }
    static auto partials(const auto&, const auto& b, const auto& y) { return std::tuple(1 / b, -y / b); }
};

struct Negative : Unary {
    static constexpr const char* name = "negative";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return -x; }
    static auto partials(const auto&, const auto&) { return std::tuple(MinusOne{}); }
};

// ---- Powers -------------------------------------------------------------------------------------

/// a^b. 0^0 = 1, and its partials are 0. The partial to b is taken as 0 at a = 0, and is NaN for a < 0.
struct Pow : Binary {
    static constexpr const char* name = "pow";
    static constexpr Domain domain{0.3, 2.5};
    static auto value(const auto& a, const auto& b) { return pow(a, b); }
    static auto partials(const auto& a, const auto& b, const auto& y) {
        return std::tuple(where(a == 0 && b == 0, 0, b * pow(a, b - 1)), y * log(where(a == 0, 1, a)));
    }
};

struct Square : Unary {
    static constexpr const char* name = "square";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return x * x; }
    static auto partials(const auto& x, const auto&) { return std::tuple(2 * x); }
};

struct Sqrt : Unary {
    static constexpr const char* name = "sqrt";
    static constexpr Domain domain{0.3, 3};
    static auto value(const auto& x) { return sqrt(x); }
    static auto partials(const auto&, const auto& y) { return std::tuple(0.5 / y); }
};

struct Rsqrt : Unary {
    static constexpr const char* name = "rsqrt";
    static constexpr Domain domain{0.3, 3};
    static auto value(const auto& x) { return 1 / sqrt(x); }
    static auto partials(const auto& x, const auto& y) { return std::tuple(-0.5 * y / x); }
};

// ---- Exponentials and logarithms ----------------------------------------------------------------

struct Exp : Unary {
    static constexpr const char* name = "exp";
    static constexpr Domain domain{-3, 3};
    static constexpr Kept keeps = Kept::value;
    static auto value(const auto& x) { return exp(x); }
    static auto partials(const auto&, const auto& y) { return std::tuple(y); }
};

struct Expm1 : Unary {
    static constexpr const char* name = "expm1";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return expm1(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(exp(x)); }
};

struct Log : Unary {
    static constexpr const char* name = "log";
    static constexpr Domain domain{0.3, 3};
    static constexpr Kept keeps = Kept::value;
    static auto value(const auto& x) { return log(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(1 / x); }
};

struct Log1p : Unary {
    static constexpr const char* name = "log1p";
    static constexpr Domain domain{-0.7, 3};
    static constexpr Kept keeps = Kept::value;
    static auto value(const auto& x) { return log1p(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(1 / (1 + x)); }
};

// ---- Activations --------------------------------------------------------------------------------

struct Tanh : Unary {
    static constexpr const char* name = "tanh";
    static constexpr Domain domain{-3, 3};
    static constexpr Kept keeps = Kept::value;
    [[gnu::always_inline]] static auto value(const auto& x) { return tanh(x); }
    static auto partials(const auto&, const auto& y) { return std::tuple(1 - y * y); }
};

/// 1 / (1 + exp(-x)). The derivative is σ(x)σ(-x): in σ(1 - σ) the right tail is lost, as σ rounds to 1.
struct Sigmoid : Unary {
    static constexpr const char* name = "sigmoid";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return sigmoid(x); }
    static auto partials(const auto& x, const auto& y) { return std::tuple(y * sigmoid(-x)); }
    // The smaller one of σ(x) and σ(-x), with the sign of x: both follow from it.
    static constexpr Kept keeps = Kept::other;
    [[gnu::always_inline]] static auto kept(const auto& x) { return copysign(sigmoid(-abs(x)), x); }
    static auto value(const auto&, const auto& least) { return (0.5 + copysign(0.5, least)) - least; }
    static auto partials(const auto&, const auto&, const auto& least) {
        return std::tuple(abs(least) * (1 - abs(least)));
    }
};

/// log(1 + exp(x)).
struct Softplus : Unary {
    static constexpr const char* name = "softplus";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return softplus(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(sigmoid(x)); }
};

/// max(x, 0); the derivative at 0 is 0.
struct Relu : Unary {
    static constexpr const char* name = "relu";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double x) { return x; }
    static auto value(const auto& x) { return maximum(x, 0); }
    static auto partials(const auto& x, const auto&) { return std::tuple(x > 0); }
};

/// x where it is positive, slope * x elsewhere; the derivative at 0 is the slope.
struct LeakyRelu : Binary {
    static constexpr const char* name = "leaky_relu";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double x, double) { return x; }
    static auto value(const auto& x, const auto& slope) { return where(x > 0, x, slope * x); }
    static auto partials(const auto& x, const auto& slope, const auto&) {
        return std::tuple(where(x > 0, 1, slope), where(x > 0, 0, x));
    }
};

/// xΦ(x), Φ the distribution function of the standard normal. The derivative is Φ(x) + xφ(x).
struct Gelu : Unary {
    static constexpr const char* name = "gelu";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return 0.5 * x * (1 + erf(sqrt_half * x)); }
    static auto partials(const auto& x, const auto&) {
        return std::tuple(0.5 * (1 + erf(sqrt_half * x)) + x * (density_at_0 * exp(-0.5 * x * x)));
    }
    static constexpr double sqrt_half = 0.70710678118654752440;     // √(1/2)
    static constexpr double density_at_0 = 0.39894228040143267794;  // φ(0) = 1/√(2π)
};

/// xσ(x). The derivative is σ(x) + xσ(x)σ(-x).
struct Silu : Unary {
    static constexpr const char* name = "silu";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return x * sigmoid(x); }
    static auto partials(const auto& x, const auto& y) { return std::tuple(sigmoid(x) + y * sigmoid(-x)); }
    // The smaller one of σ(x) and σ(-x).
    static constexpr Kept keeps = Kept::other;
    [[gnu::always_inline]] static auto kept(const auto& x) { return sigmoid(-abs(x)); }
    static auto value(const auto& x, const auto& least) { return x * where(x < 0, least, 1 - least); }
    static auto partials(const auto& x, const auto& y, const auto& least) {
        return std::tuple(where(x < 0, least, 1 - least) + y * where(x < 0, 1 - least, least));
    }
};

// ---- Signs --------------------------------------------------------------------------------------

/// |x|; the derivative at 0 is 0.
struct Abs : Unary {
    static constexpr const char* name = "abs";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double x) { return x; }
    static auto value(const auto& x) { return abs(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(sign(x)); }
};

struct Sign : Unary {
    static constexpr const char* name = "sign";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double x) { return x; }
    static auto value(const auto& x) { return sign(x); }
    static auto partials(const auto&, const auto&) { return std::tuple(Zero{}); }
};

// ---- Waves and bells ----------------------------------------------------------------------------

struct Sin : Unary {
    static constexpr const char* name = "sin";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return sin(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(cos(x)); }
};

struct Cos : Unary {
    static constexpr const char* name = "cos";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return cos(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(-sin(x)); }
};

struct Erf : Unary {
    static constexpr const char* name = "erf";
    static constexpr Domain domain{-3, 3};
    static auto value(const auto& x) { return erf(x); }
    static auto partials(const auto& x, const auto&) { return std::tuple(two_by_sqrt_pi * exp(-x * x)); }
    static constexpr double two_by_sqrt_pi = 1.1283791670955125739;  // 2/√π
};

// ---- Choices ------------------------------------------------------------------------------------
// NaN in either number is NaN out. Where two numbers tie each receives half of the gradient, as in PyTorch.

struct Minimum : Binary {
    static constexpr const char* name = "minimum";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double a, double b) { return a - b; }
    static auto value(const auto& a, const auto& b) { return minimum(a, b); }
    static auto partials(const auto& a, const auto& b, const auto&) {
        return std::tuple(where(a == b, 0.5, a < b), where(a == b, 0.5, b < a));
    }
};

struct Maximum : Binary {
    static constexpr const char* name = "maximum";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double a, double b) { return a - b; }
    static auto value(const auto& a, const auto& b) { return maximum(a, b); }
    static auto partials(const auto& a, const auto& b, const auto&) {
        return std::tuple(where(a == b, 0.5, a > b), where(a == b, 0.5, b > a));
    }
};

/// min(max(x, lo), hi), which is hi if lo > hi. On the border the gradient goes to x.
struct Clamp : Ternary {
    static constexpr const char* name = "clamp";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double x, double lo, double hi) { return (x - lo) * (x - hi) * (lo - hi); }
    static auto value(const auto& x, const auto& lo, const auto& hi) { return minimum(maximum(x, lo), hi); }
    static auto partials(const auto& x, const auto& lo, const auto& hi, const auto&) {
        return std::tuple(x >= lo && x <= hi, x < lo && lo <= hi, x > hi || lo > hi);
    }
};

/// a where the condition is not 0, b where it is.
struct Where : Ternary {
    static constexpr const char* name = "where";
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double condition, double, double) { return condition; }
    static auto value(const auto& condition, const auto& a, const auto& b) {
        return where(condition != 0, a, b);
    }
    static auto partials(const auto& condition, const auto&, const auto&, const auto&) {
        return std::tuple(Zero{}, condition != 0, condition == 0);
    }
};

// ---- Comparisons --------------------------------------------------------------------------------
// 1 where it holds, 0 elsewhere; flat, so no gradient passes.

struct Comparison : Binary {
    static constexpr Domain domain{-3, 3};
    static constexpr double kink(double a, double b) { return a - b; }
    static auto partials(const auto&, const auto&, const auto&) { return std::tuple(Zero{}, Zero{}); }
};

struct Equal : Comparison {
    static constexpr const char* name = "equal";
    static auto value(const auto& a, const auto& b) { return a == b; }
};

struct NotEqual : Comparison {
    static constexpr const char* name = "not_equal";
    static auto value(const auto& a, const auto& b) { return a != b; }
};

struct Less : Comparison {
    static constexpr const char* name = "less";
    static auto value(const auto& a, const auto& b) { return a < b; }
};

struct LessEqual : Comparison {
    static constexpr const char* name = "less_equal";
    static auto value(const auto& a, const auto& b) { return a <= b; }
};

struct Greater : Comparison {
    static constexpr const char* name = "greater";
    static auto value(const auto& a, const auto& b) { return a > b; }
};

struct GreaterEqual : Comparison {
    static constexpr const char* name = "greater_equal";
    static auto value(const auto& a, const auto& b) { return a >= b; }
};

}  // namespace op

template <class... Types>
struct TypeList {};

/// The one list of the ops: what is in it is tested, and nothing else has to know it.
using PointwiseOps =
    TypeList<op::Add, op::Subtract, op::Multiply, op::Divide, op::Negative,                     //
             op::Pow, op::Square, op::Sqrt, op::Rsqrt,                                          //
             op::Exp, op::Expm1, op::Log, op::Log1p,                                            //
             op::Tanh, op::Sigmoid, op::Softplus, op::Relu, op::LeakyRelu, op::Gelu, op::Silu,  //
             op::Abs, op::Sign, op::Sin, op::Cos, op::Erf,                                      //
             op::Minimum, op::Maximum, op::Clamp, op::Where,                                    //
             op::Equal, op::NotEqual, op::Less, op::LessEqual, op::Greater, op::GreaterEqual>;

template <class Op, class List = PointwiseOps>
inline constexpr bool is_listed = false;
template <class Op, class... Ops>
inline constexpr bool is_listed<Op, TypeList<Ops...>> = (std::is_same_v<Op, Ops> || ...);

}  // namespace xtape
