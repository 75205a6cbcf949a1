// What do the gates of an LSTM do? Trains a small character model, then reads text that it wasn't trained on and draws
// the forget, the input and the output gate of each unit under the symbols.
//
//     gates                              learns from the texts of Debian's package `fortunes`
//     gates --text book.txt --hidden 64 --steps 5000 --out gates.png
//     gates --start char_lm.safetensors --hidden 256 --embedding 64 --steps 0     what char_lm has learnt

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "examples/char_model.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "examples/gate_recording.hpp"
#include "examples/interrupt.hpp"
#include "examples/model_file.hpp"
#include "examples/progress.hpp"
#include "examples/recording_lstm.hpp"
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

using Model = CharModel<nn::LSTMCell<float>>;

const std::string default_text = "/usr/share/games/fortunes";

struct Settings {
    std::string text = default_text;
    std::size_t hidden = 40, embedding = 24;
    std::size_t batch = 32, window = 48;
    std::size_t steps = 5000;
    double learning_rate = 1e-2, clip = 1;
    std::uint64_t seed = 1;
    std::size_t length = 90, rows = 40;
    std::string picture = "gates.svg";
    std::string start;
};

constexpr std::size_t most_recorded = 1000;  ///< steps of each piece

// ---- training ----------------------------------------------------------------------------------------------------

void train(Model& model, nn::Windows<Symbol> windows, const Settings& s, const Interrupt& interrupt) {
    nn::Adam<float> adam(model);
    const nn::LinearLR falling{
        .learning_rate = s.learning_rate, .steps = s.steps, .start_factor = 1, .end_factor = 0.02};
    nn::Training training(model, adam,
                          {.steps = s.steps, .max_norm = s.clip, .learning_rate = falling, .stop = [&] {
                               return interrupt.requested();
                           }});
    Model::State carried;
    Progress progress({s.batch * s.window, "chars"});
    training.run([&](Tape<float>& tape) { return model.loss(tape, windows.next(), carried); }, {},
                 [&](const nn::TrainingState& now) {
                     progress.update(now.part, now.step,
                                     format("%.3f bits/char", now.smooth_loss / std::numbers::ln2));
                 });
}

// ---- recording ---------------------------------------------------------------------------------------------------

/// Reads the beginning of each text.
GateRecording record(const Model& model, const std::vector<std::vector<Symbol>>& texts) {
    constexpr std::size_t most_pieces = 16;
    GateRecording r{std::min(texts.size(), most_pieces), model.cell.hidden_size(), {}, {}};
    const std::size_t steps = std::min(texts[0].size() - 1, most_recorded);
    std::vector<Symbol> targets;
    for (std::size_t t = 0; t < steps; ++t) {
        for (std::size_t piece = 0; piece < r.pieces; ++piece) {
            r.symbols.push_back(texts[piece][t]);
            targets.push_back(texts[piece][t + 1]);
        }
    }
    Tape<float> tape;
    const NoRecording evaluation(tape);
    const RecordingLSTM<float> cell(model.cell);
    const auto states =
        nn::unroll_states(cell, model.embed(tape, xt::adapt(r.symbols, std::array{steps, r.pieces})));
    for (const auto& state : states) {
        for (const float gate : state.gates.value()) r.gates.push_back(gate);
    }
    const Var<float> scores = model.output(nn::stack_outputs(states));
    r.bits = nn::cross_entropy(scores, targets).item() / std::numbers::ln2;
    return r;
}

// ---- the report --------------------------------------------------------------------------------------------------

/// A symbol as it stands under the picture.
std::string tick(char byte) {
    switch (byte) {
        case ' ': return "␣";
        case '\n': return "↵";
        case '\t': return "⇥";
        default: break;
    }
    const auto c = static_cast<unsigned char>(byte);
    return c > ' ' && c < 0x7F ? std::string(1, byte) : "·";
}

/// Where the drawn sequence starts in the first piece: at the start of a line, after the model has read enough to
/// have something in its memory.
std::size_t first_drawn(const GateRecording& r, const Vocabulary& vocabulary, std::size_t length) {
    const std::size_t last = r.steps() - length, read_before = std::min<std::size_t>(200, last);
    for (std::size_t t = read_before; t < last; ++t) {
        if (t > 0 && vocabulary.byte(r.symbols[(t - 1) * r.pieces]) == '\n') return t;
    }
    return read_before;
}

/// A recording and the order in which its units are shown.
struct Findings {
    Findings(GateRecording recording, const Vocabulary& vocabulary)
        : r(std::move(recording)),
          kept(kept_per_step(r)),
          by_memory(r.hidden),
          place(r.hidden),
          special(specialists(r, vocabulary)) {
        for (const Gate gate : all_gates) use[gate] = use_of(r, gate);
        std::iota(by_memory.begin(), by_memory.end(), std::size_t{0});
        std::stable_sort(by_memory.begin(), by_memory.end(),
                         [&](std::size_t a, std::size_t b) { return kept[a] > kept[b]; });
        for (std::size_t k = 0; k < r.hidden; ++k) place[by_memory[k]] = k;
    }

