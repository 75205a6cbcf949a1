// What unroll leaves to the tape to repeat must not differ, in any bit, from what it records step by step.

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t D = 3, H = 5;

/// Parameters for any of the cells below, and a count of how often a step was run.
template <class T>
struct Weights {
    explicit Weights(std::size_t width)
        : x(Shape{width, D}), h(Shape{width, H}), b(Shape{width}), p(Shape{H}) {
        nn::Engine engine(width);
        for (Parameter<T>* w : {&x, &h, &b, &p}) nn::normal(*w, 0.4, engine);
    }
    std::vector<xt::xarray<T>> gradients() {
        std::vector<xt::xarray<T>> result;
        for (Parameter<T>* w : {&x, &h, &b, &p}) {
            if (w->has_grad()) result.emplace_back(w->grad());
        }
        return result;
    }
    Parameter<T> x, h, b, p;
};

template <class T>
struct Pair {
    Var<T> h, c;
};

/// Each cell is a function of its weights on the tape that gives a step.
const auto rnn = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        auto next = s;
        next.h = relu(matmul(x, wx) + matmul(s.h, wh) + b) * p;
        next.c = s.h;  // a state that is nothing but handed on
        return next;
    };
};
const auto lstm = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        const auto [i, f, o, g] = xtape::split<4>(matmul(x, wx) + matmul(s.h, wh) + b);
        auto next = s;
        next.c = sigmoid(f + p * s.c) * s.c + sigmoid(i) * tanh(g);
        next.h = sigmoid(o) * tanh(next.c);
        return next;
    };
};
const auto gru_like = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        const auto [x_r, x_z, x_n] = xtape::split<3>(matmul(x, wx) + b);
        const auto [h_r, h_z, h_n] = xtape::split<3>(matmul(s.h, wh));
        auto next = s;
        const auto z = sigmoid(x_z + h_z);
        next.h = (1 - z) * tanh(x_n + sigmoid(x_r + h_r) * (h_n + p)) + z * s.h;
        next.c = 0.5 * s.c + square(next.h) * h_r;
        return next;
    };
};
/// Two layers that share their weights, so that a step uses each of them twice.
const auto shared_twice = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        auto next = s;
        next.h = tanh(matmul(x, wx) + matmul(s.h, wh) + b);
        next.c = tanh(matmul(next.h, wh) + matmul(s.c, wh)) * p + s.c;
        return next;
    };
};
/// Matrices that are computed once, whose gradients belong to nobody until then, and views of them in each step.
const auto computed = [](auto wx, auto wh, auto b, auto p) {
    const decltype(wx) double_wx = 2 * wx, half_wh = 0.5 * wh, b_h = slice(b, 0, 0, H);
    return [=](const auto& x, const auto& s) {
        const auto left = slice(half_wh, 1, 0, H), right = slice(half_wh, 1, H);
        auto next = s;
        next.h = tanh(matmul(x, slice(double_wx, 1, 0, H)) + matmul(s.h, left) + b_h);
        next.c = 0.5 * s.c + p * sigmoid(matmul(next.h, right));
        return next;
    };
};
/// No product of the input, and none that could be computed before the loop.
const auto plain = [](auto wx, auto wh, auto b, auto p) {
    const auto mix = sum(wx) * p;
    return [=](const auto&, const auto& s) {
        auto next = s;
        next.h = tanh(matmul(s.h * mix, wh) + s.c + b);
        next.c = s.c * 0.9 + b;
        return next;
    };
};
/// A number for each sample, spread over its row.
const auto spread = [](auto wx, auto wh, auto b, auto p) {
    const auto mix = sum(wx) + sum(wh) + sum(b);
    return [=](const auto& x, const auto& s) {
        auto next = s;
        next.h = tanh(s.h * p + mix * slice(x, -1, 1, 2)) + s.c;
        next.c = s.c * 0.9;
        return next;
    };
};

