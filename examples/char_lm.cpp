// A character model: an LSTM (or a GRU, or a plain RNN) reads text byte by byte and learns to say what comes next,
// by truncated backpropagation through time.
//
//     char_lm                            learns from the texts of Debian's package `fortunes`
//     char_lm --text book.txt --cell gru --hidden 512 --steps 10000 --minutes 0
//     char_lm --start char_lm.safetensors --steps 0 --temperature 0.5     writes without learning

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <numbers>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "examples/bigram.hpp"
#include "examples/char_model.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/interrupt.hpp"
#include "examples/parameter_file.hpp"
#include "examples/progress.hpp"
#include "examples/text.hpp"
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
    nn::CarriedState<typename Cell::State> carried;
    std::vector<Symbol> inputs, targets;
    double nats = 0;
    for (std::size_t start = 0; start < length; start += steps_at_once) {
        const std::size_t end = std::min(length, start + steps_at_once);
        inputs.clear();
        targets.clear();
        for (std::size_t t = start; t < end; ++t) {
            for (const std::vector<Symbol>& piece : pieces) {
                inputs.push_back(piece[t]);
                targets.push_back(piece[t + 1]);
            }
        }
        tape.clear();
        const NoRecording evaluation(tape);
        nats += nn::cross_entropy(model(tape, inputs, batch, carried), targets, nn::Reduction::sum).item();
    }
    return nats / static_cast<double>(batch * length) / std::numbers::ln2;
}

