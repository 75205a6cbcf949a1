#include "nn/variational_dropout.hpp"

#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 9, B = 4, D = 6;
using LSTM = nn::LSTMCell<double>;

/// Hands on what it sees: h is x, seen is h as it came in.
struct Mirror {
    struct State {
        Var<double> h, seen;
    };
    std::size_t input_size() const { return D; }
    auto on(Tape<double>&) const {
        return nn::every_step([](const Var<double>& x, const State& s) -> State {
            return {x * 1.0, s.h * 1.0};
        });
    }
    State initial_state(Tape<double>& tape, std::size_t batch) const {
        const Var<double> zero = nn::zeros(tape, {batch, D});
        return {zero, zero};
    }
    template <class F>
    void visit(F&&) {}
};

template <class Cell>
concept steps_draw = requires(const Cell& cell) {
    cell.engine();
};

Sequence ones() { return xt::ones<double>(std::array{T, B, D}); }

}  // namespace

TEST_CASE("variational dropout: masks x and h, each by one mask that stays for the sequence") {
    nn::Engine engine(1);
    const nn::VariationalDropout cell(Mirror(), {.input = 0.5, .recurrent = 0.2}, engine);
    Tape<double> tape;
    const auto states = nn::unroll_states(cell, tape.constant(ones()));
    const Matrix m_x = matrix(states[0].h);
    for (double element : m_x) CHECK((element == 0 || element == 2));
    CHECK(xt::sum(m_x)() > 0);
    CHECK(xt::sum(m_x)() < 2 * B * D);
    // What the second step saw is the first one's output under the mask of h, where that output isn't 0 itself.
    const Matrix seen = matrix(states[1].seen);
    std::size_t dropped = 0;
    for (std::size_t k = 0; k < seen.size(); ++k) {
        if (m_x.flat(k) == 0) continue;
        CHECK((seen.flat(k) == 0 || seen.flat(k) == Approx(2 / 0.8)));
        if (seen.flat(k) == 0) ++dropped;
    }
    CHECK(dropped > 0);
    for (std::size_t t = 2; t < T; ++t) {
        CHECK(distance(states[t].h.value(), m_x) == 0);
        CHECK(distance(states[t].seen.value(), seen) == 0);
    }
}

TEST_CASE("variational dropout: each sequence has masks of its own") {
    nn::Engine engine(1);
    const nn::VariationalDropout cell(Mirror(), {.input = 0.5}, engine);
    Tape<double> tape;
    const Sequence first = nn::unroll(cell, tape.constant(ones())).outputs.value();
    CHECK(distance(first, nn::unroll(cell, tape.constant(ones())).outputs.value()) > 0);
}

TEST_CASE("variational dropout: later steps of a packed batch keep the masks of their samples") {
    nn::Engine engine(1);
    const nn::VariationalDropout cell(Mirror(), {.input = 0.5, .recurrent = 0.2}, engine);
    Tape<double> tape;
    const std::vector<std::size_t> lengths{2, 9, 1, 5};
    const Sequence outputs =
        nn::unpack(nn::unroll(cell, nn::pack(tape.constant(ones()), lengths)).outputs).value();
    for (std::size_t b = 0; b < B; ++b) {
        for (std::size_t t = 1; t < lengths[b]; ++t)
            for (std::size_t d = 0; d < D; ++d) CHECK(outputs(t, b, d) == outputs(0, b, d));
    }
    CHECK(xt::sum(outputs)() > 0);
}

TEST_CASE("variational dropout: in evaluation, or with rates of 0, is the cell, and nothing is drawn") {
    nn::Engine engine(1);
    const LSTM lstm(D, 5, engine);
    nn::VariationalDropout never(lstm, {}, engine), evaluated(lstm, {.input = 0.5, .recurrent = 0.5}, engine);
    nn::eval(evaluated);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const Sequence plain = nn::unroll(lstm, x).outputs.value();
    const nn::Engine before = engine;
    CHECK(distance(nn::unroll(never, x).outputs.value(), plain) < tolerance);
    CHECK(distance(nn::unroll(evaluated, x).outputs.value(), plain) < tolerance);
    CHECK((engine == before));
    nn::train(evaluated);
    CHECK(distance(nn::unroll(evaluated, x).outputs.value(), plain) > 0.01);
}

TEST_CASE("variational dropout: all gradients are those of finite differences, with the masks held fixed") {
    nn::Engine engine(1), masks;
    nn::VariationalDropout cell(LSTM(3, 4, engine, {.projection_size = 2}), {.input = 0.3, .recurrent = 0.3},
                                masks);
    const auto run = [&](std::span<const Var<double>> in) {
        masks.seed(5);
        return nn::unroll(cell, in[0]).outputs;
    };
    xtape::gradcheck(run, {random(engine, std::array{std::size_t{5}, std::size_t{2}, std::size_t{3}})},
                     {.parameters = nn::parameters(cell)});
}

TEST_CASE("variational dropout: repeated steps are the recorded ones, bit by bit") {
    nn::Engine engine(1), masks;
    nn::VariationalDropout cell(LSTM(D, 5, engine), {.input = 0.3, .recurrent = 0.3}, masks);
    const Sequence xs = random(engine, std::array{std::size_t{30}, B, D});
    const auto run = [&](bool promised) {
        masks.seed(5);
        nn::zero_grad(cell);
        Tape<double> tape;
        const Var<double> x = tape.variable(xs);
        const auto start = cell.initial_state(tape, B);
        const auto last_outputs = [&] {
            if (promised) return nn::unroll(cell, x, start).outputs;
            const auto step = [inner = cell.on(tape, B)](const Var<double>& in, const LSTM::State& s) {
                return inner(in, s);
            };
            return nn::unroll(step, x, start).outputs;
        }();
        backward(sum(square(last_outputs)));
        std::vector<xt::xarray<double>> results{last_outputs.value(), x.grad()};
        nn::for_each_parameter(cell, [&](auto& p) { results.emplace_back(p.grad()); });
        return results;
    };
    CHECK((run(true) == run(false)));
}

TEST_CASE(
    "variational dropout: around zoneout says what its steps draw from, around an LSTM there is nothing") {
    nn::Engine engine(1), zones(2);
    const nn::Zoneout zoneout(LSTM(D, 5, engine), {0.1, 0.1}, zones);
    const nn::VariationalDropout both(zoneout, {.recurrent = 0.5}, engine);
    CHECK(&both.engine() == &zones);
    Tape<double> tape;
    CHECK(nn::unroll(both, tape.constant(ones())).outputs.shape() == Shape{T, B, 5});
    using OfLSTM = nn::VariationalDropout<LSTM>;
    STATIC_REQUIRE_FALSE(steps_draw<OfLSTM>);
    CHECK_THROWS_AS(OfLSTM(LSTM(D, 5, engine), {.input = 2}, engine), std::invalid_argument);
}