/// An LSTM, an op at a time.
const auto one_op_each = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        using V = std::remove_cvref_t<decltype(x)>;
        const V gates = matmul(x, wx) + matmul(s.h, wh) + b;
        const V i = sigmoid(slice(gates, 1, 0, H)), f = sigmoid(slice(gates, 1, H, 2 * H));
        const V o = sigmoid(slice(gates, 1, 2 * H, 3 * H)), g = tanh(slice(gates, 1, 3 * H));
        const V kept = f * s.c, added = i * g;
        auto next = s;
        next.c = kept + added;
        const V squashed = tanh(next.c), scaled = p * o;
        next.h = scaled * squashed;
        return next;
    };
};
/// Input and state side by side, times one matrix.
const auto joined = [](auto wx, auto wh, auto b, auto p) {
    using V = decltype(wx);
    const V w = xtape::concatenate<typename V::value_type>({wx, wh}, 0);
    return [=](const auto& x, const auto& s) {
        auto next = s;
        const V both = xtape::concatenate<typename V::value_type>({x, s.h}, 1);
        next.h = tanh(matmul(both, w) + b);
        next.c =
            xtape::concatenate<typename V::value_type>({slice(next.h, 1, 1), slice(s.c, 1, 0, 1)}, 1) * p;
        return next;
    };
};
/// A state that is a sum of products, whose gradients wait for those of other steps.
const auto linear = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        auto next = s;
        next.h = matmul(x, wx) + matmul(s.h, wh) + b;
        next.c = matmul(next.h, wh) + p * s.c;
        return next;
    };
};
/// One matrix three times in a step.
const auto deep = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        using V = std::remove_cvref_t<decltype(x)>;
        const V first = tanh(matmul(x, wx) + matmul(s.h, wh) + b), second = tanh(matmul(first, wh));
        auto next = s;
        next.h = first + second * tanh(matmul(second, wh) + p);
        next.c = 0.5 * s.c + second;
        return next;
    };
};
/// Parts of matrices and biases, taken anew in each step.
const auto parts = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        const auto part = [&](std::ptrdiff_t k) {
            constexpr auto size = static_cast<std::ptrdiff_t>(H);
            return matmul(x, slice(wx, 1, k * size, (k + 1) * size)) +
                   matmul(s.h, slice(wh, 1, k * size, (k + 1) * size)) +
                   slice(b, 0, k * size, (k + 1) * size);
        };
        auto next = s;
        next.c = sigmoid(part(0)) * s.c + tanh(part(1));
        next.h = tanh(next.c) * p;
        return next;
    };
};

/// Sums and means of rows, of columns and of everything, of a tensor and of some of its columns.
const auto normed = [](auto wx, auto wh, auto b, auto p) {
    return [=](const auto& x, const auto& s) {
        using V = std::remove_cvref_t<decltype(x)>;
        const V a = matmul(x, wx) + matmul(s.h, wh) + b;
        const V centered = a - mean(a, {1}, true);
        auto next = s;
        next.h = centered / (1 + sum(square(centered), {1}, true)) + 0.1 * p * mean(a, {0}, true);
        next.c = 0.5 * s.c + sum(slice(next.h, 1, 1, 3), {1}, true) + 0.01 * mean(square(a));
        return next;
    };
};

/// How many steps of the loop that a value belongs to have nodes.
template <class T>
std::ptrdiff_t steps_with_nodes(Tape<T>& tape, const Var<T>& value) {
    using Nodes = typename xtape::Loop<T>::Nodes;
    const auto& loop = *tape.loop_at(value.index());
    return std::count_if(loop.nodes, loop.nodes + loop.steps,
                         [](Nodes nodes) { return nodes != Nodes::missing; });
}

template <class T>
struct Run {
    std::vector<xt::xarray<T>> values;
    std::size_t calls = 0;
    std::ptrdiff_t visited = 0;  // steps, at most
};

enum class Loss { outputs, last, both, some, seeded, two, some_released, seeded_released, two_released };