    /// After so many steps half of what a unit holds is gone.
    double half_life(std::size_t unit) const { return std::abs(std::numbers::ln2 / std::log(kept[unit])); }

    GateRecording r;
    std::vector<double> kept;            ///< by a unit at each step, the geometric mean
    std::vector<std::size_t> by_memory;  ///< units, those that remember longest first
    std::vector<std::size_t> place;      ///< of a unit in that order
    std::vector<Specialist> special;
    std::array<GateUse, 3> use;
};

void print_figures(const Findings& found) {
    std::printf(
        "\n"
        "Each step of an LSTM forgets, writes and reads: c_t = f ⊙ c_{t-1} + i ⊙ g, h_t = o ⊙ tanh(c_t).\n"
        "A forget gate f at 0 erases what a unit holds and at 1 keeps it; an input gate i at 1 lets it be\n"
        "written to; an output gate o at 1 lets it be read.\n"
        "\n"
        "Over %zu symbols of the held-out part:\n"
        "%10s%10s%12s%12s\n",
        found.r.symbols.size(), "gate", "mean", "above 0.9", "below 0.1");
    for (const Gate gate : all_gates) {
        const GateUse& use = found.use[gate];
        std::printf("%10s%10.3f%11.1f%%%11.1f%%\n", gate_names[gate], use.mean, 100 * use.open,
                    100 * use.closed);
    }

    const std::size_t H = found.r.hidden;
    std::printf("\nUnits by memory, the longest and the shortest:\n");
    for (std::size_t k = 0; k < H; ++k) {
        if (k >= 3 && k + 3 < H) continue;
        const std::size_t unit = found.by_memory[k];
        std::printf("%4zu. unit %-4zu keeps %.3g at each step, half after %.3g steps\n", k, unit,
                    found.kept[unit], found.half_life(unit));
    }

    std::printf("\nGates that tell symbols apart (and how much of the gate's variance that is):\n");
    for (std::size_t k = 0; k < std::min<std::size_t>(8, found.special.size()); ++k) {
        const Specialist& one = found.special[k];
        std::printf("%4zu. unit %-4zu %-6s gate %.2f at %s, %.2f elsewhere (%.0f%%)\n", found.place[one.unit],
                    one.unit, gate_names[one.gate], one.inside, one.symbols.c_str(), one.outside,
                    100 * one.explained);
    }
}

std::string caption(const Findings& found, const Settings& s, const std::string& trained) {
    const GateUse& forget = found.use[forget_gate];
    std::string text =
        trained +
        format(
            " Rows are units, the same in each picture, those that remember longest at the top: half of "
            "what the first holds is gone after %.3g steps, of the last after %.2g. ",
            found.half_life(found.by_memory.front()), found.half_life(found.by_memory.back())) +
        format("Forget gates are %.2f on average, above 0.9 in %.0f%% of all cases and below 0.1 in %.0f%%. ",
               forget.mean, 100 * forget.open, 100 * forget.closed);
    if (s.rows < found.r.hidden) text += format("Of %zu units %zu are drawn. ", found.r.hidden, s.rows);
    text +=
        "Look for columns, symbols at which many units change at once, and for rows that change at one kind "
        "of symbol. ";
    if (!found.special.empty()) {
        const Specialist& one = found.special.front();
        text += format(
            "Unit %zu (number %zu by memory) shows best what it reads: its %s gate is %.2f at %s and %.2f "
            "elsewhere.",
            one.unit, found.place[one.unit], gate_names[one.gate], one.inside, one.symbols.c_str(),
            one.outside);
    }
    return text +
           "\n"
           "That gates keep what tells most about the target (maximise mutual information) is a view of "
           "them, not a theorem, and nothing here tests it.";
}

void report(const Findings& found, const Vocabulary& vocabulary, const Settings& s,
            const std::string& trained) {
    const GateRecording& r = found.r;
    print_figures(found);

    const std::size_t begin = first_drawn(r, vocabulary, s.length), end = begin + s.length;
    HeatMaps maps{format("The gates of an LSTM with %zu units while it reads", r.hidden),
                  caption(found, s, trained),
                  "symbol read (␣ space, ⇥ tab, ↵ line end, · other)",
                  {},
                  {}};
    std::vector<Column> numbers{{"t", {}}, {"byte", {}}};
    for (std::size_t t = begin; t < end; ++t) {
        const char byte = vocabulary.byte(r.symbols[t * r.pieces]);
        maps.ticks.push_back(tick(byte));
        numbers[0].values.push_back(static_cast<double>(t));
        numbers[1].values.push_back(static_cast<double>(static_cast<unsigned char>(byte)));
    }
    const std::size_t rows = std::min(s.rows, r.hidden);
    constexpr const char* titles[] = {"Input gate: writes where it is 1",
                                      "Forget gate: keeps where it is 1, erases where it is 0",
                                      "Output gate: reads where it is 1"};
    for (const Gate gate : all_gates) {
        maps.maps.push_back({titles[gate], "units, longest memory first", {}});
        for (std::size_t k = 0; k < r.hidden; ++k) {
            const std::size_t unit = found.by_memory[k];
            std::vector<double> values;
            for (std::size_t t = begin; t < end; ++t) values.push_back(r(gate, unit, t, 0));
            const bool drawn = k * rows / r.hidden != (k + 1) * rows / r.hidden;  // evenly, if not all are
            if (drawn) maps.maps.back().rows.push_back(values);
            numbers.push_back({format("%s %zu", gate_names[gate], unit), std::move(values)});
        }
    }

    std::printf("\n");
    for (const std::string& line : wrapped(maps.caption, 100)) std::printf("%s\n", line.c_str());
    const fs::path table = fs::path(s.picture).replace_extension(".csv");
    save_csv(table, numbers);
    std::printf("\nnumbers: %s (each gate by unit; byte: the code of the symbol read)\n", table.c_str());
    std::fflush(stdout);
    draw(maps, s.picture);
    std::printf("picture: %s\n", s.picture.c_str());
}

