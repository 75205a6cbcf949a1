// A recurrent cell of one's own: written as equations, checked against finite differences, and put to the adding
// problem, which a plain RNN doesn't solve.
//
//     custom_cell                        solves it at 100 time steps, draws both learning curves
//     custom_cell --length 200 --out curves.png

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <span>
#include <string>

#include "autograd/autograd.hpp"
#include "examples/adding_sequences.hpp"
#include "examples/format.hpp"
#include "examples/training.hpp"
#include "nn/nn.hpp"

namespace nn = xtape::nn;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

/// The minimal gated unit (Zhou et al., 2016): a GRU with one gate that does both jobs.
///     f = σ(W_f x + U_f h + b_f),  n = tanh(W_n x + U_n (f ⊙ h) + b_n),  h' = (1 − f) ⊙ h + f ⊙ n
/// x (B, D), h (B, H). The gate's bias starts at −2, so that the cell remembers.
template <class T>
struct MinimalGatedUnit {
    using State = Var<T>;

    MinimalGatedUnit(std::size_t D, std::size_t H, nn::Engine& engine)
        : w(Shape{2 * H, D}, "w"), u_f(Shape{H, H}, "u_f"), u_n(Shape{H, H}, "u_n"), b(Shape{2 * H}, "b") {
        for (Parameter<T>* weight : {&w, &u_f, &u_n})
            nn::normal(*weight, std::sqrt(2.0 / double(D + H)), engine);
        std::fill_n(b.data(), H, T(-2));
    }

    auto on(Tape<T>& tape) const {
        const Var<T> w_x = transpose(tape.watch(w)), w_f = transpose(tape.watch(u_f)),
                     w_n = transpose(tape.watch(u_n)), bias = tape.watch(b);
        return nn::every_step([=](const Var<T>& x, const Var<T>& h) -> Var<T> {
            const auto [x_f, x_n] = split<2>(matmul(x, w_x) + bias);
            const Var<T> f = sigmoid(x_f + matmul(h, w_f));
            return (1 - f) * h + f * tanh(x_n + matmul(f * h, w_n));
        });
    }

    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return nn::zeros(tape, {batch, u_n.shape()[0]});
    }

    template <class F>
    void visit(F&& f) {
        f("w", w), f("u_f", u_f), f("u_n", u_n), f("b", b);
    }

    Parameter<T> w, u_f, u_n, b;
};

namespace {

using namespace examples;

struct Settings {
    TrainingOptions training{.hidden = 64,
                             .batch = 32,
                             .steps = 3000,
                             .learning_rate = 5e-3,
                             .goal = 0.01,
                             .picture = "custom_cell.svg"};
    std::size_t length = 100;
};

// ---- is the gradient right? --------------------------------------------------------------------------------------

/// Compares the gradient of some steps, with regard to every weight, x and h, with finite differences.
/// Throws xtape::GradcheckError if they differ.
void check_gradient(std::uint64_t seed) {
    nn::Engine engine(seed);
    MinimalGatedUnit<double> cell(3, 4, engine);
    std::normal_distribution<double> normal;
    xt::xarray<double> xs = xt::zeros<double>({6, 2, 3}), h = xt::zeros<double>({2, 4});  // (T, B, D), (B, H)
    for (double& v : xs) v = normal(engine);
    for (double& v : h) v = normal(engine);
    const auto last_state = [&](std::span<const Var<double>> in) {
        return nn::unroll(cell, in[0], in[1]).state;
    };
    xtape::gradcheck(last_state, {xs, h}, {.parameters = nn::parameters(cell)});
}

// ---- the adding problem ------------------------------------------------------------------------------------------

template <class Cell>
const LearningCurve& learn(const std::string& name, const Settings& s, Learning& learning) {
    constexpr std::size_t test_size = 500;
    nn::Engine engine(s.training.seed);
    const AddingSequences test(s.length, test_size, engine);
    Adder<Cell> model(s.training.hidden, engine);
    const LearningCurve& curve = learning.train(
        name, model,
        [&](Tape<float>& tape) {
            return model.loss(tape, AddingSequences(s.length, s.training.batch, engine));
        },
        [&](Tape<float>& tape) { return model.loss(tape, test).item(); });
    std::printf("%s: test error %.4f after %zu steps in %.1f s (%s)\n", name.c_str(), curve.test(),
                curve.steps(), curve.seconds(), curve.test() < *s.training.goal ? "solved" : "not solved");
    return curve;
}

int check_and_learn(const Settings& s) {
    const TrainingOptions& options = s.training;
    Learning learning(options,
                      {.title = "The adding problem over " + std::to_string(s.length) + " time steps",
                       .test = "mean square error on 500 new sequences",
                       .test_is_loss = true,
                       .log_y = true,
                       .levels = {{"always saying 1", AddingSequences::baseline}, {"goal", *options.goal}}});
    check_gradient(options.seed);
    std::printf("gradient check: the minimal gated unit agrees with finite differences\n");

    std::printf("adding problem: %zu steps, batch %zu, %zu hidden units; baseline %.3f, goal %g\n", s.length,
                options.batch, options.hidden, AddingSequences::baseline, *options.goal);
    const LearningCurve unit = learn<MinimalGatedUnit<float>>("minimal gated unit", s, learning);
    std::string caption = format(
        "Two numbers of a sequence are marked; after the last step the cell is to say their sum. A gated "
        "cell can hold a number until the end, and its gradient reaches back to where it was read. The "
        "unit is at %.4f after %zu training steps",
        unit.test(), unit.steps());
    if (!learning.interrupted()) {
        learning.set_steps(4 * unit.steps());
        const LearningCurve& rnn = learn<nn::RNNCell<float>>("RNN", s, learning);
        caption += format(", the RNN, trained in the same way, at %.4f after %zu", rnn.test(), rnn.steps());
    }
    const int exit_code = learning.report(caption + ".");
    return exit_code == 0 && unit.test() >= *options.goal ? 1 : exit_code;
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "A cell of one's own: checks the gradient of a minimal gated unit, then trains it, and an RNN "
        "beside it, on the adding problem. Returns 1 if it wasn't solved; Ctrl-C ends the training and "
        "saves the curves.",
        "custom_cell");
    app.option_defaults()->always_capture_default();
    app.add_option("-T,--length", s.length, "time steps of a sequence")->check(CLI::Range(2, 100000));
    app.add_option("--goal", s.training.goal, "mean square error that counts as solved")
        ->check(examples::positive);
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return check_and_learn(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
