// The adding problem: of a long sequence of numbers two are marked, and after the last step a network is to say their
// sum. Who always says 1 has a mean square error of 1/6; who does better has remembered.
//
//     adding_problem                         LSTM, GRU and RNN over 200 steps
//     adding_problem -T 400 --cell gru       twice as long

#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/adding_sequences.hpp"
#include "examples/format.hpp"
#include "examples/long_memory.hpp"
#include "examples/training.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::Tape;
namespace nn = xtape::nn;

struct Settings {
    TrainingOptions training{.hidden = 64,
                             .batch = 32,
                             .steps = 2000,
                             .learning_rate = 5e-3,
                             .goal = 0.01,
                             .picture = "adding_problem.svg"};
    std::size_t length = 200;
    std::vector<std::string> cells{"lstm", "gru", "rnn"};
    bool plain_start = false;
};

template <class Cell>
void learn(const std::string& name, const Settings& s, Learning& learning) {
    constexpr std::size_t test_size = 500;
    nn::Engine engine(s.training.seed);
    const AddingSequences test(s.length, test_size, engine);
    Adder<Cell> model(s.training.hidden, engine);
    if (!s.plain_start) remember_for(s.length, model.cell, engine);
    const LearningCurve& curve = learning.train(
        name, model,
        [&](Tape<float>& tape) {
            return model.loss(tape, AddingSequences(s.length, s.training.batch, engine));
        },
        [&](Tape<float>& tape) { return model.loss(tape, test).item(); });
    std::printf("%s: test error %.4f after %zu steps in %.1f s; always saying 1 has %.4f\n", name.c_str(),
                curve.test(), curve.steps(), curve.seconds(), AddingSequences::baseline);
}

int learn_and_report(const Settings& s) {
    Learning learning(s.training,
                      {.title = "The adding problem over " + std::to_string(s.length) + " time steps",
                       .test = "mean square error on 500 new sequences",
                       .test_is_loss = true,
                       .log_y = true,
                       .levels = {{"always saying 1", AddingSequences::baseline}}});
    std::printf(
        "adding problem: %zu steps, batch %zu, %zu hidden units; always saying 1 has an error of %.4f\n",
        s.length, s.training.batch, s.training.hidden, AddingSequences::baseline);
    std::string caption =
        "Two numbers of a sequence are marked; after the last step a network is to say their sum. Who "
        "always says 1 (dashed) has looked at none of them, who is below has remembered. At the end of the "
        "training the error is";
    for (const std::string& cell : s.cells) {
        if (learning.interrupted()) break;
        with_cell(cell, [&]<class Cell>(std::type_identity<Cell>) { learn<Cell>(upper(cell), s, learning); });
        const LearningCurve& curve = learning.curves().back();
        caption +=
            format("%s %.4f (%s)", caption.ends_with("is") ? "" : ",", curve.test(), curve.name.c_str());
    }
    return learning.report(caption + ".");
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "The adding problem (Hochreiter & Schmidhuber, 1997): remembers two numbers of a long sequence and "
        "adds them, beside a network that always says 1. A cell is done when its error is below the goal. "
        "Ctrl-C ends the training and saves the curves.",
        "adding_problem");
    app.option_defaults()->always_capture_default();
    app.add_option("-T,--length", s.length, "time steps of a sequence")->check(CLI::Range(2, 100000));
    app.add_option("--cell", s.cells, "the recurrent cells to train, one after the other")
        ->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("--goal", s.training.goal, "mean square error that ends the training");
    app.add_flag("--plain-start", s.plain_start, "gates start as in any model, not with a long memory");
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return learn_and_report(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