/// Forward and backward, with steps that are repeated or not.
template <bool repeated, class T, class Cell>
Run<T> run(const Cell& cell, std::size_t width, std::size_t steps, std::size_t batch, Loss kind) {
    nn::Engine engine(7);
    Weights<T> weights(width);
    const xt::xarray<T> xs = xt::cast<T>(random(engine, std::array{steps, batch, D}));
    const xt::xarray<T> h0 = xt::cast<T>(random(engine, std::array{batch, H}));
    Tape<T> tape;
    Run<T> result;
    const Var<T> x = tape.variable(xs), h = tape.variable(h0);
    const Pair<T> start{h, Var<T>(0.1 * h)};
    const auto step = [&, inner = cell(transpose(tape.watch(weights.x)), transpose(tape.watch(weights.h)),
                                       tape.watch(weights.b), tape.watch(weights.p))](const Var<T>& input,
                                                                                      const Pair<T>& s) {
        ++result.calls;
        return inner(input, s);
    };
    const auto states = [&] {
        if constexpr (repeated)
            return nn::unroll_states(nn::every_step(step), x, start);
        else
            return nn::unroll_states(step, x, start);
    }();
    const Var<T> outputs = nn::stack_outputs(states);
    Var<T> loss = sum(square(outputs)) * 0.5;
    if (kind == Loss::last) loss = sum(states.back().h * states.back().c);
    if (kind == Loss::both) loss = loss + sum(states.back().c) + sum(square(outputs));
    if (kind == Loss::some || kind == Loss::some_released) {
        for (std::size_t t = 0; t < steps; t += 5) loss = loss + sum(states[t].c * states[t].h);
    }
    result.values.emplace_back(outputs.value());
    result.values.emplace_back(states.back().c.value());
    if (kind == Loss::two || kind == Loss::two_released) loss = sum(states[steps / 2].h * states.back().h);
    const bool released =
        kind == Loss::some_released || kind == Loss::seeded_released || kind == Loss::two_released;
    if (kind == Loss::seeded || kind == Loss::seeded_released)
        backward(outputs, tape.constant(xt::xarray<T>(xt::sin(outputs.value()))),
                 {.release_values = released});
    else
        backward(loss, {.release_values = released});
    if (kind == Loss::both) backward(loss);
    if (repeated && steps > 4) result.visited = steps_with_nodes(tape, states[steps / 2].h);
    for (auto& gradient : weights.gradients()) result.values.push_back(std::move(gradient));
    if (x.has_grad()) result.values.emplace_back(x.grad());
    result.values.emplace_back(h.grad());
    return result;
}

