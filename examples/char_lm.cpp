// A character model: an LSTM (or a GRU, or a plain RNN) reads text byte by byte and learns to say what comes next,
// by truncated backpropagation through time.
//
//     char_lm                            learns from the texts of Debian's package `fortunes`
//     char_lm --text book.txt --cell gru --hidden 512 --steps 10000 --minutes 0
//     char_lm --resume char_lm.run.safetensors                     goes on with a run that was interrupted, or killed
//     char_lm --from char_lm.safetensors --temperature 0.5         writes without learning

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <numbers>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "examples/bigram.hpp"
#include "examples/char_model.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "examples/interrupt.hpp"
#include "examples/model_file.hpp"
#include "examples/progress.hpp"
#include "examples/sampling.hpp"
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
    std::string resume, from;

    fs::path beside_picture(const char* suffix) const { return fs::path(picture).replace_extension(suffix); }
    /// Of all that is needed to go on.
    std::string run_file() const {
        return resume.empty() ? beside_picture(".run.safetensors").string() : resume;
    }

    /// What a run is made of.
    template <class F>
    void visit(F&& f) {
        f("text", text);
        f("cell", cell);
        f("hidden", hidden);
        f("embedding", embedding);
        f("batch", batch);
        f("window", window);
        f("steps", steps);
        f("minutes", minutes);
        f("learning_rate", learning_rate);
        f("clip", clip);
        f("seed", seed);
        f("picture", picture);
    }
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

/// What the model writes after `prime`, one symbol at a time.
template <class Cell>
std::string write_sample(const CharModel<Cell>& model, Tape<float>& tape, const Vocabulary& vocabulary,
                         const Settings& s, const Interrupt& interrupt) {
    constexpr std::size_t first = 1;  // 0 are bytes that the training part doesn't hold
    std::mt19937_64 random(s.seed);
    typename CharModel<Cell>::State carried;
    std::vector<Symbol> next = vocabulary.symbols(s.prime.empty() ? "\n" : s.prime);
    std::string text = s.prime;
    while (text.size() < s.prime.size() + s.sample && !interrupt.requested()) {
        tape.clear();
        const NoRecording evaluation(tape);
        const Var<float> scores =
            model(tape, xt::adapt(next, std::array{next.size(), std::size_t{1}}), carried)[-1][0];  // (V)
        const auto values = scores.value();
        next = {draw({values.data(), values.size()}, s.temperature, random, first)};
        text += vocabulary.byte(next[0]);
    }
    return text;
}

int write_only(const Settings& s) {
    const ModelFile file(s.from);
    const Vocabulary vocabulary(file.characters());
    return with_cell(file.cell(), [&]<class Cell>(std::type_identity<Cell>) {
        nn::Engine engine(0);
        CharModel<Cell> model(vocabulary.size(), file.columns("embedding"), file.columns("output.weight"),
                              engine);
        file.load(model);
        Tape<float> tape;
        const Interrupt interrupt;
        std::printf("%s\n", printable(write_sample(model, tape, vocabulary, s, interrupt), true).c_str());
        return interrupt.exit_code();
    });
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
    std::uint64_t fingerprint;  ///< of the text
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
    std::printf("model: %s, %zu hidden units, %zu parameters; batch %zu, windows of %zu\n", s.cell.c_str(),
                s.hidden, nn::parameter_count(model), s.batch, s.window);

    nn::Adam<float> adam(model);
    const Interrupt interrupt;
    typename CharModel<Cell>::State carried;
    Settings to_record = s;
    to_record.text = fs::absolute(s.text);  // a run may be gone on with from elsewhere
    Settings recorded = to_record;
    nn::Training training(model, adam,
                          {.steps = s.steps,
                           .seconds = s.minutes > 0 ? 60 * s.minutes : INFINITY,
                           .max_norm = s.clip,
                           .validate = {.parts = 10},
                           .record = {.parts = 100},
                           .stop = [&] { return interrupt.requested(); },
                           .checkpoint = s.run_file(),
                           .save = {.parts = 20, .seconds = 60}},
                          [&](auto& f) {
                              f("settings", recorded);
                              f("fingerprint", data.fingerprint);
                              f("windows", windows);
                              f("carried", carried);
                          });
    const fs::path parameters = s.beside_picture(".safetensors"), numbers = s.beside_picture(".csv");
    CsvLog log(numbers, {"step", "seconds", "train bits/char", "held-out bits/char", "bigram bits/char"});
    const auto log_point = [&](const nn::LossCurve& curve, std::size_t k) {
        log.add({curve.step[k], curve.seconds[k], curve.training[k] / bit, curve.validation[k], bigram_bits});
    };
    Progress progress({s.batch * s.window, "chars"});
    if (!s.resume.empty()) {
        training.resume();
        recorded = to_record;  // of which some may be new
        const nn::TrainingState& at = training.state();
        std::printf("goes on after step %zu, %.3f bits/char\n", at.step, at.smooth_loss / bit);
        for (std::size_t k = 0; k < at.curve.step.size(); ++k) log_point(at.curve, k);
        progress.resume(at.part, at.step);
        if (at.part >= 1) std::printf("it is at its end: --steps and --minutes say how long a run is\n");
    }
    training.run([&](Tape<float>& tape) { return model.loss(tape, windows.next(), carried); },
                 [&](Tape<float>& tape) { return bits_per_symbol(model, tape, data.held_out); },
                 [&](const nn::TrainingState& now) {
                     adam.set_learning_rate(learning_rate(s, now.part));
                     progress.update(now.part, now.step, format("%.3f bits/char", now.smooth_loss / bit));
                     if (now.has_new_point) log_point(now.curve, now.curve.step.size() - 1);
                     if (!now.has_new_validation()) return;
                     if (now.step == 0) {
                         progress.note(format(
                             "held-out part: %.3f bits/char before training; a bigram model needs %.3f",
                             now.validation, bigram_bits));
                     } else {
                         progress.note(
                             format("step %zu      held-out part: %.3f bits/char", now.step, now.validation));
                         save_model(parameters, s.cell, data.vocabulary.bytes(), model);
                     }
                 });
    progress.finish();
    save_model(parameters, s.cell, data.vocabulary.bytes(), model);

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
    std::printf("saved: %s (model), %s (to go on from), %s (log)\n", parameters.c_str(), s.run_file().c_str(),
                numbers.c_str());
    std::fflush(stdout);
    draw_curve(curve, bigram_bits, s, result);
    std::printf("       %s (picture)\n", s.picture.c_str());
    return interrupt.exit_code();
}

