// Names that nobody has: a GRU reads the names of a list letter by letter, learns to say what comes next, and then writes
// new ones.
//
//     names                                       learns from the names in Debian's word list of American English
//     names --keep words --temperature 0.6        words, and more careful ones
//     names --from names.safetensors --beginning Mar --count 50

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/bigram.hpp"
#include "examples/chart.hpp"
#include "examples/format.hpp"
#include "examples/model_file.hpp"
#include "examples/name_list.hpp"
#include "examples/name_model.hpp"
#include "examples/training.hpp"
#include "examples/utf8.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::Tape;
namespace nn = xtape::nn;
namespace fs = std::filesystem;

const std::string default_list = "/usr/share/dict/american-english";

struct Settings {
    TrainingOptions training{.hidden = 128,
                             .batch = 64,
                             .steps = 1500,
                             .learning_rate = 5e-3,
                             .weight_decay = 0,
                             .anneal = true,
                             .steps_between_tests = 50,
                             .picture = "names.svg"};
    std::string list = default_list;
    Keep keep = Keep::names;
    std::string cell = "gru";
    std::string from;
    std::size_t count = 24;
    double temperature = 0.8;
    std::string beginning;
};

constexpr std::size_t embedding_size = 32, longest_name = 24;

/// A tenth of the names, at random, is held out.
struct Names {
    Names(std::vector<std::string> all, std::uint64_t seed) : alphabet(all), known(all.begin(), all.end()) {
        std::mt19937_64 random(seed);
        std::shuffle(all.begin(), all.end(), random);
        const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 10);
        held_out.assign(all.begin(), middle);
        training.assign(middle, all.end());
    }
    Alphabet alphabet;
    std::set<std::string> known;
    std::vector<std::string> training, held_out;
};

/// Bits per character of the names that are held out, ends included, by counting pairs.
double bigram_bits(const Names& names) {
    std::vector<Symbol> text{0};
    for (const std::string& name : names.training) {
        for (const Symbol symbol : names.alphabet.symbols(name)) text.push_back(symbol);
        text.push_back(0);
    }
    std::vector<std::vector<Symbol>> pieces;
    for (const std::string& name : names.held_out) pieces.push_back(names.alphabet.symbols_and_ends(name));
    return Bigram(text, names.alphabet.size()).bits(pieces);
}

/// Writes names in columns; those that are in the list are marked.
template <class Cell>
void print_names(const NameModel<Cell>& model, const Alphabet& alphabet, const Settings& s,
                 const std::set<std::string>& known) {
    std::mt19937_64 random(s.training.seed);
    const auto written =
        write_names(model, alphabet, s.beginning, s.count, s.temperature, longest_name, random);
    std::size_t in_list = 0;
    for (std::size_t k = 0; k < written.size(); ++k) {
        const bool is_known = known.contains(written[k]);
        in_list += is_known;
        const std::string text = printable(written[k]) + (is_known ? "*" : "");
        const std::size_t width = characters(text);
        std::printf("%s%s", text.c_str(), std::string(width < 18 ? 18 - width : 1, ' ').c_str());
        if (k % 4 == 3 || k + 1 == written.size()) std::printf("\n");
    }
    if (in_list > 0) std::printf("(* %zu of %zu are in the list)\n", in_list, written.size());
}

template <class Cell>
int learn_and_write(const Settings& s, Names names) {
    const double by_bigrams = bigram_bits(names);
    std::printf(
        "%s: %zu names to learn from, %zu held out, %zu characters; pairs of letters, counted: %.3f "
        "bits per character\n",
        printable(s.list).c_str(), names.training.size(), names.held_out.size(), names.alphabet.size() - 1,
        by_bigrams);
    nn::Engine engine(s.training.seed);
    NameModel<Cell> model(names.alphabet.size(), embedding_size, s.training.hidden, engine);
    const NameBatch held_out(names.alphabet, names.held_out);
    nn::Batches batches(names.training.size(), {.size = s.training.batch, .seed = s.training.seed});
    Learning learning(s.training, {.title = "Learning to write names",
                                   .test = "bits per character of the names held out",
                                   .test_is_loss = true,
                                   .levels = {{"pairs of letters, counted", by_bigrams}},
                                   .samples = "names"});
    const LearningCurve& curve = learning.train(
        upper(s.cell), model,
        [&](Tape<float>& tape) {
            return model.bits(tape, NameBatch(names.alphabet, nn::batch_of(names.training, batches.next())));
        },
        [&](Tape<float>& tape) { return model.bits(tape, held_out).item(); });
    std::printf("%s: %.3f bits per character of the names held out after %zu steps in %.1f s\n\n",
                curve.name.c_str(), curve.test(), curve.steps(), curve.seconds());
    print_names(model, names.alphabet, s, names.known);

    const fs::path file = fs::path(s.training.picture).replace_extension(".safetensors");
    save_model(file, s.cell, names.alphabet.text(), model);
    std::printf("\nmodel: %s\n", file.c_str());
    return learning.report(format(
        "%zu names to learn from. After %zu training steps of %zu names the network needs %.2f bits for a "
        "character of a name that it has never seen, counting pairs of letters %.2f.",
        names.training.size(), curve.steps(), s.training.batch, curve.test(), by_bigrams));
}

int write_only(const Settings& s) {
    const ModelFile file(s.from);
    const Alphabet alphabet(file.characters());
    return with_cell(file.cell(), [&]<class Cell>(std::type_identity<Cell>) {
        nn::Engine engine(0);
        NameModel<Cell> model(alphabet.size(), file.columns("embedding.weight"),
                              file.columns("output.weight"), engine);
        file.load(model);
        print_names(model, alphabet, s, {});
        return 0;
    });
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Learns to write names from a list of them, reports bits per character of names that are held out, "
        "beside counting pairs of letters, and writes new names. By default from Debian's package wamerican. "
        "Ctrl-C ends the training and saves what was learned so far.",
        "names");
    app.option_defaults()->always_capture_default();
    app.add_option("--list", s.list, "a file of names or words, one a line");
    const std::map<std::string, Keep> kinds{
        {"names", Keep::names}, {"words", Keep::words}, {"all", Keep::all}};
    app.add_option("--keep", s.keep, "lines that count: names (with a capital), words (without) or all")
        ->transform(CLI::CheckedTransformer(kinds));
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("--from", s.from, "only write, with a model that was saved: no training")
        ->check(CLI::ExistingFile);
    app.add_option("--count", s.count, "names to write")->check(CLI::Range(0, 100000));
    app.add_option("--temperature", s.temperature, "lower is more careful")->check(examples::positive);
    app.add_option("--beginning", s.beginning, "what the names begin with");
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    if (!s.from.empty()) return write_only(s);

    if (s.list == default_list && !fs::exists(s.list))
        throw std::runtime_error(default_list +
                                 " is not there: apt install wamerican, or give a list with --list");
    Names names(read_names(s.list, s.keep), s.training.seed);
    names.alphabet.symbols(s.beginning);  // or throws, before hours of computing
    return with_cell(s.cell, [&]<class Cell>(std::type_identity<Cell>) {
        return learn_and_write<Cell>(s, std::move(names));
    });
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
