// A character model: an LSTM (or a GRU, or a plain RNN) reads text byte by byte and learns to say what comes next,
// by truncated backpropagation through time.
//
//     char_lm                            learns from the texts of Debian's package `fortunes`
//     char_lm --text book.txt --cell gru --hidden 512 --steps 10000 --minutes 0
//     char_lm --start char_lm.safetensors --steps 0 --temperature 0.5     writes without learning

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <numbers>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "examples/bigram.hpp"
#include "examples/char_model.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "examples/interrupt.hpp"
#include "examples/parameter_file.hpp"
#include "examples/progress.hpp"
#include "examples/text.hpp"
#include "examples/training.hpp"
#include "examples/utf8.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;
namespace fs = std::filesystem;

const std::string default_text = "/usr/share/games/fortunes";

struct Settings {
    std::string text = default_text;
    std::string cell = "lstm";
    std::size_t hidden = 256, embedding = 64;
    std::size_t batch = 32, window = 64;
    std::size_t steps = 2000;
    double minutes = 2;
    double learning_rate = 1e-2, clip = 1;
    std::uint64_t seed = 1;
    std::size_t sample = 400;
    double temperature = 0.7;
    std::string prime;
    std::string picture = "char_lm.svg";
    std::string start;

    fs::path beside_picture(const char* suffix) const { return fs::path(picture).replace_extension(suffix); }
};

// ---- reading and writing -----------------------------------------------------------------------------------------

/// Mean bits per symbol of all pieces, which are read side by side; each is predicted from its second symbol on.
template <class Cell>
double bits_per_symbol(const CharModel<Cell>& model, Tape<float>& tape,
                       const std::vector<std::vector<Symbol>>& pieces) {
    constexpr std::size_t steps_at_once = 128;
    const std::size_t batch = pieces.size(), length = pieces[0].size() - 1;
    typename CharModel<Cell>::State carried;
    double nats = 0;
    for (std::size_t start = 0; start < length; start += steps_at_once) {
        const std::size_t steps = std::min(length - start, steps_at_once);
        xt::xtensor<Symbol, 2> inputs(std::array{steps, batch}), targets(std::array{steps, batch});
        for (std::size_t t = 0; t < steps; ++t) {
            for (std::size_t b = 0; b < batch; ++b) {
                inputs(t, b) = pieces[b][start + t];
                targets(t, b) = pieces[b][start + t + 1];
            }
        }
        tape.clear();
        nats += nn::cross_entropy(model(tape, inputs, carried), targets, nn::Reduction::sum).item();
    }
    return nats / static_cast<double>(batch * length) / std::numbers::ln2;
}

/// What the model writes after `prime`: one symbol at a time, drawn from softmax(scores / temperature).
template <class Cell>
std::string write_sample(const CharModel<Cell>& model, Tape<float>& tape, const Vocabulary& vocabulary,
                         const Settings& s, const Interrupt& interrupt) {
    std::mt19937_64 random(s.seed);
    typename CharModel<Cell>::State carried;
    std::vector<Symbol> next = vocabulary.symbols(s.prime.empty() ? "\n" : s.prime);
    std::string text;
    std::vector<double> weights(vocabulary.size());
    while (text.size() < s.sample && !interrupt.requested()) {
        tape.clear();
        const NoRecording evaluation(tape);
        const Var<float> scores =
            model(tape, xt::adapt(next, std::array{next.size(), std::size_t{1}}), carried)[-1][0];  // (V)
        const auto values = scores.value();
        const float best = *std::max_element(values.begin() + 1, values.end());
        weights[0] = 0;  // bytes that the training part doesn't hold
        for (std::size_t k = 1; k < weights.size(); ++k)
            weights[k] = std::exp((values(k) - best) / s.temperature);
        std::discrete_distribution<Symbol> draw(weights.begin(), weights.end());
        next = {draw(random)};
        text += vocabulary.byte(next[0]);
    }
    return text;
}

// ---- training ----------------------------------------------------------------------------------------------------

constexpr double bit = std::numbers::ln2;  // in nats

std::vector<double> in_bits(std::vector<double> nats) {
    for (double& number : nats) number /= bit;
    return nats;
}

