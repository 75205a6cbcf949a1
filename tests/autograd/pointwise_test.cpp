#include "autograd/pointwise.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/catch.hpp"

using namespace xtape;

namespace {

template <class F, class... Ops>
void for_each_in(TypeList<Ops...>, F body) {
    (body.template operator()<Ops>(), ...);
}

/// Calls body<Op>() for every listed op: an op is tested by being in the list.
template <class F>
void for_each_op(F body) {
    for_each_in(PointwiseOps{}, body);
}

/// A partial as the number that an input's gradient is multiplied by.
template <class N, class Partial>
N as_number(const Partial& partial) {
    if constexpr (std::is_same_v<Partial, Zero>)
        return 0;
    else
        return chain(N(1), partial);
}

/// The value of an op, then its partials.
template <class Op, class N>
std::array<N, 1 + Op::arity> evaluate(const std::array<N, Op::arity>& inputs) {
    return std::apply(
        [](const auto&... x) {
            const N y = Op::value(x...);
            return std::apply(
                [&](const auto&... p) {
                    return std::array{y, as_number<N>(p)...};
                },
                Op::partials(x..., y));
        },
        inputs);
}

/// What an op computes for every element of the inputs, columns: the value, then the partials.
template <class Op, class T>
std::vector<std::array<T, 1 + Op::arity>> evaluate_packs(const std::vector<std::array<T, Op::arity>>& rows,
                                                         std::size_t first_lanes = Pack<T>::size) {
    using P = Pack<T>;
    std::vector<std::array<T, 1 + Op::arity>> results(rows.size());
    std::size_t n = std::min(first_lanes, rows.size());
    for (std::size_t start = 0; start < rows.size(); start += n, n = std::min(P::size, rows.size() - start)) {
        std::array<P, Op::arity> inputs;
        T lanes[P::size] = {};
        for (std::size_t k = 0; k < inputs.size(); ++k) {
            for (std::size_t i = 0; i < n; ++i) lanes[i] = rows[start + i][k];
            inputs[k] = P::load(lanes);
        }
        const auto outputs = evaluate<Op>(inputs);
        for (std::size_t k = 0; k < outputs.size(); ++k) {
            outputs[k].store(lanes);
            for (std::size_t i = 0; i < n; ++i) results[start + i][k] = lanes[i];
        }
    }
    return results;
}

template <class Op, class T>
std::array<T, 1 + Op::arity> evaluate_scalar(const std::array<T, Op::arity>& row) {
    std::array<Scalar<T>, Op::arity> inputs;
    std::copy(row.begin(), row.end(), inputs.begin());
    const auto outputs = evaluate<Op>(inputs);
    std::array<T, 1 + Op::arity> results;
    std::transform(outputs.begin(), outputs.end(), results.begin(),
                   [](const auto& number) { return number.value; });
    return results;
}

template <class Op, class T>
std::vector<std::array<T, Op::arity>> rows_in_domain(std::size_t count) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> in_domain(Op::domain.low, Op::domain.high);
    std::vector<std::array<T, Op::arity>> rows(count);
    for (auto& row : rows)
        for (T& x : row) x = static_cast<T>(in_domain(random));
    return rows;
}

/// Every combination of zeros, ones, and the ends of a type's range as inputs of an op.
template <class Op, class T>
std::vector<std::array<T, Op::arity>> extreme_rows() {
    using Limits = std::numeric_limits<T>;
    std::vector<T> values;
    for (const T x : {T(0), T(1), T(0.5), T(3), T(1e4), Limits::denorm_min(), Limits::min(), Limits::max(),
                      Limits::infinity(), Limits::quiet_NaN()})
        values.insert(values.end(), {x, -x});
    std::vector<std::array<T, Op::arity>> rows(1);
    for (std::size_t k = 0; k < Op::arity; ++k) {
        std::vector<std::array<T, Op::arity>> longer;
        for (auto row : rows)
            for (const T x : values) row[k] = x, longer.push_back(row);
        rows = longer;
    }
    return rows;
}