/// What the model writes after `prime`: one symbol at a time, drawn from softmax(scores / temperature).
template <class Cell>
std::string write_sample(const CharModel<Cell>& model, Tape<float>& tape, const Vocabulary& vocabulary,
                         const Settings& s, const Interrupt& interrupt) {
    std::mt19937_64 random(s.seed);
    nn::CarriedState<typename Cell::State> carried;
    std::vector<Symbol> next = vocabulary.symbols(s.prime.empty() ? "\n" : s.prime);
    std::string text;
    std::vector<double> weights(vocabulary.size());
    while (text.size() < s.sample && !interrupt.requested()) {
        tape.clear();
        const NoRecording evaluation(tape);
        const Var<float> scores = model(tape, next, 1, carried)[-1][0];  // (V)
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

/// What is remembered of a run: a row for each hundredth of it; the held-out part is looked at less often (NaN).
struct Log {
    std::vector<double> step, seconds, train, held_out;

    void add(std::size_t at, double time, double train_bits, double held_out_bits) {
        step.push_back(static_cast<double>(at));
        seconds.push_back(time);
        train.push_back(train_bits);
        held_out.push_back(held_out_bits);
    }
};

void draw_log(const Log& log, double bigram_bits, const Settings& s, const std::string& caption) {
    Panel panel{"", "training step", "bits per character", false, Corner::top_right, {}};
    panel.series = {{"training part", log.step, log.train, Series::Style::line, 0},
                    {"held-out part", log.step, log.held_out, Series::Style::line, 1}};
    panel.series[1].y.front() = std::nan("");  // before training: it would flatten the rest
    panel.series.push_back({"bigram entropy of the held-out part",
                            {log.step.front(), log.step.back()},
                            {bigram_bits, bigram_bits},
                            Series::Style::reference});
    std::string name = s.cell;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    draw({"Learning to predict the next character: " + name + ", H = " + std::to_string(s.hidden),
          caption,
          {panel}},
         s.picture);
}

/// The learning rate rises over the first fiftieth of the run and falls along a cosine to a fiftieth of its value.
double learning_rate(const Settings& s, double fraction) {
    const double rise = std::min(1.0, 50 * fraction + 0.02);
    return s.learning_rate * rise * (0.02 + 0.98 * 0.5 * (1 + std::cos(std::numbers::pi * fraction)));
}

struct Data {
    Vocabulary vocabulary;
    std::vector<Symbol> train;
    std::vector<std::vector<Symbol>> held_out;
};

template <class Cell>
int train(const Settings& s, Data data) {
    using State = typename Cell::State;
    const Bigram bigram(data.train, data.vocabulary.size());
    const double bigram_bits = bigram.bits(data.held_out);
    const std::size_t held_out_size = data.held_out.size() * data.held_out[0].size();
    std::printf(
        "text:  %s\n       %zu bytes to learn from, %zu held out in %zu pieces, %zu different bytes\n",
        printable(s.text).c_str(), data.train.size(), held_out_size, data.held_out.size(),
        data.vocabulary.size() - 1);
    Windows windows(std::move(data.train), s.batch, s.window, s.seed);

    nn::Engine engine(s.seed);
    CharModel<Cell> model(data.vocabulary.size(), s.embedding, s.hidden, engine);
    const std::string name = char_model_name(s.cell, data.vocabulary);
    if (!s.start.empty()) load_parameters(s.start, model, name);
    std::printf("model: %s, %zu hidden units, %zu parameters; batch %zu, windows of %zu\n", s.cell.c_str(),
                s.hidden, nn::parameter_count(model), s.batch, s.window);

    nn::Adam<float> adam(model, {.learning_rate = s.learning_rate});
    nn::CarriedState<State> carried;
    Tape<float> tape;
    const Interrupt interrupt;
    const auto held_out_bits = [&] { return bits_per_symbol(model, tape, data.held_out); };
    const auto save_all = [&] { save_parameters(s.beside_picture(".safetensors"), model, name); };

    Log log;
    const double before = held_out_bits();
    log.add(0, 0, std::nan(""), before);
    std::printf("held-out part: %.3f bits/char before training; a bigram model needs %.3f\n", before,
                bigram_bits);

    Progress progress;
    std::size_t step = 0, counted = 0;
    double fraction = 0, bits_sum = 0, smooth = 0;
    double after = before;
    while (fraction < 1 && s.steps > 0 && !interrupt.requested()) {
        tape.clear();
        const Windows::Window& window = windows.next();
        if (window.starts_anew) carried.forget();
        const Var<float> loss =
            nn::cross_entropy(model(tape, window.inputs, s.batch, carried), window.targets);
        backward(loss);
        nn::clip_grad_norm(model, s.clip);
        adam.set_learning_rate(learning_rate(s, fraction));
        adam.step();
        nn::zero_grad(model);
        ++step;

        const double bits = loss.item() / std::numbers::ln2;
        bits_sum += bits;
        ++counted;
        smooth = step == 1 ? bits : 0.95 * smooth + 0.05 * bits;
        const double done = std::max(static_cast<double>(step) / static_cast<double>(s.steps),
                                     s.minutes > 0 ? progress.seconds() / (60 * s.minutes) : 0.0);
        char text[64];
        std::snprintf(text, sizeof text, "%.3f bits/char", smooth);
        progress.update(done, step, text);
        const auto passes = [&](double parts) {
            return std::floor(done * parts) > std::floor(fraction * parts);
        };
        const bool report = passes(10) || interrupt.requested(), remember = report || passes(100);
        fraction = done;
        if (report) {
            after = held_out_bits();
            std::snprintf(text, sizeof text, "      held-out part: %.3f bits/char", after);
            progress.note("step " + std::to_string(step) + text);
            save_all();
        }
        if (remember) {
            log.add(step, progress.seconds(), bits_sum / static_cast<double>(counted),
                    report ? after : std::nan(""));
            bits_sum = 0;
            counted = 0;
        }
    }
    progress.finish();

    char result[256];
    std::snprintf(
        result, sizeof result,
        "Held-out part: %.3f bits/char before, %.3f after %zu steps in %.0f s; %.3f %s the bigram entropy of "
        "%.3f.",
        before, after, step, progress.seconds(), std::abs(bigram_bits - after),
        after < bigram_bits ? "below" : "above", bigram_bits);
    std::printf("%s%s\n", interrupt.requested() ? "Interrupted. " : "", result);
    if (s.sample > 0 && !interrupt.requested()) {
        std::printf("\n---- sample at temperature %g ----\n%s\n----\n\n", s.temperature,
                    printable(write_sample(model, tape, data.vocabulary, s, interrupt), true).c_str());
    }
    if (step == 0) return interrupt.exit_code();

    const fs::path numbers = s.beside_picture(".csv");
    save_csv(numbers, {{"step", log.step},
                       {"seconds", log.seconds},
                       {"train bits/char", log.train},
                       {"held-out bits/char", log.held_out},
                       {"bigram bits/char", std::vector<double>(log.step.size(), bigram_bits)}});
    std::printf("saved: %s (parameters), %s (log)\n", s.beside_picture(".safetensors").c_str(),
                numbers.c_str());
    std::fflush(stdout);
    draw_log(log, bigram_bits, s, result);
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

    if (s.cell == "rnn") return train<nn::RNNCell<float>>(s, std::move(data));
    if (s.cell == "gru") return train<nn::GRUCell<float>>(s, std::move(data));
    return train<nn::LSTMCell<float>>(s, std::move(data));
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
