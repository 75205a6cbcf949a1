#include "autograd/loop.hpp"

#include <array>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

// What loops mean for whole networks is tested in tests/nn/repeated_steps_test.cpp.

using namespace xtape;
using tensors::difference;
using tensors::random;

namespace {

/// x_t = tanh(x_{t-1} w) over `count` steps, those that are recorded and those that are not.
struct Chain {
    Chain(Tape<double>& tape, std::size_t count, bool alike) {
        const Var<double> w = tape.variable(random({3, 3}, 1));
        Var<double> x = tape.variable(random({2, 3}, 2));
        Steps<double> steps(tape, count, alike);
        while (values.size() < count) {
            x = tanh(matmul(x, w));
            ++recorded;
            values.push_back(x);
            const std::size_t more = steps.done(std::span<const Var<double>>(&x, 1));
            const Var<double> last = x;
            for (std::size_t k = 1; k <= more; ++k) values.push_back(x = steps.later(last, k));
        }
    }
    std::vector<Var<double>> values;
    std::size_t recorded = 0;
};

}  // namespace

TEST_CASE("loop: steps that are alike are recorded three times, in all lengths") {
    for (std::size_t count : {1u, 2u, 3u, 4u, 5u, 6u, 50u}) {
        CAPTURE(count);
        Tape<double> tape;
        const Chain chain(tape, count, true);
        CHECK(chain.recorded == (count < 5 ? count : 3));
        Tape<double> other;
        const Chain expected(other, count, false);
        CHECK(expected.recorded == count);
        CHECK(tape.size() == other.size());
        for (std::size_t t = 0; t < count; ++t) {
            CHECK(difference(chain.values[t].value(), expected.values[t].value()) == 0);
            CHECK(chain.values[t].index() == expected.values[t].index());
        }
    }
}

TEST_CASE("loop: the nodes that are made on demand are those that would have been recorded") {
    Tape<double> tape, other;
    const Chain chain(tape, 30, true), expected(other, 30, false);
    const auto count = static_cast<NodeIndex>(tape.size());
    for (NodeIndex index = count; index-- > 0;) {
        CAPTURE(index);
        const Node<double>& node = tape.node(tape[index]);
        const Node<double>& same = other.node(other[index]);
        CHECK(node.shape == same.shape);
        CHECK(node.owner == same.owner);
        CHECK(node.rule == same.rule);
        CHECK(node.needs_gradient == same.needs_gradient);
        CHECK((node.is_multiplied || !same.is_multiplied));
        REQUIRE(node.input_count == same.input_count);
        CHECK(std::equal(node.inputs, node.inputs + node.input_count, same.inputs));
        CHECK(difference(tape[index].value(), other[index].value()) == 0);
    }
    CHECK(multiplications(tape, "matmul") == multiplications(other, "matmul"));
}

TEST_CASE("loop: the values of all steps lie one after the other, so that stacking them copies nothing") {
    // 16 numbers fill the unit of allocation, 3 don't.
    for (bool alike : {false, true}) {
        for (const auto& [width, in_place] : {std::pair(16u, true), std::pair(3u, false)}) {
            CAPTURE(alike, width);
            Tape<double> tape;
            Var<double> x = tape.variable(random({width}, 1));
            std::vector<Var<double>> values;
            Steps<double> steps(tape, 20, alike);
            while (values.size() < 20) {
                x = 0.5 * x + 1.0;
                values.push_back(x);
                const std::size_t more = steps.done(std::span<const Var<double>>(&x, 1));
                const Var<double> last = x;
                for (std::size_t k = 1; k <= more; ++k) values.push_back(x = steps.later(last, k));
            }
            const Var<double> all = stack(values);
            CHECK((all.value().data() == values[0].value().data()) == in_place);
            for (std::size_t t = 0; t < 20; ++t) {
                CHECK(difference(all[static_cast<std::ptrdiff_t>(t)].value(), values[t].value()) == 0);
            }
            backward(sum(square(all)));
        }
    }
}

TEST_CASE("loop: a node in the middle may be a view of the step before, and be used") {
    const auto gradient = [](bool alike) {
        Tape<double> tape;
        const Var<double> start = tape.variable(random({3, 3}, 1));
        Var<double> x = start;
        Steps<double> steps(tape, 20, alike);
        for (std::size_t t = 0; t < 20; ++t) {
            x = 0.9 * transpose(x) + start;
            t += steps.done(std::span<const Var<double>>(&x, 1));
        }
        const auto view = static_cast<NodeIndex>(tape.size() - 2 * 10);  // two nodes a step
        REQUIRE(tape.node(tape[view]).is_view != tape.node(tape[view + 1]).is_view);
        const Var<double> seen = tape[tape.node(tape[view]).is_view ? view : view + 1];
        backward(sum(square(seen)));
        return tensors::Numbers(start.grad());
    };
    CHECK(difference(gradient(true), gradient(false)) == 0);
}

TEST_CASE("loop: a sequence of steps within a step is recorded as it comes") {
    Tape<double> tape;
    const Var<double> x = tape.variable(random({4}, 1));
    Var<double> outer_value = x;
    Steps<double> outer(tape, 8, true);
    std::size_t inner_steps = 0;
    for (std::size_t t = 0; t < 8; ++t) {
        Steps<double> inner(tape, 8, true);
        for (std::size_t k = 0; k < 8; ++k, ++inner_steps) {
            outer_value = 0.5 * outer_value + x;
            CHECK(inner.done(std::span<const Var<double>>(&outer_value, 1)) == 0);
        }
        const std::size_t more = outer.done(std::span<const Var<double>>(&outer_value, 1));
        if (more > 0) outer_value = outer.later(outer_value, more);
        t += more;
    }
    CHECK(inner_steps == 24);
    double factor = 1;
    for (int k = 0; k < 64; ++k) factor = 0.5 * factor + 1;
    CHECK(difference(outer_value.value(), tensors::Numbers(factor * x.value())) < 1e-14);
}