template <class T, class Cell>
void check(const std::string& name, const Cell& cell, std::size_t width) {
    for (std::size_t batch : {std::size_t{1}, std::size_t{3}, std::size_t{16}, std::size_t{32}}) {
        for (std::size_t steps :
             std::initializer_list<std::size_t>{1, 2, 3, 4, 5, 6, 9, 10, 12, 17, 40, 300}) {
            std::vector<std::vector<xt::xarray<T>>> seen;
            for (Loss kind : {Loss::outputs, Loss::last, Loss::both, Loss::some, Loss::seeded, Loss::two,
                              Loss::some_released, Loss::seeded_released, Loss::two_released}) {
                INFO(name << ", " << batch << " samples, " << steps << " steps, loss "
                          << static_cast<int>(kind));
                const Run<T> one_by_one = run<false, T>(cell, width, steps, batch, kind);
                const Run<T> at_once = run<true, T>(cell, width, steps, batch, kind);
                CHECK(one_by_one.calls == steps);
                CHECK(at_once.calls == (steps < 5 ? steps : 3));
                CHECK((one_by_one.values == at_once.values));
                const bool looks = kind == Loss::some || kind == Loss::some_released;  // at steps
                if (!looks && steps >= 40) CHECK(at_once.visited <= 16);
                seen.push_back(at_once.values);
            }
            const auto of = [&](Loss kind) { return seen[static_cast<std::size_t>(kind)]; };
            CHECK((of(Loss::some_released) == of(Loss::some)));
            CHECK((of(Loss::seeded_released) == of(Loss::seeded)));
            CHECK((of(Loss::two_released) == of(Loss::two)));
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("repeated steps: give every bit of what single ones give", "", float, double) {
    check<TestType>("rnn", rnn, H);
    check<TestType>("lstm", lstm, 4 * H);
    check<TestType>("gru", gru_like, 3 * H);
    check<TestType>("shared", shared_twice, H);
    check<TestType>("computed", computed, 2 * H);
    check<TestType>("one op each", one_op_each, 4 * H);
    check<TestType>("joined", joined, H);
    check<TestType>("linear", linear, H);
    check<TestType>("deep", deep, H);
    check<TestType>("parts", parts, 2 * H);
    check<TestType>("normed", normed, H);
    check<TestType>("plain", plain, H);
    check<TestType>("spread", spread, H);
}

namespace {

/// x (T, B, D) and what a test needs around an LSTM cell over it, in double.
struct Setting {
    explicit Setting(std::size_t steps, std::size_t batch = 2)
        : engine(3), cell(D, H, engine), xs(random(engine, std::array{steps, batch, D})) {}

    nn::Engine engine;
    nn::LSTMCell<double> cell;
    Sequence xs;
};

/// The cell's step, without the promise.
template <class Cell>
auto step_by_step(const Cell& cell, Tape<double>& tape) {
    return [step = cell.on(tape)](const auto& x, const auto& state) { return step(x, state); };
}

using Numbers = xt::xarray<double>;
using LstmState = nn::LSTMCell<double>::State;

/// Unrolls the cell with and without repeating, hands the states to `use`, and compares what that returns.
template <class Use>
void compare(Setting& s, Use use) {
    const auto run = [&](bool repeated) {
        Tape<double> tape;
        s.cell.weight.zero_grad();
        s.cell.bias.zero_grad();
        const Var<double> x = tape.variable(s.xs);
        const LstmState zero = s.cell.initial_state(tape, s.xs.shape()[1]);
        const auto states = repeated ? nn::unroll_states(s.cell, x, zero)
                                     : nn::unroll_states(step_by_step(s.cell, tape), x, zero);
        std::vector<Numbers> results = use(tape, x, states);
        if (s.cell.weight.has_grad()) results.emplace_back(s.cell.weight.grad());
        if (s.cell.bias.has_grad()) results.emplace_back(s.cell.bias.grad());
        if (x.has_grad()) results.emplace_back(x.grad());
        return results;
    };
    const auto expected = run(false);
    REQUIRE(expected.size() >= 2);
    CHECK((run(true) == expected));
}

}  // namespace

TEST_CASE("repeated steps: any of their values can be looked at and used") {
    Setting s(30);
    compare(s, [](auto&, auto&, auto states) {
        std::vector<Numbers> seen;
        for (std::size_t t : std::initializer_list<std::size_t>{17, 3, 18, 29, 0, 2}) {
            seen.emplace_back(states[t].h.value());
            seen.emplace_back(states[t].c.value());
        }
        backward(sum(states[17].h * states[3].c) + sum(square(states[18].h)));
        return seen;
    });
}

TEST_CASE("repeated steps: gradients of values in the middle can be kept, hooked and asked for") {
    Setting s(30);
    compare(s, [](auto& tape, auto& x, auto states) {
        std::vector<Numbers> seen;
        std::vector<Numbers> hooked;
        states[9].h.retain();
        states[20].c.on_gradient([&](const Var<double>& gradient) { hooked.emplace_back(gradient.value()); });
        states[25].h.on_gradient([](const Var<double>& gradient) { return Var<double>(gradient * 0.5); });
        const Var<double> loss = sum(square(nn::stack_outputs(states)));
        backward(loss);
        seen.emplace_back(states[9].h.grad());
        seen.insert(seen.end(), hooked.begin(), hooked.end());
        for (const Var<double>& g : grad(loss, {states[12].c, states[0].h, x})) seen.emplace_back(g.value());
        CHECK((seen.back() == x.grad()));
        CHECK(tape.size() > 8 * 29);
        return seen;
    });
}

TEST_CASE("repeated steps: have derivatives of derivatives") {
    Setting s(12);
    compare(s, [](auto&, auto& x, auto states) {
        const Var<double> loss = sum(square(nn::stack_outputs(states)));
        const Var<double> slope = grad(loss, {x}, {.create_graph = true})[0];
        backward(sum(square(slope)));
        return std::vector<Numbers>{slope.value()};
    });
}

TEST_CASE("repeated steps: go backward again and again, also when more was computed meanwhile") {
    Setting s(40);
    compare(s, [](auto&, auto&, auto states) {
        const Var<double> loss = sum(square(nn::stack_outputs(states)));
        backward(loss);
        const Var<double> more = loss + sum(states[38].h * states[36].c) + sum(states[1].h);
        backward(more);
        backward(sum(states[30].h));
        return std::vector<Numbers>{more.value()};
    });
}

TEST_CASE("repeated steps: a tape goes back to before them, and to a mark behind them") {
    Setting s(20);
    compare(s, [&](auto& tape, auto& x, auto states) {
        const Numbers before = states[15].h.value();
        const auto mark = tape.mark();
        const Var<double> loss = sum(nn::unroll(s.cell, x).outputs) + sum(states[14].h);
        backward(loss);
        const Numbers value = loss.value();
        tape.rewind(mark);
        backward(sum(states[13].h));
        return std::vector<Numbers>{before, value};
    });
    Tape<double> tape;
    const auto mark = tape.mark();
    const auto states = nn::unroll_states(s.cell, tape.variable(s.xs));
    const Var<double> later = states[10].h;
    tape.rewind(mark);
    CHECK_THROWS_AS(later.value(), xtape::TapeError);
    tape.variable(1.0);
    CHECK_THROWS_AS(later.value(), xtape::TapeError);
    tape.clear();
    CHECK_THROWS_AS(later.value(), xtape::TapeError);
}

TEST_CASE("repeated steps: values may be released by the sweep") {
    Setting s(40);
    compare(s, [](auto&, auto&, auto states) {
        const Var<double> loss = sum(square(nn::stack_outputs(states))) + sum(states.back().c);
        const Numbers value = loss.value();
        backward(loss, {.release_values = true});
        return std::vector<Numbers>{value};
    });
}

TEST_CASE("repeated steps: the sweep visits a few, however many there are") {
    for (const bool release : {false, true}) {
        for (const bool seeded : {false, true}) {
            CAPTURE(release, seeded);
            Setting s(1000, 3);
            Tape<double> tape;
            const Var<double> x = tape.variable(s.xs);
            const auto states = nn::unroll_states(s.cell, x, s.cell.initial_state(tape, 3));
            const Var<double> outputs = nn::stack_outputs(states);
            CHECK(steps_with_nodes(tape, states[500].h) == 3);
            const Var<double> seed = tape.constant(xt::xarray<double>(outputs.value()));
            if (seeded)
                backward(outputs, seed, {.release_values = release});
            else
                backward(sum(square(outputs)), {.release_values = release});
            CHECK(steps_with_nodes(tape, states[500].h) <= 7);
        }
    }
}

TEST_CASE("repeated steps: some of a chunk's are reached by no gradient, or were looked at") {
    Setting s(700, 3);
    for (const std::size_t last : {120u, 300u, 477u}) {
        CAPTURE(last);
        compare(s, [last](auto&, auto&, auto states) {
            std::vector<Numbers> seen{states[last / 2].h.value()};
            backward(sum(square(states[last].h)) + sum(states[last - 90].c));
            return seen;
        });
    }
}

TEST_CASE("repeated steps: what a chunk's products allocate isn't what a step uses for a while") {
    // Gradients of the matrices and of the step's parts are of one size.
    nn::Engine engine(4);
    const auto xs = random(engine, std::array{std::size_t{200}, H, H});
    const auto ws = random(engine, std::array{H, H});
    const auto run = [&](bool repeated) {
        Tape<double> tape;
        const Var<double> x = tape.variable(xs), w = tape.variable(ws);
        const Var<double> a = 0.5 * w, b = square(w);
        const auto step = [&](const Var<double>& input, const Var<double>& h) -> Var<double> {
            const Var<double> p = tanh(h), q = sigmoid(h), r = sin(h);
            return input + 0.5 * r + tanh(matmul(p, a)) + tanh(matmul(q, b));
        };
        const Var<double> start = nn::zeros(tape, {H, H});
        const auto states =
            repeated ? nn::unroll_states(nn::every_step(step), x, start) : nn::unroll_states(step, x, start);
        backward(sum(square(nn::stack_outputs(states))));
        if (repeated) CHECK(steps_with_nodes(tape, states[100]) <= 7);
        return std::vector<Numbers>{w.grad(), x.grad()};
    };
    const auto expected = run(false);
    CHECK((run(true) == expected));
}

TEST_CASE("repeated steps: need no gradient, and give the same values where nothing is recorded") {
    Setting s(40);
    Tape<double> tape;
    const Var<double> x = tape.constant(s.xs);
    const Numbers recorded = nn::unroll(s.cell, x).outputs.value();
    const xtape::NoRecording values_only(tape);
    CHECK((Numbers(nn::unroll(s.cell, x).outputs.value()) == recorded));
    const Numbers one_by_one =
        nn::unroll(step_by_step(s.cell, tape), x, s.cell.initial_state(tape, 2)).outputs.value();
    CHECK((one_by_one == recorded));
}

TEST_CASE("repeated steps: two sequences over one input, and a sequence over another one's outputs") {
    Setting s(30);
    nn::RNNCell<double> second(H, H, s.engine);
    compare(s, [&](auto& tape, auto& x, auto states) {
        const Var<double> outputs = nn::stack_outputs(states);
        const Var<double> above = nn::unroll(second, outputs).outputs;
        const Var<double> again = nn::unroll(s.cell, x).outputs;
        backward(sum(square(above)) + sum(above * again) + sum(tape.constant(2.0) * outputs));
        std::vector<Numbers> seen{above.value(), second.w_hh.grad()};
        second.w_hh.zero_grad();
        return seen;
    });
}

TEST_CASE("repeated steps: a promise that the first steps break is not relied upon") {
    Tape<double> tape;
    const Var<double> xs = tape.variable(xt::xarray<double>(xt::ones<double>(std::array{12, 1})));
    std::size_t calls = 0;
    // A constant, a leaf of its own, and an op more at each step.
    const auto counted = [&](auto body) {
        calls = 0;
        const auto states = nn::unroll_states(nn::every_step([&](const Var<double>& x, const Var<double>& h) {
                                                  ++calls;
                                                  return Var<double>(body(x, h));
                                              }),
                                              xs, Var<double>(tape.constant(xt::xarray<double>{0.0})));
        return states.back().item();
    };
    CHECK(counted([&](auto& x, auto& h) { return h + x * static_cast<double>(calls); }) == 78);
    CHECK(calls == 12);
    CHECK(counted([&](auto& x, auto& h) { return h + x * tape.constant(static_cast<double>(calls)); }) == 78);
    CHECK(calls == 12);
    CHECK(counted([&](auto& x, auto& h) {
              Var<double> sum = h + x;
              for (std::size_t k = 1; k < calls; ++k) sum = sum + x;
              return sum;
          }) == 78);
    CHECK(calls == 12);
    CHECK(counted([&](auto& x, auto& h) {
              return h + xs[static_cast<std::ptrdiff_t>((calls * calls) % 12)] * x;
          }) == 12);
    CHECK(calls == 12);
    CHECK(counted([&](auto& x, auto& h) { return h + x; }) == 12);
    CHECK(calls == 3);
}

TEST_CASE("repeated steps: an exception in a step leaves the tape as useful as before") {
    Setting s(20);
    Tape<double> tape;
    const Var<double> x = tape.variable(s.xs);
    for (int bad : {1, 2, 3}) {
        int calls = 0;
        const auto throwing = nn::every_step([&](const Var<double>& input, const LstmState& state) {
            if (++calls == bad) throw std::runtime_error("no");
            return s.cell(input, state);
        });
        CHECK_THROWS_AS(nn::unroll(throwing, x, s.cell.initial_state(tape, 2)), std::runtime_error);
    }
    const Numbers after = nn::unroll(s.cell, x).outputs.value();
    Tape<double> fresh;
    CHECK((Numbers(nn::unroll(s.cell, fresh.variable(s.xs)).outputs.value()) == after));
}

namespace {

template <class T>
struct Four {
    Var<T> h, a, b, c;
};

/// Unrolls a step over x (T, 2, 5) from a state of (2, 5), with and without repeating, and compares what `use` makes of
/// the states, and the gradients of x and of the initial state.
template <class Step, class Use>
void compare_steps(std::size_t steps, std::size_t calls_expected, const Step& step, const Use& use) {
    const auto run = [&](bool repeated) {
        nn::Engine engine(5);
        const Numbers xs = random(engine, std::array{steps, std::size_t{2}, H});
        const Numbers zero = random(engine, std::array{std::size_t{2}, H});
        Tape<double> tape;
        const Var<double> x = tape.variable(xs), h = tape.variable(zero);
        const Four<double> start{h, h, h, h};
        std::size_t calls = 0;
        const auto counted = [&](const Var<double>& input, const Four<double>& state) {
            ++calls;
            return step(input, state);
        };
        const auto states = repeated ? nn::unroll_states(nn::every_step(counted), x, start)
                                     : nn::unroll_states(counted, x, start);
        CHECK(calls == (repeated ? calls_expected : steps));
        std::vector<Numbers> results = use(states);
        results.emplace_back(x.grad());
        results.emplace_back(h.grad());
        return results;
    };
    const auto expected = run(false);
    CHECK((run(true) == expected));
}

const auto three_statements = [](const auto& x, const auto& s) {
    auto next = s;
    const Var<double> y = tanh(s.h + x);
    const Var<double> z = y * 0.9;
    next.h = z + s.h * 0.1;
    return next;
};

}  // namespace

TEST_CASE("repeated steps: leave the pool's buffers, which they use without asking, in its lists") {
    compare_steps(40, 3, three_statements, [](auto states) {
        const Var<double> loss = sum(square(nn::stack_outputs(states)));
        for (int k = 0; k < 3; ++k) backward(loss + sum(states[20].h * states[30].h));
        return std::vector<Numbers>{loss.value()};
    });
}

TEST_CASE("repeated steps: may be stacked in part, every second one, or after others were looked at") {
    compare_steps(60, 3, three_statements, [](auto states) {
        std::vector<Var<double>> part, second, seen;
        for (std::size_t t = 5; t < 57; ++t) part.push_back(states[t].h);
        for (std::size_t t = 1; t < 40; t += 2) second.push_back(states[t].h);
        for (std::size_t t = 17; t < 21; ++t) states[t].h.value();
        for (std::size_t t = 21; t-- > 17;) seen.push_back(states[t].h);
        for (const auto* each : {&part, &second, &seen}) backward(sum(square(stack(*each))));
        backward(sum(square(stack(second))) + sum(stack(seen)));
        return std::vector<Numbers>{};
    });
}

TEST_CASE("repeated steps: a state that is handed on from place to place isn't taken for one that stays") {
    compare_steps(
        20, 20,
        [](const auto& x, const auto& s) {
            return Four<double>{Var<double>(tanh(s.c * 0.5 + x)), s.h, s.a, s.b};
        },
        [](auto states) {
            backward(sum(square(nn::stack_outputs(states))));
            return std::vector<Numbers>{states.back().h.value(), states[7].c.value()};
        });
}

TEST_CASE("repeated steps: a state that is a view of the one before") {
    compare_steps(
        20, 20,
        [](const auto& x, const auto& s) {
            return Four<double>{Var<double>(tanh(s.h * 0.5 + x)), transpose(transpose(s.h)),
                                Var<double>(s.b + s.a * 0.5), s.c};
        },
        [](auto states) {
            backward(sum(states[9].a) + sum(states[15].b));
            return std::vector<Numbers>{states[12].a.value()};
        });
}

TEST_CASE("repeated steps: a state that is a view of an earlier input, and at first of another value") {
    compare_steps(
        20, 20,
        [](const auto& x, const auto& s) {
            return Four<double>{Var<double>(tanh(s.a * 0.5 + s.c)), transpose(transpose(s.b)), x, s.c};
        },
        [](auto states) {
            backward(sum(square(nn::stack_outputs(states))));
            return std::vector<Numbers>{states.back().h.value()};
        });
}

TEST_CASE("repeated steps: a sweep from the middle leaves alone what products came later") {
    Setting s(30);
    compare(s, [](auto&, auto& x, auto states) {
        backward(sum(square(states[4].h)));
        return std::vector<Numbers>{x.grad()};
    });
    nn::Engine engine(3);
    nn::LSTMCell<double> narrow(1, 32, engine);  // a column on the left of a product
    const Sequence xs = random(engine, std::array{std::size_t{12}, std::size_t{30}, std::size_t{1}});
    Tape<double> tape;
    const Var<double> x = tape.variable(xs);
    backward(sum(nn::unroll(narrow, x).outputs));
    CHECK(x.has_grad());
}

TEST_CASE("repeated steps: a hundred thousand of them") {
    constexpr std::size_t steps = 100'000;
    Tape<double> tape;
    Parameter<double> w(Shape{1, 1});
    w.data()[0] = 0.5;
    const Var<double> xs = tape.variable(
        xt::xarray<double>(xt::ones<double>(std::array{steps, std::size_t{1}, std::size_t{1}})));
    std::size_t calls = 0;
    const Var<double> wh = tape.watch(w);
    const auto [outputs, last] = nn::unroll(nn::every_step([&](const Var<double>& x, const Var<double>& h) {
                                                ++calls;
                                                return Var<double>(tanh(matmul(h, wh) + x));
                                            }),
                                            xs, nn::zeros(tape, {1, 1}));
    CHECK(calls == 3);
    backward(sum(outputs));

    double h = 0, dh_dw = 0, dsum_dw = 0;  // forward mode, by hand
    for (std::size_t t = 0; t < steps; ++t) {
        const double next = std::tanh(0.5 * h + 1);
        dh_dw = (1 - next * next) * (h + 0.5 * dh_dw);
        h = next;
        dsum_dw += dh_dw;
    }
    CHECK(last.item() == Approx(h).epsilon(1e-12));
    CHECK(w.grad()(0, 0) == Approx(dsum_dw).epsilon(1e-10));
}

TEST_CASE("repeated steps: a tape that is rewound for ever takes no more memory") {
    nn::Engine engine(1);
    const nn::LSTMCell<float> cell(3, 4, engine);
    Tape<float> tape;
    const Var<float> xs = tape.constant(xt::xarray<float>(xt::ones<float>({20, 2, 3})));
    const auto mark = tape.mark();
    const auto round = [&] {
        backward(sum(nn::unroll(cell, xs).outputs));
        tape.rewind(mark);
    };
    for (int k = 0; k < 10; ++k) round();
    const std::size_t capacity = tape.capacity();
    for (int k = 0; k < 200; ++k) round();
    CHECK(tape.capacity() == capacity);
}

TEST_CASE("repeated steps: every state of them can be retained, and hooked") {
    nn::Engine engine(1);
    const nn::GRUCell<double> cell(3, 4, engine);
    Tape<double> tape;
    const Var<double> xs = tape.variable(random(engine, std::array<std::size_t, 3>{12, 2, 3}));
    const auto states = nn::unroll_states(cell, xs);
    int hooked = 0;
    for (const Var<double>& state : states) {
        state.retain();
        state.on_gradient([&](const Var<double>&) { ++hooked; });
    }
    backward(sum(states.back()));
    for (const Var<double>& state : states) CHECK(state.has_grad());
    CHECK(hooked == 12);
}