template <class Number>
Number number(const nn::SafetensorsFile& file, const std::string& name) {
    const nn::TensorEntry& entry = file.get(name);
    if (entry.shape.size() != 0) throw nn::FileError("char_lm", file.name(), name + " isn't a number");
    Number number = 0;
    file.read(entry, &number);
    return number;
}

/// FNV-1a, which tells one text from another.
std::uint64_t fingerprint_of(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

int read_and_train(const Settings& s) {
    check_picture(s.picture);
    if (s.text == default_text && !fs::exists(s.text)) {
        throw std::runtime_error(default_text +
                                 " is not there: apt install fortunes, or give a text with --text");
    }
    const std::string text = read_text(s.text);
    const Corpus corpus = hold_out(text);
    Data data{Vocabulary(corpus.train), fingerprint_of(text), {}, {}};
    data.train = data.vocabulary.symbols(corpus.train);
    for (const std::string& piece : corpus.held_out) data.held_out.push_back(data.vocabulary.symbols(piece));
    if (!s.resume.empty() &&
        number<std::uint64_t>(nn::SafetensorsFile(s.resume), "fingerprint") != data.fingerprint)
        throw std::runtime_error(s.resume + " is a run on another text than " + s.text + " is now");

    return with_cell(s.cell,
                     [&]<class Cell>(std::type_identity<Cell>) { return train<Cell>(s, std::move(data)); });
}

/// Of the run in a file, but for what `given` says.
template <class Given>
Settings settings_of_run(const Settings& now, Given&& given) {
    const nn::SafetensorsFile file(now.resume);
    if (file.find("settings.text") == nullptr)
        throw std::runtime_error(now.resume +
                                 " is no run that can be gone on with: expected a .run.safetensors");
    Settings s = now;
    s.visit([&]<class Value>(const char* name, Value& value) {
        if (given(name)) return;
        const std::string entry = "settings." + std::string(name);
        if constexpr (std::is_same_v<Value, std::string>) {
            value = text_in(file, entry);
        } else {
            value = number<Value>(file, entry);
        }
    });
    check_cell("char_lm", s.resume, s.cell);
    return s;
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Learns to predict the next character of a text, reports bits per character on a part that is held "
        "out (beside what a bigram model needs), and writes a sample. Ctrl-C ends the training and saves "
        "what was done so far (exit code 130); a second one ends the program at once. A run can be gone on "
        "with, and then does what it would have done.",
        "char_lm");
    app.option_defaults()->always_capture_default();
    app.add_option("--text", s.text, "a file of text, or a directory of them");
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("-H,--hidden", s.hidden, "hidden units")->check(CLI::Range(1, 16384));
    app.add_option("-D,--embedding", s.embedding, "numbers that stand for a byte")
        ->check(CLI::Range(1, 16384));
    app.add_option("-B,--batch", s.batch, "streams that are read at once")->check(CLI::Range(1, 16384));
    app.add_option("-T,--window", s.window, "steps that a gradient goes back")->check(CLI::Range(1, 16384));
    app.add_option("--steps", s.steps, "training steps at most, one window each");
    app.add_option("--minutes", s.minutes,
                   "ends earlier after this time (and then a run cannot be repeated exactly); 0: never")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--lr", s.learning_rate, "learning rate of Adam at its highest")
        ->check(examples::positive);
    app.add_option("--clip", s.clip, "largest norm of the gradient")->check(examples::positive);
    app.add_option("--seed", s.seed, "of weights, windows and sample");
    app.add_option("--sample", s.sample, "bytes to write after training");
    app.add_option("--temperature", s.temperature, "of the sample: lower is more careful")
        ->check(examples::positive);
    app.add_option("--prime", s.prime, "what the sample goes on from; by default a new line");
    app.add_option("-o,--out", s.picture,
                   "picture of the learning curve, .svg or .png; beside it the log goes as .csv, the model "
                   "as .safetensors, "
                   "and what is needed to go on as .run.safetensors");
    CLI::Option* const resume =
        app.add_option("--resume", s.resume,
                       "go on with a run: its .run.safetensors. The text has to be the same")
            ->check(CLI::ExistingFile);
    for (const char* name : {"--cell", "-H", "-D", "-B", "-T", "--lr", "--clip", "--seed"})
        resume->excludes(app.get_option(name));
    app.add_option("--from", s.from, "only write, with a model that was saved")
        ->check(CLI::ExistingFile)
        ->excludes(resume);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    if (!s.from.empty()) return write_only(s);
    if (s.resume.empty()) return read_and_train(s);
    return read_and_train(settings_of_run(s, [&](const std::string& name) {
        return app.count("--" + (name == "picture" ? "out" : name == "learning_rate" ? "lr" : name)) > 0;
    }));
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
