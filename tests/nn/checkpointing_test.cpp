#include "nn/checkpointing.hpp"

#include <cmath>
#include <stdexcept>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Parameter;
using xtape::Tape;
using xtape::TapeError;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t B = 3, D = 4, H = 5;

struct Result {
    xt::xarray<double> outputs, dx, dh0;
    std::vector<xt::xarray<double>> gradients;
};

/// A loss of all outputs and the last state, from a start that wants a gradient.
template <class Cell, class Run>
Result gradients(Cell& cell, std::size_t steps, Run run) {
    using State = typename Cell::State;
    nn::Engine engine(7);
    Tape<double> tape;
    const Var<double> xs = tape.variable(random(engine, std::array{steps, B, D}));
    const Var<double> h0 = tape.variable(random(engine, std::array{B, H}));
    const State start = nn::state_of<State>([&](std::size_t) { return h0; });
    nn::zero_grad(cell);
    const auto [outputs, last] = run(xs, start);
    Var<double> loss = sum(square(outputs));
    for (const Var<double>& var : nn::vars_of(last)) loss = loss + sum(exp(var));
    backward(loss);
    Result result{outputs.value(), xs.grad(), h0.grad(), {}};
    nn::for_each_parameter(cell, [&](Parameter<double>& p) { result.gradients.emplace_back(p.grad()); });
    return result;
}

double difference(const Result& a, const Result& b) {
    double largest = std::max({distance(a.outputs, b.outputs), distance(a.dx, b.dx), distance(a.dh0, b.dh0)});
    for (std::size_t k = 0; k < a.gradients.size(); ++k)
        largest = std::max(largest, distance(a.gradients[k], b.gradients[k]));
    return largest;
}

template <class Cell>
void check_cell(Cell cell) {
    for (const std::size_t steps : {1u, 7u, 40u}) {
        const Result plain = gradients(
            cell, steps, [&](const auto& xs, const auto& start) { return nn::unroll(cell, xs, start); });
        for (const std::size_t every : {1u, 3u, 8u, 40u, 100u}) {
            const auto run = [&](bool recompute) {
                return gradients(cell, steps, [&](const auto& xs, const auto& start) {
                    return nn::unroll(cell, xs, start, {.every = every, .recompute = recompute});
                });
            };
            const Result kept = run(false);
            INFO(steps << " steps, " << every);
            CHECK(difference(run(true), kept) == 0);
            CHECK(difference(kept, plain) < tolerance);
        }
    }
}

/// tanh of a sum, some of whose inputs are dropped at each step.
struct DroppingCell {
    using State = Var<double>;
    Parameter<double> w, u;
    nn::Engine* draws;

    Var<double> operator()(const Var<double>& x, const Var<double>& h) const {
        Tape<double>& tape = x.tape();
        std::bernoulli_distribution keeps(0.5);
        xt::xarray<double> mask(std::vector<std::size_t>{B, D});
        for (double& m : mask) m = keeps(*draws) ? 2 : 0;
        return tanh(matmul(x * tape.constant(mask), tape.watch(w)) + matmul(h, tape.watch(u)));
    }
    template <class F>
    void visit(F&& f) {
        f("w", w);
        f("u", u);
    }
};

DroppingCell dropping_cell(nn::Engine& engine) {
    return {Parameter<double>(random(engine, std::array{D, H})),
            Parameter<double>(random(engine, std::array{H, H})), &engine};
}

}  // namespace

TEST_CASE("checkpointing: gradients have the bits of the run that keeps everything, for every cell and cut") {
    nn::Engine engine(1);
    check_cell(nn::RNNCell<double>(D, H, engine));
    check_cell(nn::LSTMCell<double>(D, H, engine));
    check_cell(nn::GRUCell<double>(D, H, engine));
    check_cell(nn::GRUCell<double>(D, H, engine, nn::Reset::before_product));
}

TEST_CASE("checkpointing: a step that draws random numbers draws the same ones again") {
    nn::Engine engine(1);
    DroppingCell cell = dropping_cell(engine);
    const nn::Engine start = engine;
    const auto run = [&](bool recompute) {
        engine = start;
        const Result result = gradients(cell, 20, [&](const auto& xs, const auto& h) {
            return nn::unroll(cell, xs, h, {.every = 6, .engine = &engine, .recompute = recompute});
        });
        return std::pair(result, engine);
    };
    const auto [again, engine_after] = run(true);
    const auto [kept, engine_kept] = run(false);
    CHECK(difference(again, kept) == 0);
    CHECK((engine_after == engine_kept));
}

