#include "autograd/statement.hpp"

#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::random;

namespace {

/// The formula under test and its derivatives, on single numbers.
double f(double a, double b) { return std::tanh(a) * b + 2 * a; }
double df_da(double a, double b) { return (1 - std::tanh(a) * std::tanh(a)) * b + 2; }
double df_db(double a, double) { return std::tanh(a); }

template <class T>
Var<T> statement(const Var<T>& a, const Var<T>& b) {
    return tanh(a) * b + 2 * a;
}

/// An index into a tensor of `shape` for each index of the broadcast shape (rows, columns).
std::size_t place(const std::vector<std::size_t>& shape, std::size_t i, std::size_t j) {
    const std::size_t columns = shape.empty() ? 1 : shape.back();
    const std::size_t rows = shape.size() < 2 ? 1 : shape[0];
    return (rows == 1 ? 0 : i) * columns + (columns == 1 ? 0 : j);
}

template <class T>
void check_broadcast(std::size_t rows, std::size_t columns, const std::vector<std::size_t>& a_shape,
                     const std::vector<std::size_t>& b_shape) {
    CAPTURE(rows, columns, a_shape, b_shape);
    const xt::xarray<T> a = random<T>(a_shape, 1);
    const xt::xarray<T> b = random<T>(b_shape, 2);
    const xt::xarray<T> dy = random<T>({rows, columns}, 3);
    xt::xarray<T> y = xt::zeros<T>({rows, columns});
    tensors::Numbers da = xt::zeros<double>(a_shape);
    tensors::Numbers db = xt::zeros<double>(b_shape);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < columns; ++j) {
            const double x = a.flat(place(a_shape, i, j));
            const double z = b.flat(place(b_shape, i, j));
            y(i, j) = static_cast<T>(f(x, z));
            da.flat(place(a_shape, i, j)) += dy(i, j) * df_da(x, z);
            db.flat(place(b_shape, i, j)) += dy(i, j) * df_db(x, z);
        }
    }
    Tape<T> tape;
    const Var<T> va = tape.variable(a);
    const Var<T> vb = tape.variable(b);
    const Var<T> result = statement(va, vb);
    const double tolerance = (sizeof(T) == 4 ? 2e-6 : 1e-14) * static_cast<double>(4 + rows * columns);
    CHECK(difference(result.value(), y) < tolerance);
    backward(result, tape.constant(dy));
    CHECK(difference(va.grad(), da) < tolerance);
    CHECK(difference(vb.grad(), db) < tolerance);
    // The operands lie on the tape beside the result: nothing was written over them.
    CHECK(difference(va.value(), a) == 0);
    CHECK(difference(vb.value(), b) == 0);
}

struct Cube : Unary {
    static constexpr const char* name = "cube";
    static auto value(const auto& x) { return x * x * x; }
    static auto partials(const auto& x, const auto&) { return std::tuple(3 * x * x); }
};

/// exp, with a count of how often it is computed.
template <Kept kept_number>
struct CountedExp : Unary {
    static constexpr const char* name = "counted_exp";
    static constexpr Kept keeps = kept_number;
    static inline int computed = 0;
    static auto kept(const auto& x) {
        ++computed;
        return exp(x);
    }
    static auto value(const auto& x) { return kept(x); }
    static auto partials(const auto&, const auto& y) { return std::tuple(y); }
    static auto value(const auto&, const auto& number) { return number; }
    static auto partials(const auto&, const auto&, const auto& number) { return std::tuple(number); }
};

/// How often exp is computed in the backward pass of a statement.
template <Kept kept_number, class F>
int computed_in_backward(F statement) {
    using Op = CountedExp<kept_number>;
    const auto x = random({3, 10}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const auto [left, right] = split<2>(v, 1);
    const Var<double> y =
        sum(statement([](const auto& argument) { return apply<Op>(argument); }, left, right));
    const int before = Op::computed;
    backward(y);
    return Op::computed - before;
}

/// What a tape holds after many statements with ops of that cost on one large value.
template <Kept kept_number>
std::size_t capacity_after_statements(bool wanted, bool recording) {
    Tape<float> tape;
    const auto numbers = random<float>({1000}, 1);
    const auto x = wanted ? tape.variable(numbers) : tape.constant(numbers);
    std::optional<NoRecording> values_only;
    if (!recording) values_only.emplace(tape);
    for (int i = 0; i < 400; ++i) Var<float>(apply<CountedExp<kept_number>>(x) * x);
    return tape.capacity();
}

}  // namespace