/// Equal up to rounding; infinities and NaN must be the same.
template <class T>
bool agree(T a, T b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    if (a == b) return true;
    return std::abs(a - b) <=
           16 * std::numeric_limits<T>::epsilon() * std::max({T(1), std::abs(a), std::abs(b)});
}

template <class Op, class T>
void check_packs_against_scalars(const std::vector<std::array<T, Op::arity>>& rows) {
    const auto packs = evaluate_packs<Op>(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto expected = evaluate_scalar<Op>(rows[i]);
        for (std::size_t k = 0; k < expected.size(); ++k)
            if (!agree(packs[i][k], expected[k]))
                FAIL_CHECK(Op::name << (k == 0 ? " value" : " partial") << " at "
                                    << Catch::Detail::stringify(rows[i]) << ": " << packs[i][k]
                                    << " in a Pack, " << expected[k] << " in a Scalar");
    }
    SUCCEED(Op::name);
}

template <class Op>
constexpr bool is_comparison = std::is_base_of_v<op::Comparison, Op>;

}  // namespace

TEST_CASE("pointwise: a listed op has a name of its own", "[pointwise]") {
    std::set<std::string> names;
    for_each_op([&]<class Op>() {
        CAPTURE(Op::name);
        CHECK(names.insert(Op::name).second);
        CHECK(is_listed<Op>);
    });
    struct Unlisted {};
    CHECK_FALSE(is_listed<Unlisted>);
}

TEST_CASE("pointwise: the list holds the ops that are promised", "[pointwise]") {
    std::set<std::string> names;
    for_each_op([&]<class Op>() { names.insert(Op::name); });
    for (const char* name :
         {"add",     "subtract", "multiply",  "divide",     "negative",   "pow",     "square",
          "sqrt",    "rsqrt",    "exp",       "expm1",      "log",        "log1p",   "tanh",
          "sigmoid", "softplus", "relu",      "leaky_relu", "gelu",       "silu",    "abs",
          "sign",    "sin",      "cos",       "erf",        "minimum",    "maximum", "clamp",
          "where",   "equal",    "not_equal", "less",       "less_equal", "greater", "greater_equal"}) {
        CAPTURE(name);
        CHECK(names.count(name) == 1);
    }
}

TEMPLATE_TEST_CASE("pointwise: a Pack and a Scalar agree on every value and partial", "[pointwise]", float,
                   double) {
    for_each_op([]<class Op>() { check_packs_against_scalars<Op>(rows_in_domain<Op, TestType>(500)); });
}

TEMPLATE_TEST_CASE("pointwise: a Pack and a Scalar agree on infinities, zeros, NaN and the ends of the range",
                   "[pointwise]", float, double) {
    for_each_op([]<class Op>() { check_packs_against_scalars<Op>(extreme_rows<Op, TestType>()); });
}

TEMPLATE_TEST_CASE("pointwise: an element's bits do not depend on its lane or its neighbours", "[pointwise]",
                   float, double) {
    for_each_op([]<class Op>() {
        auto rows = rows_in_domain<Op, TestType>(200);
        const auto extremes = extreme_rows<Op, TestType>();
        for (std::size_t i = 0; i < extremes.size(); i += 7) rows.push_back(extremes[i]);
        std::shuffle(rows.begin(), rows.end(), std::mt19937_64(2));
        const auto results = evaluate_packs<Op>(rows);
        const auto moved = evaluate_packs<Op>(rows, 1);
        std::size_t different = 0;
        for (std::size_t i = 0; i < rows.size(); ++i)
            for (std::size_t k = 0; k < results[i].size(); ++k) {
                const TestType a = results[i][k], b = moved[i][k];
                if (std::isnan(a) && std::isnan(b)) continue;  // which NaN is not promised
                different += std::memcmp(&a, &b, sizeof a) != 0;
            }
        CAPTURE(Op::name);
        CHECK(different == 0);
    });
}

