#include "nn/zoneout.hpp"

#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 12, B = 20, D = 3, H = 10;
using LSTM = nn::LSTMCell<double>;

}  // namespace

TEST_CASE("zoneout: with rates of 0 is the cell, with rates of 1 nothing ever changes") {
    nn::Engine engine(1);
    const LSTM lstm(D, H, engine);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const LSTM::State start{tape.constant(random(engine, std::array{B, H})),
                            tape.constant(random(engine, std::array{B, H}))};
    const auto plain = nn::unroll(lstm, x, start);
    for (bool training : {true, false}) {
        nn::Zoneout never(lstm, {0, 0}, engine), always(lstm, {1, 1}, engine);
        never.training = always.training = training;
        CHECK(distance(nn::unroll(never, x, start).outputs.value(), plain.outputs.value()) < tolerance);
        const auto unchanged = nn::unroll(always, x, start);
        CHECK(distance(unchanged.state.h.value(), start.h.value()) == 0);
        CHECK(distance(unchanged.state.c.value(), start.c.value()) == 0);
    }
}

TEST_CASE("zoneout: while training each element is the old or the new one, in the share of its own rate") {
    nn::Engine engine(1);
    const LSTM lstm(D, H, engine);
    const nn::Zoneout zoneout(lstm, {0.1, 0.5}, engine);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    LSTM::State old = lstm.initial_state(tape, B);
    std::size_t kept_h = 0, kept_c = 0;
    const auto count_kept = [](const Var<double>& before, const Var<double>& after,
                               const Var<double>& candidate) {
        const Matrix was = matrix(before), is = matrix(after), would_be = matrix(candidate);
        std::size_t kept = 0;
        for (std::size_t k = 0; k < is.size(); ++k) {
            const bool same = is.flat(k) == was.flat(k);
            CHECK((same || is.flat(k) == would_be.flat(k)));
            kept += same;
        }
        return kept;
    };
    const std::span<const LSTM::State> states = nn::unroll_states(zoneout, x);
    for (std::size_t t = 0; t < T; ++t) {
        const LSTM::State candidate = lstm(x[static_cast<std::ptrdiff_t>(t)], old);
        kept_h += count_kept(old.h, states[t].h, candidate.h);
        kept_c += count_kept(old.c, states[t].c, candidate.c);
        old = states[t];
    }
    const double n = T * B * H;
    CHECK(std::abs(static_cast<double>(kept_h) - 0.1 * n) < 4 * std::sqrt(n * 0.1 * 0.9));
    CHECK(std::abs(static_cast<double>(kept_c) - 0.5 * n) < 4 * std::sqrt(n * 0.5 * 0.5));
}

TEST_CASE("zoneout: in evaluation the state is the mean of old and new, and nothing is drawn") {
    nn::Engine engine(1);
    const LSTM lstm(D, H, engine);
    nn::Zoneout zoneout(lstm, {0.1, 0.5}, engine);
    nn::eval(zoneout);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const nn::Engine before = engine;
    const auto [outputs, last] = nn::unroll(zoneout, x);
    CHECK((engine == before));
    LSTM::State state = lstm.initial_state(tape, B);
    for (std::size_t t = 0; t < T; ++t) {
        const auto next = lstm(x[static_cast<std::ptrdiff_t>(t)], state);
        state = {0.1 * state.h + 0.9 * next.h, 0.5 * state.c + 0.5 * next.c};
    }
    CHECK(distance(last.h.value(), state.h.value()) < tolerance);
    CHECK(distance(last.c.value(), state.c.value()) < tolerance);
    CHECK(&zoneout.engine() == &engine);
}

TEST_CASE("zoneout: all gradients are those of finite differences, with the masks held fixed") {
    nn::Engine engine(1), masks;
    for (bool training : {true, false}) {
        nn::Zoneout zoneout(nn::GRUCell<double>(2, 3, engine), {0.3}, masks);
        zoneout.training = training;
        const auto run = [&](std::span<const Var<double>> in) {
            masks.seed(11);
            return nn::unroll(zoneout, in[0], in[1]).outputs;
        };
        xtape::gradcheck(run,
                         {random(engine, std::array{std::size_t{5}, std::size_t{2}, std::size_t{2}}),
                          random(engine, std::array{std::size_t{2}, std::size_t{3}})},
                         {.parameters = nn::parameters(zoneout)});
    }
}

TEST_CASE("zoneout: sequences of different lengths, streams and layers of it run") {
    nn::Engine engine(1);
    const nn::Zoneout zoneout(LSTM(D, H, engine), {0.1, 0.1}, engine);
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, std::size_t{3}, D}));
    const nn::Bidirectional both(zoneout, zoneout);
    const auto outputs = nn::unroll(both, nn::pack(x, {4, 12, 1})).outputs;
    CHECK(outputs.rows.shape() == xtape::Shape{17, 2 * H});

    nn::Zoneout evaluated = zoneout;
    nn::eval(evaluated);
    const Sequence whole = nn::unroll(evaluated, x).outputs.value(), xs = x.value();
    Tape<double> other;
    nn::Stream stream(other, evaluated);
    for (std::size_t t = 0; t < T; ++t) CHECK(distance(stream(step(xs, t)), step(whole, t)) < tolerance);
}

TEST_CASE("zoneout: between checkpoints the same numbers are drawn again") {
    nn::Engine engine(1), masks;
    nn::VariationalDropout cell(nn::Zoneout(LSTM(D, H, engine), {0.2, 0.4}, masks), {.recurrent = 0.3},
                                masks);
    const Sequence xs = random(engine, std::array{T, B, D});
    const auto run = [&](bool recompute) {
        masks.seed(3);
        nn::zero_grad(cell);
        Tape<double> tape;
        const Var<double> x = tape.variable(xs);
        const auto [outputs, last] =
            nn::unroll(cell, x, cell.initial_state(tape, B), {.every = 5, .recompute = recompute});
        backward(sum(square(outputs)) + sum(last.c));
        std::vector<xt::xarray<double>> results{outputs.value(), x.grad()};
        nn::for_each_parameter(cell, [&](auto& p) { results.emplace_back(p.grad()); });
        return results;
    };
    CHECK((run(true) == run(false)));
}

TEST_CASE("zoneout: a rate that is no probability is refused") {
    nn::Engine engine(1);
    const LSTM lstm(D, H, engine);
    CHECK_THROWS_WITH(nn::Zoneout(lstm, {0.1, 1.1}, engine), Catch::Contains("[Zoneout] rate is 1.1"));
}