TEST_CASE("checkpointing: a step that draws from an engine nobody was told of is found out") {
    nn::Engine engine(1);
    DroppingCell cell = dropping_cell(engine);
    CHECK_THROWS_AS(
        gradients(cell, 20,
                  [&](const auto& xs, const auto& h) { return nn::unroll(cell, xs, h, {.every = 6}); }),
        TapeError);
}

TEST_CASE("checkpointing: a loss of each segment adds up to that of the whole sequence") {
    nn::Engine engine(1);
    nn::LSTMCell<double> cell(D, H, engine);
    nn::Linear<double> output(H, 2, engine);
    const Sequence x = random(engine, std::array<std::size_t, 3>{23, B, D});
    const Sequence weights = random(engine, std::array<std::size_t, 3>{23, B, 2});
    const auto run = [&](auto&& loss_of) {
        Tape<double> tape;
        const Var<double> xs = tape.constant(x);
        const Var<double> weight = tape.constant(weights);
        nn::zero_grad(cell);
        nn::zero_grad(output);
        const Var<double> loss =
            loss_of(xs, [&output, weight](const Var<double>& outputs, std::size_t first) {
                const auto begin = static_cast<std::ptrdiff_t>(first);
                const auto end = begin + static_cast<std::ptrdiff_t>(outputs.shape()[0]);
                return sum(square(output(outputs)) * slice(weight, 0, begin, end));
            });
        backward(loss);
        std::vector<xt::xarray<double>> results{xt::xarray<double>(loss.value())};
        for (auto* module : {&cell.weight, &cell.bias, &output.weight, &output.bias})
            results.emplace_back(module->grad());
        return results;
    };
    const auto whole = run(
        [&](const auto& xs, const auto& loss) { return loss(nn::unroll(cell, xs).outputs, std::size_t{0}); });
    const auto segments = run([&](const auto& xs, const auto& loss) {
        const auto start = cell.initial_state(xs.tape(), B);
        return nn::unroll_loss(cell, xs, start, {.every = 5}, loss).loss;
    });
    for (std::size_t k = 0; k < whole.size(); ++k) CHECK(distance(segments[k], whole[k]) < tolerance);
}

TEST_CASE("checkpointing: derivatives of derivatives pass through") {
    nn::Engine engine(1);
    nn::RNNCell<double> cell(D, H, engine);
    const Sequence x = random(engine, std::array<std::size_t, 3>{6, B, D});
    const auto second = [&](auto&& last_state) {
        Tape<double> tape;
        const Var<double> xs = tape.variable(x);
        const Var<double> loss = sum(square(last_state(xs, cell.initial_state(tape, B))));
        const Var<double> dx = grad(loss, {xs}, {.create_graph = true})[0];
        return xt::xarray<double>(grad(sum(square(dx)), {xs})[0].value());
    };
    const auto plain = second([&](const auto& xs, const auto& h) { return nn::unroll(cell, xs, h).state; });
    const auto cut =
        second([&](const auto& xs, const auto& h) { return nn::final_state(cell, xs, h, {.every = 2}); });
    CHECK(distance(cut, plain) < tolerance);
}