Model new_or_saved(const Settings& s, const Vocabulary& vocabulary) {
    nn::Engine engine(s.seed);
    if (s.start.empty()) return Model(vocabulary.size(), s.embedding, s.hidden, engine);
    const ModelFile file(s.start);
    if (file.cell() != "lstm")
        throw std::runtime_error(s.start + " holds no LSTM, but the cell " + file.cell());
    if (file.characters() != vocabulary.bytes())
        throw std::runtime_error(s.start + " was learnt from another text than " + s.text +
                                 ": other characters occur in it");
    Model model(vocabulary.size(), file.columns("embedding"), file.columns("output.weight"), engine);
    file.load(model);
    return model;
}

int train_and_report(const Settings& s) {
    check_picture(s.picture);
    if (s.text == default_text && !fs::exists(s.text)) {
        throw std::runtime_error(default_text +
                                 " is not there: apt install fortunes, or give a text with --text");
    }
    const Corpus corpus = hold_out(read_text(s.text));
    const Vocabulary vocabulary(corpus.train);
    std::vector<std::vector<Symbol>> held_out;
    for (const std::string& piece : corpus.held_out) held_out.push_back(vocabulary.symbols(piece));
    if (held_out[0].size() <= s.length) {
        throw std::invalid_argument("--length " + std::to_string(s.length) + " is more than the " +
                                    std::to_string(held_out[0].size() - 1) +
                                    " symbols of a held-out piece of this text: give a shorter one");
    }

    Model model = new_or_saved(s, vocabulary);
    std::printf("text:  %s, %zu bytes to learn from\nmodel: LSTM, %zu hidden units, %zu parameters\n",
                printable(s.text).c_str(), corpus.train.size(), model.cell.hidden_size(),
                nn::parameter_count(model));
    const double before = record(model, held_out).bits;
    const Interrupt interrupt;
    train(model, nn::Windows(vocabulary.symbols(corpus.train), {s.batch, s.window, s.seed}), s, interrupt);
    const Findings found(record(model, held_out), vocabulary);
    const std::string trained =
        format("Held-out part: %.2f bits/char before training, %.2f after.", before, found.r.bits);
    std::printf("%s%s\n", interrupt.requested() ? "Interrupted. " : "", trained.c_str());
    report(found, vocabulary, s, trained);
    return interrupt.exit_code();
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Trains a small LSTM on text and draws its forget, input and output gates while it reads. Ctrl-C "
        "ends the training and draws what was learnt so far (exit code 130).",
        "gates");
    app.option_defaults()->always_capture_default();
    app.add_option("--text", s.text, "a file of text, or a directory of them");
    app.add_option("-H,--hidden", s.hidden, "hidden units")->check(CLI::Range(2, 4096));
    app.add_option("-D,--embedding", s.embedding, "numbers that stand for a byte")
        ->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", s.batch, "streams that are read at once")->check(CLI::Range(1, 16384));
    app.add_option("-T,--window", s.window, "steps that a gradient goes back")->check(CLI::Range(1, 16384));
    app.add_option("--steps", s.steps, "training steps, one window each");
    app.add_option("--lr", s.learning_rate, "learning rate of Adam at its highest")
        ->check(examples::positive);
    app.add_option("--clip", s.clip, "largest norm of the gradient")->check(examples::positive);
    app.add_option("--seed", s.seed, "of weights and windows");
    app.add_option("--length", s.length, "symbols to draw")->check(CLI::Range(2, 500));
    app.add_option("--rows", s.rows, "units to draw at most; the CSV has all")->check(CLI::Range(2, 500));
    app.add_option("--start", s.start,
                   "begin with a model that char_lm saved, of its sizes, for the same text")
        ->check(CLI::ExistingFile);
    app.add_option("-o,--out", s.picture, "picture, .svg or .png; the numbers go beside it as .csv");
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return train_and_report(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
