// The copying problem: ten symbols are read, then nothing for a while, and then they are to be said again. Who knows
// only when to speak has a loss of 10 ln 8 / (T + 20); who does better has remembered.
//
//     copying_problem                        LSTM and GRU, a delay of 50 steps, about a minute each
//     copying_problem -T 100 --steps 5000 --cell gru

#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/copying_sequences.hpp"
#include "examples/format.hpp"
#include "examples/long_memory.hpp"
#include "examples/training.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

struct Settings {
    TrainingOptions training{.hidden = 128,
                             .batch = 32,
                             .steps = 3000,
                             .learning_rate = 1e-2,
                             .anneal = true,
                             .picture = "copying_problem.svg"};
    std::size_t delay = 50;
    std::vector<std::string> cells{"lstm", "gru"};
    bool plain_start = false;
};

template <class Cell>
struct Copier {
    Copier(std::size_t hidden, nn::Engine& engine)
        : embedding(Shape{CopyingSequences::inputs, CopyingSequences::inputs}, "embedding"),
          cell(CopyingSequences::inputs, hidden, engine),
          output(hidden, CopyingSequences::outputs, engine) {
        nn::normal(embedding, 1, engine);
    }

    /// Scores (T + 20, B, 9) of what to say.
    Var<float> operator()(Tape<float>& tape, const CopyingSequences& data) const {
        return output(nn::unroll(cell, take(tape.watch(embedding), data.reads)).outputs);
    }
    Var<float> loss(Tape<float>& tape, const CopyingSequences& data) const {
        return nn::cross_entropy((*this)(tape, data), data.says);
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("cell", cell);
        f("output", output);
    }

    xtape::Parameter<float> embedding;
    Cell cell;
    nn::Linear<float> output;
};

/// The part of the ten symbols that are said again, each in its place.
double copied(const xt::xtensor<float, 3>& scores, const CopyingSequences& data) {
    const std::size_t length = data.says.shape(0), batch = data.says.shape(1);
    std::size_t right = 0;
    for (std::size_t t = length - CopyingSequences::copied; t < length; ++t) {
        for (std::size_t b = 0; b < batch; ++b) {
            const std::size_t said =
                most_probable(scores.shape(2), [&](std::size_t k) { return scores(t, b, k); });
            right += static_cast<std::int32_t>(said) == data.says(t, b);
        }
    }
    return static_cast<double>(right) / static_cast<double>(CopyingSequences::copied * batch);
}

/// Learns, and says how well.
template <class Cell>
std::string learn(const std::string& name, const Settings& s, Learning& learning) {
    constexpr std::size_t test_size = 200;
    nn::Engine engine(s.training.seed);
    const CopyingSequences test(s.delay, test_size, engine);
    Copier<Cell> model(s.training.hidden, engine);
    if (!s.plain_start) remember_for(s.delay + CopyingSequences::copied, model.cell, engine);
    const LearningCurve& curve = learning.train(
        name, model,
        [&](Tape<float>& tape) {
            return model.loss(tape, CopyingSequences(s.delay, s.training.batch, engine));
        },
        [&](Tape<float>& tape) { return model.loss(tape, test).item(); });

    Tape<float> tape;
    const NoRecording evaluation(tape);
    const std::string text =
        format("%s: %.4f nats, %.1f times below the baseline, %.1f %% of the symbols right", name.c_str(),
               curve.test(), CopyingSequences::baseline(s.delay) / curve.test(),
               100 * copied(model(tape, test).value(), test));
    std::printf("%s, after %zu steps in %.1f s\n", text.c_str(), curve.steps(), curve.seconds());
    return text;
}

int learn_and_report(const Settings& s) {
    const double baseline = CopyingSequences::baseline(s.delay);
    Learning learning(s.training, {.title = "The copying problem with a delay of " + std::to_string(s.delay) +
                                            " time steps",
                                   .test = "nats per step, on 200 new sequences",
                                   .test_is_loss = true,
                                   .log_y = true,
                                   .levels = {{"without a memory: 10 ln 8 / (T + 20)", baseline}}});
    std::printf(
        "copying problem: delay %zu, batch %zu, %zu hidden units\n"
        "knowing when to speak, and guessing what: 10 ln 8 / (T + 20) = %.4f nats per step, %.1f %% of the "
        "symbols\n",
        s.delay, s.training.batch, s.training.hidden, baseline, 100.0 / CopyingSequences::symbols);
    std::string caption = "Ten symbols are read, and to be said again after the delay.";
    for (const std::string& cell : s.cells) {
        if (learning.interrupted()) break;
        caption +=
            " " +
            with_cell(cell, [&]<class Cell>(
                                std::type_identity<Cell>) { return learn<Cell>(upper(cell), s, learning); }) +
            ".";
    }
    return learning.report(caption);
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "The copying problem (Hochreiter & Schmidhuber, 1997; Arjovsky et al., 2016): remembers ten symbols "
        "over a delay, beside a network that knows when to speak but not what to say. Ctrl-C ends the "
        "training and saves the curves.",
        "copying_problem");
    app.option_defaults()->always_capture_default();
    app.add_option("-T,--delay", s.delay, "time steps between reading and saying")
        ->check(CLI::Range(1, 100000));
    app.add_option("--cell", s.cells, "the recurrent cells to train, one after the other")
        ->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_flag("--plain-start", s.plain_start, "gates start as in any model, not with a long memory");
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return learn_and_report(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