TEST_CASE("checkpointing: a plan takes the longest segments that fit, and says what would") {
    const auto whole = nn::plan_checkpoints(100, 1000, 10, 1'000'000);
    CHECK(whole.every == 100);
    CHECK(whole.checkpoints == 1);
    const auto half = nn::plan_checkpoints(100, 1000, 10, 50'020);
    CHECK(half.every == 50);
    CHECK(half.bytes == 50'020);
    CHECK(nn::plan_checkpoints(100, 1000, 10, 50'019).every == 49);
    const auto least = nn::plan_checkpoints(10'000, 1000, 1000, 200'000);
    CHECK(least.every == 100);
    CHECK_THROWS_AS(nn::plan_checkpoints(10'000, 1000, 1000, 199'999), std::invalid_argument);
    CHECK_THROWS_AS(nn::plan_checkpoints(0, 1000, 1000, 199'999), std::invalid_argument);
}

TEST_CASE(
    "checkpointing: ten thousand steps with a loss on the last state take the memory of 2 sqrt(T) steps") {
    nn::Engine engine(1);
    for (const std::size_t batch : {1u, 16u}) {
        const nn::LSTMCell<float> cell(8, 16, engine);
        const auto capacity = [&](std::size_t steps, std::size_t every) {
            Tape<float> tape;
            Parameter<float> xs(xtape::Shape{steps, batch, 8});
            for (int life = 0; life < 2; ++life) {  // the second one's memory is in one piece
                tape.clear();
                const Var<float> x = tape.borrow(xs.shape(), xs.data());
                const auto start = cell.initial_state(tape, batch);
                const auto last = every == 0 ? nn::unroll_states(cell, x, start).back()
                                             : nn::final_state(cell, x, start, {.every = every});
                backward(sum(square(last.h)));
            }
            return tape.capacity();
        };
        CHECK(capacity(10'000, 100) <= capacity(200, 0));
    }
}

TEST_CASE("checkpointing: within a budget of bytes") {
    nn::Engine engine(1);
    const nn::LSTMCell<float> cell(8, 16, engine);
    constexpr std::size_t steps = 5000, batch = 16;
    Parameter<float> xs(xtape::Shape{steps, batch, 8});
    const auto used = [&](std::size_t memory) {
        Tape<float> tape;
        const Var<float> x = tape.borrow(xs.shape(), xs.data());
        const auto last = nn::final_state(cell, x, cell.initial_state(tape, batch), {.memory = memory});
        backward(sum(square(last.h)));
        return tape.capacity();
    };
    for (const std::size_t memory : {2u << 20, 8u << 20}) CHECK(used(memory) < memory + memory / 2);
    CHECK_THROWS_AS(used(1000), std::invalid_argument);
}

TEST_CASE("checkpointing: options that don't say how to cut are refused") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    Tape<double> tape;
    const Var<double> xs = tape.constant(random(engine, std::array<std::size_t, 3>{4, B, D}));
    const auto start = cell.initial_state(tape, B);
    CHECK_THROWS_AS(nn::unroll(cell, xs, start, nn::CheckpointOptions{}), std::invalid_argument);
    CHECK_THROWS_AS(nn::unroll(cell, xs, start, {.every = 2, .memory = 1 << 20}), std::invalid_argument);
}

TEST_CASE("checkpointing: layers and sequences of different lengths are cut as well") {
    nn::Engine engine(1);
    nn::LSTM<double> lstm(D, H, engine, {.layers = 2, .bidirectional = true, .dropout = 0.5});
    const Sequence x = random(engine, std::array<std::size_t, 3>{20, B, D});
    const nn::Engine start = engine;
    const auto run = [&](auto&&... options) {
        engine = start;
        Tape<double> tape;
        nn::zero_grad(lstm);
        const Var<double> xs = tape.variable(x);
        const auto packed = nn::pack(xs, {20, 3, 11});
        const auto [outputs, last] = nn::unroll(lstm, packed, lstm.initial_state(tape, B),
                                                std::forward<decltype(options)>(options)...);
        backward(sum(square(outputs.rows)) + sum(last.c));
        std::vector<xt::xarray<double>> results{xt::xarray<double>(outputs.rows.value()),
                                                xt::xarray<double>(xs.grad())};
        nn::for_each_parameter(lstm, [&](Parameter<double>& p) { results.emplace_back(p.grad()); });
        return results;
    };
    const auto plain = run();
    {
        Tape<double> tape;
        const Var<double> xs = tape.constant(x);
        nn::eval(lstm);
        const auto from_zero = nn::unroll(lstm, xs, {.every = 3}).outputs;
        CHECK(distance(from_zero.value(), nn::unroll(lstm, xs).outputs.value()) < tolerance);
        nn::train(lstm);
    }
    const auto kept = run(nn::CheckpointOptions{.every = 4, .recompute = false});
    const auto cut = run(nn::CheckpointOptions{.every = 4});
    const auto within = run(nn::CheckpointOptions{.memory = 1 << 20});
    for (std::size_t k = 0; k < plain.size(); ++k) {
        CHECK(distance(cut[k], kept[k]) == 0);
        CHECK(distance(cut[k], plain[k]) < tolerance);
        CHECK(distance(within[k], plain[k]) < tolerance);
    }
}

TEST_CASE("checkpointing: to plan draws no random numbers") {
    nn::Engine engine(1);
    DroppingCell cell = dropping_cell(engine);
    const nn::Engine start = engine;
    const auto run = [&](std::size_t every, std::size_t memory) {
        engine = start;
        return gradients(cell, 20, [&](const auto& xs, const auto& h) {
            return nn::unroll(cell, xs, h, {.every = every, .memory = memory, .engine = &engine});
        });
    };
    CHECK(difference(run(20, 0), run(0, 1 << 20)) == 0);
}
