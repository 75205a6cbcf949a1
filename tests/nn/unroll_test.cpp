#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Parameter;
using xtape::Shape;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 6, B = 3, D = 4, H = 5;

/// An LSTM as a user writes it.
struct OwnLSTM {
    struct State {
        Var<double> h, c;
    };
    Parameter<double> weight, bias;

    auto on(Tape<double>& tape) const {
        const auto w = transpose(tape.watch(weight)), b = tape.watch(bias);
        const auto w_x = slice(w, 0, 0, D), w_h = slice(w, 0, D);
        return [=](const Var<double>& x, const State& s) -> State {
            const auto [i, f, o, g] = xtape::split<4>(matmul(x, w_x) + matmul(s.h, w_h) + b);
            const Var<double> c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            return {sigmoid(o) * tanh(c), c};
        };
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        f("bias", bias);
    }
};

}  // namespace

TEST_CASE("unroll: a cell written by a user gives the built-in one's numbers, bit by bit") {
    nn::Engine engine(1);
    nn::LSTMCell<double> built_in(D, H, engine);
    OwnLSTM own{built_in.weight, built_in.bias};
    const Sequence xs = random(engine, std::array{T, B, D});
    const Matrix h0 = random(engine, std::array{B, H}), c0 = random(engine, std::array{B, H});

    const auto run = [&](auto& cell) {
        Tape<double> tape;
        const Var<double> x = tape.variable(xs);
        const auto [outputs, last] = nn::unroll(cell, x, {tape.constant(h0), tape.constant(c0)});
        backward(sum(square(outputs)) + sum(last.c));
        return std::tuple(xt::xarray<double>(outputs.value()), xt::xarray<double>(last.c.value()),
                          xt::xarray<double>(x.grad()));
    };
    CHECK(run(built_in) == run(own));
    CHECK(distance(built_in.weight.grad(), own.weight.grad()) == 0);
    CHECK(distance(built_in.bias.grad(), own.bias.grad()) == 0);
}

TEST_CASE("unroll: a function of an input and a state is a cell") {
    Tape<double> tape;
    const Var<double> xs = tape.variable(xt::xarray<double>{1, 2, 3, 4});
    const auto [sums, last] = nn::unroll(
        [](const Var<double>& x, const Var<double>& h) { return 0.5 * h + x; }, xs, tape.constant(0.0));
    CHECK(distance(sums.value(), xt::xarray<double>{1, 2.5, 4.25, 6.125}) == 0);
    backward(last);
    CHECK(distance(xs.grad(), xt::xarray<double>{0.125, 0.25, 0.5, 1}) == 0);
}

TEST_CASE("unroll: gives the state after each step, for those who want more than the outputs") {
    nn::Engine engine(1);
    const nn::LSTMCell<double> cell(D, H, engine);
    Tape<double> tape;
    const Var<double> xs = tape.constant(random(engine, std::array{T, B, D}));
    const auto states = nn::unroll_states(cell, xs);
    REQUIRE(states.size() == T);
    auto state = cell.initial_state(tape, B);
    for (std::size_t t = 0; t < T; ++t) {
        state = cell(xs[static_cast<std::ptrdiff_t>(t)], state);
        CHECK(distance(states[t].h.value(), state.h.value()) < tolerance);
        CHECK(distance(states[t].c.value(), state.c.value()) < tolerance);
    }
}

TEST_CASE("unroll: without a state a sequence starts from zeros") {
    nn::Engine engine(1);
    const auto check = [&](const auto& cell) {
        Tape<double> tape;
        const Var<double> xs = tape.constant(random(engine, std::array{T, B, D}));
        const Var<double> zero = tape.constant(Matrix(xt::zeros<double>(std::array{B, H})));
        using State = typename std::remove_cvref_t<decltype(cell)>::State;
        State state;
        if constexpr (xtape::is_var<State>)
            state = zero;
        else
            state = {zero, zero};
        CHECK(distance(nn::unroll(cell, xs).outputs.value(), nn::unroll(cell, xs, state).outputs.value()) <
              tolerance);
    };
    check(nn::RNNCell<double>(D, H, engine));
    check(nn::LSTMCell<double>(D, H, engine));
    check(nn::GRUCell<double>(D, H, engine));
}

TEST_CASE("unroll: a sequence in pieces, each from where the last one ended, is the whole sequence") {
    nn::Engine engine(1);
    const nn::LSTMCell<double> cell(D, H, engine);
    const Sequence xs = random(engine, std::array{T, B, D});
    Tape<double> tape;
    const xt::xarray<double> whole = nn::unroll(cell, tape.constant(xs)).outputs.value();

    nn::CarriedState<nn::LSTMCell<double>::State> carried;
    const std::size_t cuts[] = {0, 1, 4, T};
    for (int window = 0; window < 3; ++window) {
        tape.clear();
        const auto steps = [&](const auto& all) {
            return Sequence(xt::view(all, xt::range(cuts[window], cuts[window + 1]), xt::all(), xt::all()));
        };
        const Sequence piece = steps(xs);
        const auto result = nn::unroll(cell, tape.constant(piece), carried);
        CHECK(distance(result.outputs.value(), steps(whole)) < tolerance);
    }
    carried.forget();
    tape.clear();
    CHECK(distance(nn::unroll(cell, tape.constant(xs), carried).outputs.value(), whole) == 0);
}