TEST_CASE("pointwise: partials equal central differences", "[pointwise]") {
    using Real = long double;
    for_each_op([]<class Op>() {
        constexpr Real h =
            1e-6L;  // error of a central difference: h² times a third derivative, and rounding / h
        std::size_t checked = 0;
        for (const auto& row : rows_in_domain<Op, Real>(400)) {
            const double kink = std::apply([](auto... x) { return Op::kink(double(x)...); }, row);
            if (std::abs(kink) < 1e-3) continue;
            ++checked;
            const auto here = evaluate_scalar<Op>(row);
            for (std::size_t k = 0; k < row.size(); ++k) {
                auto above = row, below = row;
                above[k] += h;
                below[k] -= h;
                const Real difference =
                    (evaluate_scalar<Op>(above)[0] - evaluate_scalar<Op>(below)[0]) / (2 * h);
                if (std::abs(here[k + 1] - difference) > 1e-9L * std::max(1.0L, std::abs(difference)))
                    FAIL_CHECK(Op::name << ", input " << k << " at " << Catch::Detail::stringify(row)
                                        << ": partial " << here[k + 1] << ", difference " << difference);
            }
        }
        CAPTURE(Op::name);
        CHECK(checked > 300);
    });
}

TEST_CASE("pointwise: NaN in any input gives NaN", "[pointwise]") {
    for_each_op([]<class Op>() {
        if constexpr (is_comparison<Op> || std::is_same_v<Op, op::Where>) return;  // these choose
        for (std::size_t k = 0; k < Op::arity; ++k) {
            auto row = rows_in_domain<Op, double>(1)[0];
            if constexpr (std::is_same_v<Op, op::LeakyRelu>)
                row[0] = -1;  // elsewhere the slope does not matter
            row[k] = std::numeric_limits<double>::quiet_NaN();
            CAPTURE(Op::name, k);
            CHECK(std::isnan(evaluate_packs<Op>(std::vector{row})[0][0]));
            CHECK(std::isnan(evaluate_scalar<Op>(row)[0]));
        }
    });
}

TEST_CASE("pointwise: comparisons are 1 or 0, and where takes a nonzero condition as true", "[pointwise]") {
    CHECK(evaluate_scalar<op::Less>(std::array{1.0, 2.0})[0] == 1);
    CHECK(evaluate_scalar<op::Less>(std::array{2.0, 2.0})[0] == 0);
    CHECK(evaluate_scalar<op::LessEqual>(std::array{2.0, 2.0})[0] == 1);
    CHECK(evaluate_scalar<op::Greater>(std::array{2.0, 2.0})[0] == 0);
    CHECK(evaluate_scalar<op::GreaterEqual>(std::array{2.0, 2.0})[0] == 1);
    CHECK(evaluate_scalar<op::Equal>(std::array{2.0, 2.0})[0] == 1);
    CHECK(evaluate_scalar<op::NotEqual>(std::array{2.0, 2.0})[0] == 0);
    CHECK(evaluate_scalar<op::Where>(std::array{-0.5, 7.0, 9.0}) == std::array{7.0, 0.0, 1.0, 0.0});
    CHECK(evaluate_scalar<op::Where>(std::array{0.0, 7.0, 9.0}) == std::array{9.0, 0.0, 0.0, 1.0});
}

TEST_CASE("pointwise: minimum and maximum give each of two equal numbers half of the gradient",
          "[pointwise]") {
    CHECK(evaluate_scalar<op::Minimum>(std::array{2.0, 2.0}) == std::array{2.0, 0.5, 0.5});
    CHECK(evaluate_scalar<op::Minimum>(std::array{1.0, 2.0}) == std::array{1.0, 1.0, 0.0});
    CHECK(evaluate_scalar<op::Maximum>(std::array{2.0, 2.0}) == std::array{2.0, 0.5, 0.5});
    CHECK(evaluate_scalar<op::Maximum>(std::array{1.0, 2.0}) == std::array{2.0, 0.0, 1.0});
}