TEMPLATE_TEST_CASE(
    "statement: values and gradients are right in every broadcasting form and around vector widths",
    "[statement]", float, double) {
    for (std::size_t rows : {1u, 2u, 3u, 10u, 300u}) {
        for (std::size_t columns : {1u, 3u, 7u, 8u, 9u, 16u, 17u, 33u}) {
            check_broadcast<TestType>(rows, columns, {rows, columns}, {rows, columns});
            check_broadcast<TestType>(rows, columns, {rows, columns}, {columns});
            check_broadcast<TestType>(rows, columns, {columns}, {rows, columns});
            check_broadcast<TestType>(rows, columns, {rows, columns}, {rows, 1});
            check_broadcast<TestType>(rows, columns, {rows, 1}, {rows, columns});
            check_broadcast<TestType>(rows, columns, {rows, columns}, {});
            check_broadcast<TestType>(rows, columns, {1, 1}, {rows, columns});
            check_broadcast<TestType>(rows, columns, {rows, 1}, {columns});
            check_broadcast<TestType>(rows, columns, {1, columns}, {rows, 1});
        }
    }
}

TEMPLATE_TEST_CASE("statement: rows longer than the pieces in which strided operands are copied",
                   "[statement]", float, double) {
    for (std::size_t columns : {255u, 256u, 257u, 700u}) {
        check_broadcast<TestType>(2, columns, {2, columns}, {2, 1});
        check_broadcast<TestType>(2, columns, {2, columns}, {columns});
        check_broadcast<TestType>(2, columns, {2, 1}, {1, columns});
    }
}

TEST_CASE("statement: operands of three axes broadcast along the middle one", "[statement]") {
    const auto a = random({3, 4, 5}, 1);
    const auto b = random({3, 1, 5}, 2);
    Tape<double> tape;
    const auto va = tape.variable(a), vb = tape.variable(b);
    const Var<double> y = va * vb;
    CHECK(difference(y.value(), tensors::Numbers(a * b)) == 0);
    backward(sum(y));
    CHECK(difference(va.grad(), tensors::Numbers(xt::broadcast(b, {3, 4, 5}))) == 0);
    CHECK(difference(vb.grad(), tensors::Numbers(xt::sum(a, {1}, xt::keep_dims))) < 1e-15);
}

TEST_CASE("statement: strided views are read and their gradients written in place", "[statement]") {
    // z holds two gates side by side, as a cell's stacked pre-activations do.
    for (std::size_t width : {1u, 4u, 13u, 300u}) {
        CAPTURE(width);
        const auto z = random({3, 2 * width}, 1);
        Tape<double> tape;
        const auto vz = tape.variable(z);
        const auto [left, right] = split<2>(vz, 1);
        const Var<double> y = sigmoid(left) * tanh(right);
        const auto w = random({3, width}, 2);
        backward(y, tape.constant(w));
        tensors::Numbers expected = xt::zeros<double>({std::size_t(3), width});
        tensors::Numbers dz = xt::zeros<double>({std::size_t(3), 2 * width});
        for (std::size_t i = 0; i < 3; ++i) {
            for (std::size_t j = 0; j < width; ++j) {
                const double s = 1 / (1 + std::exp(-z(i, j)));
                const double t = std::tanh(z(i, width + j));
                expected(i, j) = s * t;
                dz(i, j) = w(i, j) * s * (1 - s) * t;
                dz(i, width + j) = w(i, j) * s * (1 - t * t);
            }
        }
        CHECK(difference(y.value(), expected) < 1e-15);
        CHECK(difference(vz.grad(), dz) < 1e-15);
    }
}

TEST_CASE(
    "statement: ops that keep numbers, inside one another, have the right gradients, in rows, pieces and "
    "broadcasts",
    "[statement]") {
    for (std::size_t width : {1u, 3u, 17u, 300u}) {
        for (std::size_t batch : {1u, 3u}) {
            CAPTURE(width, batch);
            const std::vector<Array<double>> inputs = {Array<double>(random({batch, 3 * width}, 1)),
                                                       Array<double>(random({width}, 2)),
                                                       Array<double>(random({batch, 1}, 3, 0.5, 2))};
            const auto gates = [](const Var<double>& z) { return split<3>(z, 1); };
            CHECK_NOTHROW(gradcheck(
                [&](auto x) {
                    const auto [i, f, g] = gates(x[0]);
                    return Var<double>(sigmoid(f * x[1]) * x[2] + gelu(i) * tanh(sin(g) + x[1]));
                },
                inputs));
            CHECK_NOTHROW(gradcheck(
                [&](auto x) {
                    const auto [i, f, g] = gates(x[0]);
                    return Var<double>(sigmoid(tanh(f) * pow(x[2], i) + log(x[2]) * expm1(x[1] * g)));
                },
                inputs));
            CHECK_NOTHROW(gradcheck(
                [&](auto x) { return Var<double>(exp(softplus(gates(x[0])[0]) - erf(x[1]) * cos(x[2]))); },
                inputs));
        }
    }
}