TEST_CASE("unroll: a carried state is a constant, so that no gradient reaches the window before") {
    nn::Engine engine(1);
    nn::RNNCell<double> cell(D, H, engine);
    nn::CarriedState<Var<double>> carried;
    CHECK(carried.empty());
    Tape<double> tape;
    CHECK_THROWS_AS(carried.on(tape), xtape::TapeError);
    carried.keep(tape.variable(random(engine, std::array{B, H})));
    CHECK_FALSE(carried.empty());
    CHECK_FALSE(carried.on(tape).needs_gradient());
}

namespace {

/// x passed on after one, two and three steps.
struct Delay {
    struct State {
        Var<double> h, before, first;
    };
    State operator()(const Var<double>& x, const State& s) { return {s.before, s.first, x}; }
    State initial_state(Tape<double>& tape, std::size_t batch) const {
        const Var<double> zero = nn::zeros(tape, {batch});
        return {zero, zero, zero};
    }
};

}  // namespace

TEST_CASE("unroll: a state is as many Vars as the cell says, and all of them are carried") {
    Delay delay;
    nn::CarriedState<Delay::State> carried;
    Tape<double> tape;
    std::vector<double> seen;
    for (double start : {1.0, 3.0, 5.0}) {
        const Matrix x{{start}, {start + 1}};
        for (double y : nn::unroll(delay, tape.constant(x), carried).outputs.value()) seen.push_back(y);
        tape.clear();
    }
    CHECK(seen == std::vector<double>{0, 0, 1, 2, 3, 4});
    static_assert(nn::var_count<Delay::State>() == 3);
    static_assert(nn::var_count<nn::LSTMCell<double>::State>() == 2);
    static_assert(nn::var_count<Var<double>>() == 1);
}

TEST_CASE("unroll: one step, one sample, one input and one unit are sizes like any other") {
    nn::Engine engine(1);
    const auto check = [&](const auto& make) {
        for (const auto& [t, b, d, h] : {std::array<std::size_t, 4>{1, B, D, H},
                                         {T, 1, D, H},
                                         {T, B, 1, H},
                                         {T, B, D, 1},
                                         {1, 1, 1, 1}}) {
            auto cell = make(d, h);
            Tape<double> tape;
            const Var<double> xs = tape.variable(random(engine, std::array{t, b, d}));
            const Var<double> outputs = nn::unroll(cell, xs).outputs;
            CHECK(outputs.shape() == Shape{t, b, h});
            backward(sum(square(outputs)));
            // The first step's input, moved by a little.
            Sequence moved = xs.value();
            const double before = xt::sum(xt::square(outputs.value()))();
            moved(0, 0, 0) += 1e-6;
            const auto after_outputs = nn::unroll(cell, tape.constant(moved)).outputs;
            const double after = xt::sum(xt::square(after_outputs.value()))();
            CHECK((after - before) / 1e-6 == Approx(xs.grad()(0, 0, 0)).margin(1e-5));
        }
    };
    check([&](std::size_t d, std::size_t h) { return nn::RNNCell<double>(d, h, engine); });
    check([&](std::size_t d, std::size_t h) { return nn::LSTMCell<double>(d, h, engine); });
    check([&](std::size_t d, std::size_t h) { return nn::GRUCell<double>(d, h, engine); });
    check([&](std::size_t d, std::size_t h) {
        return nn::GRUCell<double>(d, h, engine, nn::Reset::before_product);
    });
}

TEST_CASE("unroll: a sequence without steps, or of the wrong rank, is refused with its shape") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    Tape<double> tape;
    CHECK_THROWS_WITH(nn::unroll(cell, nn::zeros(tape, {0, B, D})),
                      Catch::Contains("[unroll]") && Catch::Contains("(0, 3, 4)"));
    CHECK_THROWS_AS(nn::unroll(cell, nn::zeros(tape, {T})), ShapeError);
    CHECK_THROWS_AS(nn::unroll(cell, nn::zeros(tape, {})), ShapeError);
    CHECK_THROWS_AS(nn::unroll(cell, nn::zeros(tape, {T, D})), ShapeError);
}

TEST_CASE("unroll: a scalar chain of 100,000 steps goes forward and backward") {
    constexpr std::size_t steps = 100'000;
    Tape<double> tape;
    const Var<double> w = tape.variable(0.5);
    const Var<double> xs = tape.variable(xt::xarray<double>(xt::ones<double>(std::array{steps})));
    const auto [outputs, last] = nn::unroll(
        [&](const Var<double>& x, const Var<double>& h) { return tanh(w * h + x); }, xs, tape.constant(0.0));
    const Var<double> total = sum(outputs);
    backward(total);

    double h = 0, dh_dw = 0, h_sum = 0, dsum_dw = 0;  // forward mode, by hand
    for (std::size_t t = 0; t < steps; ++t) {
        const double next = std::tanh(0.5 * h + 1);
        dh_dw = (1 - next * next) * (h + 0.5 * dh_dw);
        h = next;
        h_sum += h;
        dsum_dw += dh_dw;
    }
    CHECK(last.item() == Approx(h).epsilon(1e-12));
    CHECK(total.item() == Approx(h_sum).epsilon(1e-10));
    CHECK(w.grad()() == Approx(dsum_dw).epsilon(1e-10));
}