void draw_curve(const nn::LossCurve& curve, double bigram_bits, const Settings& s,
                const std::string& caption) {
    Panel panel{"", "training step", "bits per character", false, Corner::top_right, {}};
    panel.series = {{"training part", curve.step, in_bits(curve.training), Series::Style::line, 0},
                    {"held-out part", curve.step, curve.validation, Series::Style::line, 1}};
    panel.series[1].y.front() = std::nan("");  // before training: it would flatten the rest
    panel.series.push_back({"bigram entropy of the held-out part",
                            {curve.step.front(), curve.step.back()},
                            {bigram_bits, bigram_bits},
                            Series::Style::reference});
    draw({format("Learning to predict the next character: %s, H = %zu", upper(s.cell).c_str(), s.hidden),
          caption,
          {panel}},
         s.picture);
}

/// The learning rate rises over the first fiftieth of the run and falls along a cosine to a fiftieth of its value.
double learning_rate(const Settings& s, double part) {
    const nn::CosineAnnealingLR fall{
        .learning_rate = s.learning_rate, .steps = 1000, .min_rate = s.learning_rate / 50};
    const nn::LinearLR rise{.steps = 20, .start_factor = 0.02};
    const auto thousandths = static_cast<std::size_t>(1000 * part);
    return fall(thousandths) * rise(thousandths);
}

struct Data {
    Vocabulary vocabulary;
    std::vector<Symbol> train;
    std::vector<std::vector<Symbol>> held_out;
};

template <class Cell>
int train(const Settings& s, Data data) {
    const Bigram bigram(data.train, data.vocabulary.size());
    const double bigram_bits = bigram.bits(data.held_out);
    const std::size_t held_out_size = data.held_out.size() * data.held_out[0].size();
    std::printf(
        "text:  %s\n       %zu bytes to learn from, %zu held out in %zu pieces, %zu different bytes\n",
        printable(s.text).c_str(), data.train.size(), held_out_size, data.held_out.size(),
        data.vocabulary.size() - 1);
    nn::Windows windows(std::move(data.train), {s.batch, s.window, s.seed});

    nn::Engine engine(s.seed);
    CharModel<Cell> model(data.vocabulary.size(), s.embedding, s.hidden, engine);
    const std::string name = char_model_name(s.cell, data.vocabulary);
    if (!s.start.empty()) load_parameters(s.start, model, name);
    std::printf("model: %s, %zu hidden units, %zu parameters; batch %zu, windows of %zu\n", s.cell.c_str(),
                s.hidden, nn::parameter_count(model), s.batch, s.window);

    nn::Adam<float> adam(model);
    const Interrupt interrupt;
    nn::Training training(model, adam,
                          {.steps = s.steps,
                           .seconds = s.minutes > 0 ? 60 * s.minutes : INFINITY,
                           .max_norm = s.clip,
                           .validate = {.parts = 10},
                           .record = {.parts = 100},
                           .stop = [&] { return interrupt.requested(); }});
    const fs::path parameters = s.beside_picture(".safetensors"), numbers = s.beside_picture(".csv");
    std::optional<CsvLog> log;
    if (s.steps > 0) {
        log.emplace(numbers, std::vector<std::string>{"step", "seconds", "train bits/char",
                                                      "held-out bits/char", "bigram bits/char"});
    }
    typename CharModel<Cell>::State carried;
    Progress progress({s.batch * s.window, "chars"});
    training.run(
        [&](Tape<float>& tape) { return model.loss(tape, windows.next(), carried); },
        [&](Tape<float>& tape) { return bits_per_symbol(model, tape, data.held_out); },
        [&](const nn::TrainingState& now) {
            adam.set_learning_rate(learning_rate(s, now.part));
            progress.update(now.part, now.step, format("%.3f bits/char", now.smooth_loss / bit));
            const auto& [step, seconds, train, held_out] = now.curve;
            if (log && now.has_new_point)
                log->add({step.back(), seconds.back(), train.back() / bit, held_out.back(), bigram_bits});
            if (!now.has_new_validation()) return;
            if (now.step == 0) {
                progress.note(
                    format("held-out part: %.3f bits/char before training; a bigram model needs %.3f",
                           now.validation, bigram_bits));
            } else {
                progress.note(
                    format("step %zu      held-out part: %.3f bits/char", now.step, now.validation));
                save_parameters(parameters, model, name);
            }
        });
    progress.finish();

    const nn::LossCurve& curve = training.state().curve;
    const double before = curve.validation.front(), after = curve.validation.back();
    const std::string result = format(
        "Held-out part: %.3f bits/char before, %.3f after %zu steps in %.0f s; %.3f %s the bigram entropy of "
        "%.3f.",
        before, after, training.state().step, curve.seconds.back(), std::abs(bigram_bits - after),
        after < bigram_bits ? "below" : "above", bigram_bits);
    std::printf("%s%s\n", interrupt.requested() ? "Interrupted. " : "", result.c_str());
    if (s.sample > 0 && !interrupt.requested()) {
        std::printf(
            "\n---- sample at temperature %g ----\n%s\n----\n\n", s.temperature,
            printable(write_sample(model, training.tape(), data.vocabulary, s, interrupt), true).c_str());
    }
    if (training.state().step == 0) return interrupt.exit_code();

    std::printf("saved: %s (parameters), %s (log)\n", parameters.c_str(), numbers.c_str());
    std::fflush(stdout);
    draw_curve(curve, bigram_bits, s, result);
    std::printf("       %s (picture)\n", s.picture.c_str());
    return interrupt.exit_code();
}