TEST_CASE("pointwise: clamp gives the whole gradient to the number that it returns", "[pointwise]") {
    CHECK(evaluate_scalar<op::Clamp>(std::array{0.0, -1.0, 1.0}) == std::array{0.0, 1.0, 0.0, 0.0});
    CHECK(evaluate_scalar<op::Clamp>(std::array{-5.0, -1.0, 1.0}) == std::array{-1.0, 0.0, 1.0, 0.0});
    CHECK(evaluate_scalar<op::Clamp>(std::array{5.0, -1.0, 1.0}) == std::array{1.0, 0.0, 0.0, 1.0});
    CHECK(evaluate_scalar<op::Clamp>(std::array{-1.0, -1.0, 1.0}) ==
          std::array{-1.0, 1.0, 0.0, 0.0});  // on the border
    CHECK(evaluate_scalar<op::Clamp>(std::array{0.0, 1.0, -1.0}) ==
          std::array{-1.0, 0.0, 0.0, 1.0});  // lo > hi
}

TEST_CASE("pointwise: kinks at 0 have the derivatives that are documented", "[pointwise]") {
    CHECK(evaluate_scalar<op::Relu>(std::array{0.0}) == std::array{0.0, 0.0});
    CHECK(evaluate_scalar<op::Abs>(std::array{0.0}) == std::array{0.0, 0.0});
    CHECK(evaluate_scalar<op::LeakyRelu>(std::array{0.0, 0.25}) == std::array{0.0, 0.25, 0.0});
}

TEST_CASE("pointwise: pow has finite partials at a base of 0", "[pointwise]") {
    CHECK(evaluate_scalar<op::Pow>(std::array{0.0, 0.0}) == std::array{1.0, 0.0, 0.0});
    CHECK(evaluate_scalar<op::Pow>(std::array{0.0, 1.0}) == std::array{0.0, 1.0, 0.0});
    CHECK(evaluate_scalar<op::Pow>(std::array{0.0, 2.0}) == std::array{0.0, 0.0, 0.0});
    CHECK(evaluate_scalar<op::Pow>(std::array{-2.0, 3.0})[1] == 12);
    CHECK(std::isnan(
        evaluate_scalar<op::Pow>(std::array{-2.0, 3.0})[2]));  // a real power of -2 exists at integers only
}

TEMPLATE_TEST_CASE("pointwise: the derivative of sigmoid keeps its tails", "[pointwise]", float, double) {
    for (const double x : {-80.0, -40.0, 40.0, 80.0}) {
        const double expected = std::exp(-std::abs(x));  // e / (1 + e)², with 1 + e rounding to 1
        const auto row = std::array{TestType(x)};
        CHECK(double(evaluate_packs<op::Sigmoid>(std::vector{row})[0][1]) == Approx(expected).epsilon(1e-6));
        CHECK(double(evaluate_scalar<op::Sigmoid>(row)[1]) == Approx(expected).epsilon(1e-6));
    }
}

TEMPLATE_TEST_CASE("chain: a condition lets the gradient through or is exactly 0, whatever the gradient",
                   "[pointwise]", Scalar<double>, Pack<double>) {
    using N = TestType;
    const auto is = [](const N& number, double expected) { return where(number == expected, N(1), 0) == 1; };
    const auto all = [](const auto& mask) {
        if constexpr (requires { mask.holds; })
            return mask.holds;
        else
            return xsimd::all(mask.lanes);
    };
    const N infinite = std::numeric_limits<double>::infinity();
    CHECK(all(is(chain(infinite, N(1) > 0), std::numeric_limits<double>::infinity())));
    CHECK(all(is(chain(infinite, N(-1) > 0), 0)));
    CHECK(all(is(chain(N(3), N(-2)), -6)));
    CHECK(all(is(chain(N(3), One{}), 3)));
    CHECK(all(is(chain(N(3), MinusOne{}), -3)));
    CHECK(std::is_same_v<decltype(chain(N(3), Zero{})), Zero>);
}
