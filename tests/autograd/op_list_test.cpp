// Every op, listed by construction, is checked to first and second order: over broadcasting forms, over views that
// don't lie dense, and over repeated inputs.

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using V = Var<double>;
using Inputs = std::span<const V>;
using tensors::random;

namespace {

void check_both_orders(const std::string& what, const Differentiable& f,
                       const std::vector<Array<double>>& inputs) {
    INFO(what);
    CHECK_NOTHROW(gradcheck(f, inputs));
    CHECK_NOTHROW(gradgradcheck(f, inputs));
}

// ---- pointwise ops ----------------------------------------------------------------------------------------------

/// A way to come by an operand that broadcasts to (2, 3).
struct Form {
    const char* name;
    std::vector<std::size_t> shape;
    std::function<V(const V&)> view;
};

const V& itself(const V& x) { return x; }

const std::vector<Form> forms = {
    {"a matrix", {2, 3}, itself},
    {"a row", {3}, itself},
    {"a column", {2, 1}, itself},
    {"a scalar", {}, itself},
    {"one element", {1, 1}, itself},
    {"a transposed matrix", {3, 2}, [](const V& x) { return transpose(x); }},
    {"columns of a wider matrix", {2, 5}, [](const V& x) { return slice(x, 1, 1, 4); }},
    {"every other column", {2, 6}, [](const V& x) { return slice(x, 1, 1, 6, 2); }},
    {"every other row", {4, 3}, [](const V& x) { return slice(x, 0, 0, 4, 2); }},
    {"a step of a sequence", {3, 2, 3}, [](const V& x) { return x[1]; }},
    {"a slice of the middle axis", {2, 4, 3}, [](const V& x) { return select(x, 1, 2); }},
    {"a repeated row",
     {3},
     [](const V& x) {
         return broadcast_to(x, {2, 3});
     }},
    {"a column of a matrix", {2, 4}, [](const V& x) { return slice(x, 1, 2, 3); }},
};
constexpr std::size_t matrix = 0, row = 1, column = 2, transposed = 5, columns = 6, stepped = 7;

/// Inputs within the op's domain, none of whose combinations lies near a kink.
template <class Op, std::size_t arity = Op::arity>
std::vector<Array<double>> smooth_inputs(const std::array<std::size_t, arity>& chosen) {
    for (unsigned seed = 1;; ++seed) {
        std::vector<Array<double>> inputs;
        for (std::size_t k = 0; k < arity; ++k) {
            const auto input =
                random(forms[chosen[k]].shape, 10 * seed + unsigned(k), Op::domain.low, Op::domain.high);
            inputs.emplace_back(input);
        }
        bool near = false;
        const auto visit = [&](auto self, std::array<double, arity> x, std::size_t k) -> void {
            if (k < arity) {
                for (std::size_t i = 0; i < inputs[k].size(); ++i) {
                    x[k] = inputs[k].data()[i];
                    self(self, x, k + 1);
                }
            } else {
                near |= std::abs(std::apply([](auto... each) { return Op::kink(each...); }, x)) < 1e-4;
            }
        };
        visit(visit, {}, 0);
        if (!near) return inputs;
    }
}

template <class Op>
void check_op(const std::array<std::size_t, Op::arity>& chosen) {
    std::string what = Op::name;
    for (std::size_t form : chosen) what += std::string(", ") + forms[form].name;
    const auto f = [&]<std::size_t... K>(Inputs x, std::index_sequence<K...>) {
        return V(apply<Op>(forms[chosen[K]].view(x[K])...));
    };
    check_both_orders(
        what, [&](Inputs x) { return f(x, std::make_index_sequence<Op::arity>{}); },
        smooth_inputs<Op>(chosen));
}

template <class Op>
void check_forms() {
    for (std::size_t form = 0; form < forms.size(); ++form) {
        if constexpr (Op::arity == 1) {
            check_op<Op>({form});
        } else if constexpr (Op::arity == 2) {
            check_op<Op>({form, matrix});
            check_op<Op>({matrix, form});
        } else {
            check_op<Op>({form, matrix, row});
            check_op<Op>({row, form, matrix});
            check_op<Op>({matrix, column, form});
        }
    }
    if constexpr (Op::arity == 2) {
        check_op<Op>({row, column});
        check_op<Op>({column, row});
        check_op<Op>({transposed, columns});
        check_op<Op>({stepped, stepped});
    }
}

template <class... Ops>
void check_forms_of_all(TypeList<Ops...>) {
    (check_forms<Ops>(), ...);
}

/// The op inside of a statement, where what it keeps isn't the node's own value.
template <class Op>
void check_inside() {
    constexpr std::array<std::size_t, 3> chosen = {columns, row, matrix};
    const auto f = [&]<std::size_t... K>(Inputs x, std::index_sequence<K...>) {
        return V(forms[columns].view(x[0]) * apply<Op>(forms[chosen[K]].view(x[K])...));
    };
    std::array<std::size_t, Op::arity> of_op;
    std::copy_n(chosen.begin(), of_op.size(), of_op.begin());
    check_both_orders(
        std::string(Op::name) + " inside of a statement",
        [&](Inputs x) { return f(x, std::make_index_sequence<Op::arity>{}); }, smooth_inputs<Op>(of_op));
}

/// The bits of values: a statement that keeps what it computes has those of one that doesn't.
template <class T, class Op>
void check_recording() {
    Tape<T> tape;
    std::array<Var<T>, 3> x;
    for (unsigned k = 0; k < 3; ++k)
        x[k] = tape.variable(random<T>({300}, k + 1, Op::domain.low, Op::domain.high));
    const auto f = [&]<std::size_t... K>(std::index_sequence<K...>) {
        return Var<T>(apply<Op>(x[K]...) * x[1] + x[2]);
    };
    const Var<T> recorded = f(std::make_index_sequence<Op::arity>{});
    NoRecording values_only(tape);
    const Var<T> evaluated = f(std::make_index_sequence<Op::arity>{});
    INFO(Op::name);
    CHECK(tensors::difference(recorded.value(), evaluated.value()) == 0);
}

template <class... Ops>
void check_inside_all(TypeList<Ops...>) {
    (check_inside<Ops>(), ...);
    (check_recording<float, Ops>(), ...);
    (check_recording<double, Ops>(), ...);
}

/// The number of ops that aren't comparisons, whose repeated operand is on their kink.
template <class Op>
void check_repeated() {
    if constexpr (Op::arity == 2 && !std::is_base_of_v<op::Comparison, Op>) {
        if (Op::kink(0.5, 0.5) == 0) return;
        const auto inputs = smooth_inputs<Op>({matrix, matrix});
        check_both_orders(std::string(Op::name) + " of a value with itself",
                          [](Inputs x) { return V(apply<Op>(x[0], x[0])); }, {inputs[0]});
        check_both_orders(std::string(Op::name) + " of a value with a row of itself",
                          [](Inputs x) { return V(apply<Op>(x[0][0], x[0])); }, {inputs[0]});
    }
}

template <class... Ops>
void check_repeated_all(TypeList<Ops...>) {
    (check_repeated<Ops>(), ...);
}

// ---- other ops --------------------------------------------------------------------------------------------------

struct Case {
    std::string op;
    std::vector<std::vector<std::size_t>> shapes;  // of the inputs
    std::function<V(Inputs)> f;
};

/// The gradient of Σ y² as a value: what puts the ways back onto the tape.
V gradient_of(const V& y, const V& x) { return grad(V(sum(square(y))), {x}, {.create_graph = true})[0]; }

const std::vector<Case>& structural_cases() {
    static const std::vector<Case> cases = [] {
        std::vector<Case> list;
        const std::vector<std::vector<std::size_t>> cube = {{3, 2, 4}};
        for (const Axes& axes : {Axes{}, Axes{0}, Axes{1}, Axes{-1}, Axes{0, 2}, Axes{1, 2}}) {
            for (bool keepdims : {false, true}) {
                list.push_back({"sum", cube, [=](Inputs x) { return sum(x[0], axes, keepdims); }});
                list.push_back({"mean", cube, [=](Inputs x) { return mean(x[0], axes, keepdims); }});
                list.push_back({"var", cube, [=](Inputs x) { return var(x[0], axes, keepdims); }});
                list.push_back({"var", cube, [=](Inputs x) { return var(x[0], axes, keepdims, 1); }});
                list.push_back({"max", cube, [=](Inputs x) { return max(x[0], axes, keepdims); }});
                list.push_back({"min", cube, [=](Inputs x) { return min(x[0], axes, keepdims); }});
                list.push_back(
                    {"logsumexp", cube, [=](Inputs x) { return logsumexp(x[0], axes, keepdims); }});
            }
            list.push_back({"softmax", cube, [=](Inputs x) { return softmax(x[0], axes); }});
            list.push_back({"log_softmax", cube, [=](Inputs x) { return log_softmax(x[0], axes); }});
            list.push_back({"flip", cube, [=](Inputs x) { return flip(x[0], axes); }});
        }
        for (std::ptrdiff_t axis : {0, 1, 2}) {
            list.push_back({"cumsum", cube, [=](Inputs x) { return cumsum(x[0], axis); }});
            list.push_back({"slice", cube, [=](Inputs x) { return slice(x[0], axis, 1, 4, 2) * 2; }});
            list.push_back({"select", cube, [=](Inputs x) { return select(x[0], axis, -1) * 2; }});
            list.push_back(
                {"place", cube, [=](Inputs x) { return gradient_of(slice(x[0], axis, 1, 3), x[0]); }});
            list.push_back({"stack", {{3, 2}, {3, 2}}, [=](Inputs x) {
                                return stack({x[0], x[1], V(x[0] * x[1])}, axis);
                            }});
            list.push_back({"take", cube, [=](Inputs x) { return take(x[0], {1, 0, -1, 1, 1}, axis); }});
            list.push_back({"add_at", cube, [=](Inputs x) {
                                return gradient_of(take(x[0], {1, 0, -1, 1, 1}, axis), x[0]);
                            }});
            list.push_back({"concatenate", {{3, 2, 4}, {3, 2, 4}}, [=](Inputs x) {
                                return concatenate({x[0], x[1], x[0]}, axis);
                            }});
        }
        const xt::xarray<int> indices = {
            {{0, 3, 3}, {-1, 0, 0}}, {{1, 1, 1}, {2, 3, 0}}, {{0, 1, 2}, {-4, -4, 2}}};
        list.push_back(
            {"take_along_axis", cube, [=](Inputs x) { return take_along_axis(x[0], indices, -1); }});
        list.push_back({"add_along_axis", cube,
                        [=](Inputs x) { return gradient_of(take_along_axis(x[0], indices, -1), x[0]); }});
        const xt::xarray<std::size_t> pairs = {{0, 2}, {2, 2}};
        list.push_back({"take", cube, [=](Inputs x) { return take(x[0], pairs, 0); }});
        list.push_back({"pad", cube, [](Inputs x) { return pad(x[0], {{1, 0}, {0, 2}, {1, 1}}, 3); }});

        list.push_back({"reshape", cube, [](Inputs x) { return reshape(x[0], {4, -1}) * 2; }});
        list.push_back({"reshape", cube, [](Inputs x) { return unsqueeze(x[0], 1) * 2; }});
        list.push_back({"transpose", cube, [](Inputs x) { return transpose(x[0], {2, 0, 1}) * 2; }});
        list.push_back({"broadcast_to", {{3, 1, 4}}, [](Inputs x) {
                            return broadcast_to(x[0], {5, 3, 2, 4}) * 2;
                        }});
        list.push_back({"contiguous", cube, [](Inputs x) {
                            return reshape(transpose(x[0], {1, 2, 0}), {-1});
                        }});

        list.push_back({"matmul", {{3, 4}, {4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"matmul", {{4}, {4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"matmul", {{3, 4}, {4}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"matmul", {{4}, {4}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"matmul", {{3, 2, 4}, {4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"matmul", {{3, 4}, {4, 2}, {3, 3}, {3, 2}, {2}, {3, 1}}, [](Inputs x) {
                            return V(matmul(x[0], x[1]) + x[4] + matmul(x[2], x[3]) + x[5]);
                        }});
        list.push_back({"matmul", {{5, 2, 4}, {4, 3}, {3, 3}, {3}}, [](Inputs x) {
                            V h = x[0].tape().constant(xt::zeros<double>({2, 3}));
                            for (std::ptrdiff_t t = 0; t < 5; ++t)
                                h = tanh(matmul(x[0][t], x[1]) + matmul(h, x[2]) + x[3]);
                            return h;
                        }});
        list.push_back(
            {"batched_matmul", {{2, 3, 4}, {2, 4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back(
            {"batched_matmul", {{3, 4}, {2, 4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back(
            {"batched_matmul", {{5, 1, 3, 4}, {2, 4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});
        list.push_back({"batched_matmul", {{4}, {2, 4, 2}}, [](Inputs x) { return V(matmul(x[0], x[1])); }});

        list.push_back({"statement", {{3, 4}, {4}, {3, 1}}, [](Inputs x) {
                            return V(tanh(x[0]) * x[1] + sigmoid(x[2] * x[0]) * x[0]);
                        }});
        list.push_back({"checkpoint", {{3, 4}, {4, 2}}, [](Inputs x) {
                            const V a = x[0], b = x[1], twice = 2 * a;
                            const auto parts = checkpoint<double>(a.tape(), [=]() -> std::vector<V> {
                                return {tanh(matmul(twice, b)), V(exp(a) * a)};
                            });
                            return concatenate({parts[0], V(parts[1] * sum(a)), a}, 1);
                        }});
        list.push_back({"stop_gradient", cube, [](Inputs x) {
                            // Of a constant: its derivative is 0, which of x it would not be.
                            return x[0] * stop_gradient(x[0].tape().constant(random({3, 2, 4}, 1)));
                        }});
        return list;
    }();
    return cases;
}

bool records(const Case& one, std::span<const Array<double>> inputs) {
    Tape<double> tape;
    std::vector<V> variables;
    for (const Array<double>& input : inputs) variables.push_back(tape.variable(input));
    one.f(variables);
    for (NodeIndex index = 0; index < tape.size(); ++index) {
        const auto* rule = tape.at(index).rule;
        if (rule != nullptr && rule->name == one.op) return true;
    }
    return false;
}

std::vector<Array<double>> inputs_of(const Case& one) {
    std::vector<Array<double>> inputs;
    for (const auto& shape : one.shapes) inputs.emplace_back(random(shape, unsigned(inputs.size()) + 1));
    return inputs;
}

/// The same case, fed with views that show each input's elements: `store` lays them out, `view` looks at them.
template <class Store, class View>
void check_through(const char* how, const Case& one, Store store, View view) {
    std::vector<Array<double>> stored;
    for (const Array<double>& input : inputs_of(one))
        stored.emplace_back(store(tensors::Numbers(input.view())));
    check_both_orders(
        one.op + ", " + how,
        [&](Inputs x) {
            std::vector<V> seen;
            for (const V& each : x) seen.push_back(view(each));
            return one.f(seen);
        },
        stored);
}

}  // namespace

TEST_CASE("ops: every pointwise op is right to second order, in every broadcasting form and view", "[ops]") {
    check_forms_of_all(PointwiseOps{});
}

TEST_CASE("ops: every pointwise op is right inside of a statement, recorded or not", "[ops]") {
    check_inside_all(PointwiseOps{});
}

TEST_CASE("ops: every pointwise op adds up the gradients of an operand that it is given twice", "[ops]") {
    check_repeated_all(PointwiseOps{});
}

TEST_CASE("ops: every other op is listed with a case that records it", "[ops]") {
    for (std::string_view op : structural_ops) {
        bool found = false;
        for (const Case& one : structural_cases()) found |= one.op == op;
        INFO(op);
        CHECK(found);
    }
    for (const Case& one : structural_cases()) {
        INFO(one.op);
        CHECK(records(one, inputs_of(one)));
    }
}

TEST_CASE("ops: every other op is right to second order", "[ops]") {
    for (const Case& one : structural_cases()) check_both_orders(one.op, one.f, inputs_of(one));
}

TEST_CASE("ops: every other op has the same gradients, bit by bit, in every kind of sweep over values",
          "[ops]") {
    for (const Case& one : structural_cases()) {
        INFO(one.op);
        const std::vector<Array<double>> inputs = inputs_of(one);
        enum class Kind { all, released, wanted };
        const auto gradients = [&](Kind kind) {
            Tape<double> tape;
            std::vector<V> variables, computed;
            for (const Array<double>& input : inputs) {
                variables.push_back(tape.variable(input));
                computed.emplace_back(1.5 * variables.back());
            }
            const V loss = sum(square(one.f(computed)));
            std::vector<tensors::Numbers> result;
            if (kind == Kind::wanted) {
                for (const V& gradient : grad(loss, variables)) result.emplace_back(gradient.value());
                return result;
            }
            backward(loss, {.release_values = kind == Kind::released});
            for (std::size_t k = 0; k < variables.size(); ++k) {
                result.emplace_back(inputs[k].view());
                result[k].fill(0);
                if (variables[k].has_grad()) result[k] = variables[k].grad();
            }
            return result;
        };
        const auto expected = gradients(Kind::all);
        CHECK((gradients(Kind::released) == expected));
        CHECK((gradients(Kind::wanted) == expected));
    }
}

TEST_CASE("ops: every other op is right of transposed inputs", "[ops]") {
    for (const Case& one : structural_cases()) {
        check_through(
            "of transposed inputs", one,
            [](const tensors::Numbers& x) { return tensors::Numbers(xt::transpose(x)); },
            [](const V& x) {
                Axes reversed;
                for (std::size_t axis = x.rank(); axis-- > 0;)
                    reversed.push_back(static_cast<std::ptrdiff_t>(axis));
                return transpose(x, reversed);
            });
    }
}

TEST_CASE("ops: every other op is right of inputs that are every other element of a larger tensor", "[ops]") {
    for (const Case& one : structural_cases()) {
        check_through(
            "of stepped inputs", one,
            [](const tensors::Numbers& x) {
                std::vector<std::size_t> wide(x.shape().begin(), x.shape().end());
                wide.back() *= 2;
                tensors::Numbers result = random(wide, 99);
                for (std::size_t i = 0; i < x.size(); ++i) result.flat(2 * i + 1) = x.flat(i);
                return result;
            },
            [](const V& x) { return slice(x, -1, 1, static_cast<std::ptrdiff_t>(x.shape().back()), 2); });
    }
}