int read_and_train(const Settings& s) {
    check_picture(s.picture);
    if (s.text == default_text && !fs::exists(s.text)) {
        throw std::runtime_error(default_text +
                                 " is not there: apt install fortunes, or give a text with --text");
    }
    const Corpus corpus = hold_out(read_text(s.text));
    Data data{Vocabulary(corpus.train), {}, {}};
    data.train = data.vocabulary.symbols(corpus.train);
    for (const std::string& piece : corpus.held_out) data.held_out.push_back(data.vocabulary.symbols(piece));

    return with_cell(s.cell,
                     [&]<class Cell>(std::type_identity<Cell>) { return train<Cell>(s, std::move(data)); });
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Learns to predict the next character of a text, reports bits per character on a part that is held "
        "out (beside what a bigram model needs), and writes a sample. Ctrl-C ends the training and saves "
        "what was done so far (exit code 130); a second one ends the program at once.",
        "char_lm");
    app.option_defaults()->always_capture_default();
    app.add_option("--text", s.text, "a file of text, or a directory of them");
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("-H,--hidden", s.hidden, "hidden units")->check(CLI::Range(1, 16384));
    app.add_option("-D,--embedding", s.embedding, "numbers that stand for a byte")
        ->check(CLI::Range(1, 16384));
    app.add_option("-B,--batch", s.batch, "streams that are read at once")->check(CLI::Range(1, 16384));
    app.add_option("-T,--window", s.window, "steps that a gradient goes back")->check(CLI::Range(1, 16384));
    app.add_option("--steps", s.steps, "training steps, one window each; 0: only write a sample");
    app.add_option("--minutes", s.minutes,
                   "ends earlier after this time (and then a run cannot be repeated exactly); 0: never")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--lr", s.learning_rate, "learning rate of Adam at its highest")
        ->check(CLI::PositiveNumber);
    app.add_option("--clip", s.clip, "largest norm of the gradient")->check(CLI::PositiveNumber);
    app.add_option("--seed", s.seed, "of weights, windows and sample");
    app.add_option("--sample", s.sample, "bytes to write after training");
    app.add_option("--temperature", s.temperature, "of the sample: lower is more careful")
        ->check(CLI::PositiveNumber);
    app.add_option("--prime", s.prime, "what the sample goes on from; by default a new line");
    app.add_option(
        "-o,--out", s.picture,
        "picture of the learning curve, .svg or .png; the log goes beside it as .csv, the parameters as "
        ".safetensors");
    app.add_option("--start", s.start,
                   "begin with the parameters of an earlier run on the same text and sizes")
        ->check(CLI::ExistingFile);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return read_and_train(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