TEST_CASE("statement: a second backward finds what the first one found", "[statement]") {
    for (std::size_t width : {1u, 17u, 300u}) {
        Tape<double> tape;
        const auto z = tape.variable(random({3, 2 * width}, 1));
        const auto [left, right] = split<2>(z, 1);
        const Var<double> y = sum(tanh(sigmoid(left) * exp(right)));
        backward(y);
        const tensors::Numbers once = z.grad();
        backward(y);
        CHECK(difference(z.grad(), tensors::Numbers(once + once)) == 0);
    }
}

TEST_CASE("statement: what an op keeps is computed on the way forward only", "[statement]") {
    const auto inside = [](auto op, const auto& a, const auto& b) { return Var<double>(op(a) * b); };
    const auto alone = [](auto op, const auto& a, const auto&) { return Var<double>(op(a)); };
    CHECK(computed_in_backward<Kept::value>(inside) == 0);
    CHECK(computed_in_backward<Kept::value>(alone) == 0);
    CHECK(computed_in_backward<Kept::other>(inside) == 0);
    CHECK(computed_in_backward<Kept::other>(alone) == 0);
    CHECK(computed_in_backward<Kept::nothing>(inside) > 0);
    CHECK(computed_in_backward<Kept::nothing>(alone) > 0);
}

TEST_CASE("statement: nothing is kept where no gradient will be asked for", "[statement]") {
    const std::size_t values_alone = capacity_after_statements<Kept::nothing>(true, true);
    CHECK(capacity_after_statements<Kept::other>(true, false) == values_alone);
    CHECK(capacity_after_statements<Kept::other>(false, true) == values_alone);
    CHECK(capacity_after_statements<Kept::value>(true, true) > values_alone);
}

TEST_CASE("statement: transposed, stepped and overlapping views of one value add up", "[statement]") {
    const auto x = random({4, 4}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> top = slice(v, 0, 0, 3), bottom = slice(v, 0, 1, 4);  // overlap
    const Var<double> y = slice(transpose(v), 1, 0, 3);
    const Var<double> loss = sum(top * bottom) + sum(transpose(y) * top);
    tensors::Numbers dx = xt::zeros<double>({4, 4});
    double expected = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 4; ++j) {
            expected += x(i, j) * x(i + 1, j) + x(i, j) * x(i, j);
            dx(i, j) += x(i + 1, j) + 2 * x(i, j);
            dx(i + 1, j) += x(i, j);
        }
    }
    CHECK(loss.item() == Approx(expected).epsilon(1e-14));
    backward(loss);
    CHECK(difference(v.grad(), dx) < 1e-14);
}

