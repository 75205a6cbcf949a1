// A recurrent cell of one's own: written as equations, checked against finite differences, and put to the adding
// problem, which a plain RNN doesn't solve.
//
//     custom_cell                        solves it at 100 time steps, draws both learning curves
//     custom_cell --length 200 --out curves.png

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/interrupt.hpp"
#include "examples/progress.hpp"
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

    template <class F>
    void visit(F&& f) {
        f("w", w), f("u_f", u_f), f("u_n", u_n), f("b", b);
    }

    Parameter<T> w, u_f, u_n, b;
};

namespace {

using namespace examples;

struct Settings {
    std::size_t length = 100, hidden = 64, batch = 32;
    std::size_t steps = 3000;
    double learning_rate = 5e-3, clip = 1, goal = 0.01;
    std::uint64_t seed = 1;
    std::string picture = "custom_cell.svg";
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

/// Numbers between 0 and 1, two of them marked, one in each half; what is wanted after the last step is the sum of
/// the two. (Hochreiter & Schmidhuber, 1997.) Who always says 1 has a mean square error of 1/6.
struct AddingProblem {
    AddingProblem(std::size_t T, std::size_t B, nn::Engine& engine)
        : xs(xt::zeros<float>({T, B, std::size_t{2}})), sums(xt::zeros<float>({B, std::size_t{1}})) {
        std::uniform_real_distribution<float> number(0, 1);
        for (std::size_t b = 0; b < B; ++b) {
            for (std::size_t t = 0; t < T; ++t) xs(t, b, 0) = number(engine);
            for (const std::size_t t : {engine() % (T / 2), T / 2 + engine() % (T - T / 2)}) {
                xs(t, b, 1) = 1;
                sums(b, 0) += xs(t, b, 0);
            }
        }
    }
    xt::xtensor<float, 3> xs;    // (T, B, 2): number, mark
    xt::xtensor<float, 2> sums;  // (B, 1)
};
constexpr double baseline = 1.0 / 6;

template <class Cell>
struct Adder {
    Adder(std::size_t hidden_size, nn::Engine& engine)
        : hidden(hidden_size), cell(2, hidden_size, engine), readout(hidden_size, 1, engine) {}

    /// Mean square error of what is read from the last state.
    Var<float> loss(Tape<float>& tape, const AddingProblem& problem) const {
        const Var<float> xs = tape.constant(problem.xs);
        const Var<float> start = nn::zeros(tape, {xs.shape()[1], hidden});
        const Var<float> last = nn::unroll_states(cell, xs, start).back();
        return nn::mse(readout(last), tape.constant(problem.sums));
    }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("readout", readout);
    }

    std::size_t hidden;
    Cell cell;
    nn::Linear<float> readout;
};

struct Curve {
    std::vector<double> steps, errors;  ///< on sequences that are never trained on
    double seconds = 0;
};

/// Learns until the error is below the goal, or for `most_steps`.
template <class Cell>
Curve learn(const std::string& name, const Settings& s, std::size_t most_steps, const Interrupt& interrupt) {
    constexpr std::size_t test_size = 500, steps_between_tests = 25;
    nn::Engine engine(s.seed);
    const AddingProblem test(s.length, test_size, engine);
    Adder<Cell> model(s.hidden, engine);
    nn::Adam<float> adam(model, {.learning_rate = s.learning_rate});
    Tape<float> tape;
    Curve curve;
    Progress progress;
    progress.note(name + ": " + std::to_string(nn::parameter_count(model)) + " parameters");
    for (std::size_t step = 0;; ++step) {
        if (step % steps_between_tests == 0 || step == most_steps || interrupt.requested()) {
            tape.clear();
            const xtape::NoRecording evaluation(tape);
            curve.steps.push_back(static_cast<double>(step));
            curve.errors.push_back(model.loss(tape, test).item());
            if (curve.errors.back() < s.goal || step == most_steps || interrupt.requested()) break;
        }
        tape.clear();
        backward(model.loss(tape, AddingProblem(s.length, s.batch, engine)));
        nn::clip_grad_norm(model, s.clip);
        adam.step();
        nn::zero_grad(model);

        char text[64];
        std::snprintf(text, sizeof text, "test error %.4f", curve.errors.back());
        progress.update(static_cast<double>(step + 1) / static_cast<double>(most_steps), step + 1, text);
    }
    progress.finish();
    curve.seconds = progress.seconds();
    std::printf("%s: test error %.4f after %.0f steps in %.1f s (%s)\n", name.c_str(), curve.errors.back(),
                curve.steps.back(), curve.seconds, curve.errors.back() < s.goal ? "solved" : "not solved");
    return curve;
}

// ---- the report --------------------------------------------------------------------------------------------------

int check_and_learn(const Settings& s) {
    check_picture(s.picture);
    check_gradient(s.seed);
    std::printf("gradient check: the minimal gated unit agrees with finite differences\n");

    std::printf("adding problem: %zu steps, batch %zu, %zu hidden units; baseline %.3f, goal %g\n", s.length,
                s.batch, s.hidden, baseline, s.goal);
    const Interrupt interrupt;
    const Curve unit = learn<MinimalGatedUnit<float>>("minimal gated unit", s, s.steps, interrupt);
    const auto longer = 4 * static_cast<std::size_t>(unit.steps.back());
    Curve rnn;
    if (!interrupt.requested()) rnn = learn<nn::RNNCell<float>>("RNN", s, longer, interrupt);

    const std::filesystem::path numbers = std::filesystem::path(s.picture).replace_extension(".csv");
    save_csv(numbers, {{"step of the minimal gated unit", unit.steps},
                       {"its error", unit.errors},
                       {"step of the RNN", rnn.steps},
                       {"its error", rnn.errors}});
    std::printf("saved: %s\n", numbers.c_str());
    std::fflush(stdout);

    const std::vector<double> ends{0, std::max(1.0, (rnn.steps.empty() ? unit : rnn).steps.back())};
    char goal[32];
    std::snprintf(goal, sizeof goal, "goal (%g)", s.goal);
    Panel panel{"", "training step", "mean square error on 500 new sequences", true, Corner::top_right, {}};
    panel.series = {{"minimal gated unit", unit.steps, unit.errors, Series::Style::line, 1},
                    {"RNN", rnn.steps, rnn.errors, Series::Style::line, 0},
                    {"always saying 1 (0.167)", ends, {baseline, baseline}, Series::Style::reference},
                    {goal, ends, {s.goal, s.goal}, Series::Style::reference}};
    char ends_at[200];
    std::snprintf(ends_at, sizeof ends_at, "The unit is at %.4f after %.0f training steps",
                  unit.errors.back(), unit.steps.back());
    std::string caption =
        "Two numbers of a sequence are marked; after the last step the cell is to say their sum. A gated "
        "cell can hold "
        "a number until the end, and its gradient reaches back to where it was read. " +
        std::string(ends_at);
    if (!rnn.errors.empty()) {
        std::snprintf(ends_at, sizeof ends_at, ", the RNN, trained in the same way, at %.4f after %.0f",
                      rnn.errors.back(), rnn.steps.back());
        caption += ends_at;
    }
    draw({"The adding problem over " + std::to_string(s.length) + " time steps", caption + ".", {panel}},
         s.picture);
    std::printf("       %s\n", s.picture.c_str());
    if (interrupt.requested()) return interrupt.exit_code();
    return unit.errors.back() < s.goal ? 0 : 1;
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "A cell of one's own: checks the gradient of a minimal gated unit, then trains it, and an RNN beside "
        "it, on "
        "the adding problem. Returns 1 if it wasn't solved; Ctrl-C ends the training and saves the curves.",
        "custom_cell");
    app.option_defaults()->always_capture_default();
    app.add_option("-T,--length", s.length, "time steps of a sequence")->check(CLI::Range(2, 100000));
    app.add_option("-H,--hidden", s.hidden, "hidden units")->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", s.batch, "sequences in a training step")->check(CLI::Range(1, 4096));
    app.add_option("--steps", s.steps, "training steps at most")->check(CLI::Range(1, 10000000));
    app.add_option("--lr", s.learning_rate, "learning rate of Adam")->check(CLI::PositiveNumber);
    app.add_option("--clip", s.clip, "largest norm of the gradient")->check(CLI::PositiveNumber);
    app.add_option("--goal", s.goal, "mean square error that counts as solved")->check(CLI::PositiveNumber);
    app.add_option("--seed", s.seed, "of the weights and the sequences");
    app.add_option("-o,--out", s.picture,
                   "picture of the learning curves, .svg or .png; a .csv goes beside it");
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return check_and_learn(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