TEST_CASE("statement: a value beside a view of itself receives both gradients", "[statement]") {
    const auto x = random({1, 5}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = square(v) * reshape(v, {1, 5});  // x³
    backward(sum(y));
    CHECK(difference(v.grad(), tensors::Numbers(3 * x * x)) < 1e-15);
}

TEST_CASE("statement: a variable repeated in one statement receives each of its gradients", "[statement]") {
    const auto x = random({37}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = v * v * v + v;
    backward(sum(y));
    CHECK(difference(v.grad(), tensors::Numbers(3 * x * x + 1)) < 1e-15);
}

TEST_CASE("statement: a variable that also stands in a condition receives the gradient of its other places",
          "[statement]") {
    for (std::size_t size : {1u, 5u, 64u}) {
        const auto x = random({size}, 1);
        Tape<double> tape;
        const auto v = tape.variable(x);
        const Var<double> y = where(v > 0, v, 0.1 * v) + sign(v);
        backward(sum(y));
        CHECK(difference(v.grad(), tensors::Numbers(xt::where(x > 0, 1.0, 0.1))) < 1e-15);
    }
}

TEST_CASE("statement: what is only compared receives a gradient of zeros", "[statement]") {
    const auto x = random({9}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x), w = tape.variable(x);
    const Var<double> y = (v > 0) * w;
    backward(sum(y));
    if (v.has_grad()) CHECK(difference(v.grad(), tensors::Numbers(xt::zeros<double>({9}))) == 0);
    CHECK(difference(w.grad(), tensors::Numbers(xt::cast<double>(x > 0))) == 0);
    CHECK(difference(grad(y, {v}, {.seed = tape.constant(x)})[0].value(),
                     tensors::Numbers(xt::zeros<double>({9}))) == 0);
}

TEST_CASE("statement: empty tensors give empty results and empty gradients", "[statement]") {
    Tape<double> tape;
    const auto x = tape.variable(xt::xarray<double>(xt::zeros<double>({0, 3})));
    const auto b = tape.variable(random({3}, 1));
    const Var<double> y = tanh(x) + b;
    CHECK(y.shape() == Shape{0, 3});
    const auto g = grad(Var<double>(sum(y)), {x, b});
    CHECK(g[0].shape() == Shape{0, 3});
    CHECK(difference(g[1].value(), tensors::Numbers(xt::zeros<double>({3}))) == 0);
    CHECK_NOTHROW(backward(sum(y)));
}

TEST_CASE("statement: shapes that don't broadcast are refused, with op and both shapes in the message",
          "[statement]") {
    Tape<double> tape;
    const auto a = tape.variable(random({2, 3}, 1)), b = tape.variable(random({4}, 2));
    const std::size_t before = tape.size();
    CHECK_THROWS_AS(Var<double>(a * b), ShapeError);
    CHECK_THROWS_WITH(Var<double>(a * b), Catch::StartsWith("[multiply]") && Catch::Contains("(2, 3)") &&
                                              Catch::Contains("(4,)"));
    CHECK_THROWS_AS(Var<double>(tanh(a) * 2 + b), ShapeError);
    CHECK(tape.size() == before);
}

TEST_CASE("statement: an expression is one node, whatever its length", "[statement]") {
    Tape<double> tape;
    const auto x = tape.variable(random({8}, 1));
    const std::size_t before = tape.size();
    const Var<double> y = tanh(sigmoid(x) * x + exp(-x)) / (1 + square(x));
    CHECK(y.index() == before);
    CHECK(tape.size() == before + 1);
}

TEST_CASE("statement: its largest size, 16 operands, is as right as a small one", "[statement]") {
    Tape<double> tape;
    std::vector<Var<double>> x;
    for (unsigned k = 0; k < 16; ++k) x.push_back(tape.variable(random({5}, k + 1)));
    const Var<double> y = x[0] * x[1] + x[2] * x[3] + x[4] * x[5] + x[6] * x[7] + x[8] * x[9] +
                          x[10] * x[11] + x[12] * x[13] + x[14] * x[15];
    backward(sum(y));
    tensors::Numbers expected = xt::zeros<double>({5});
    for (unsigned k = 0; k < 16; k += 2) {
        expected += random({5}, k + 1) * random({5}, k + 2);
        CHECK(difference(x[k].grad(), random({5}, k + 2)) == 0);
        CHECK(difference(x[k + 1].grad(), random({5}, k + 1)) == 0);
    }
    CHECK(difference(y.value(), expected) < 1e-15);
}

TEST_CASE("statement: replayed op by op it gives the same value", "[statement]") {
    Tape<double> tape;
    const auto x = tape.variable(random({2, 3}, 1)), b = tape.variable(random({3}, 2));
    const Var<double> y = tanh(x * 2 + b) - sigmoid(b);
    const auto steps = replay(*statement_at(tape, y.index()));
    REQUIRE(steps.size() == 5);
    CHECK(difference(steps.back().value(), y.value()) == 0);
    CHECK(!statement_at(tape, x.index()));
}

TEST_CASE("statement: a user's op works fused, and to second order", "[statement]") {
    const auto x = random({6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> y = 2 * apply<Cube>(v);
    CHECK(difference(y.value(), tensors::Numbers(2 * x * x * x)) < 1e-15);
    const auto first = grad(Var<double>(sum(y)), {v}, {.create_graph = true})[0];
    CHECK(difference(first.value(), tensors::Numbers(6 * x * x)) < 1e-15);
    CHECK(difference(grad(Var<double>(sum(first)), {v})[0].value(), tensors::Numbers(12 * x)) < 1e-15);
}
