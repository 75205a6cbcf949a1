// Which language is a word of? A network reads it from both ends, letter by letter, and says it after the last one. Words
// differ in length; a batch of them is packed, so that no step is done for letters that aren't there.
//
//     word_language                              English, German, French and Italian, from Debian's word lists
//     word_language --list polish=words.txt --list czech=others.txt --ask kosciol

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/chart.hpp"
#include "examples/format.hpp"
#include "examples/training.hpp"
#include "examples/word_lists.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;
namespace fs = std::filesystem;

struct DebianList {
    const char *language, *file, *package;
};
constexpr DebianList debian_lists[] = {{"english", "/usr/share/dict/american-english", "wamerican"},
                                       {"german", "/usr/share/dict/ngerman", "wngerman"},
                                       {"french", "/usr/share/dict/french", "wfrench"},
                                       {"italian", "/usr/share/dict/italian", "witalian"}};

struct Settings {
    TrainingOptions training{.hidden = 64,
                             .batch = 64,
                             .steps = 4000,
                             .learning_rate = 5e-3,
                             .anneal = true,
                             .steps_between_tests = 100,
                             .picture = "word_language.svg"};
    std::vector<std::string> lists, asked{"kindergarten", "croissant", "spaghetti", "weekend"};
    std::size_t words = 20000;
    std::string cell = "lstm";
};

/// Words as symbols, packed.
struct Batch {
    explicit Batch(std::span<const LabelledWord> words) {
        std::vector<std::size_t> lengths;
        for (const auto& [word, language] : words) {
            lengths.push_back(word.size());
            languages.push_back(language);
        }
        layout = std::make_shared<const nn::PackedLayout>(lengths);
        symbols.resize(layout->size());
        for (std::size_t b = 0; b < words.size(); ++b)
            for (std::size_t t = 0; t < lengths[b]; ++t)
                symbols[layout->row(t, b)] = letter(words[b].word[t]);
    }
    std::shared_ptr<const nn::PackedLayout> layout;
    std::vector<Symbol> symbols;  // in the order of the layout
    std::vector<std::int32_t> languages;
};

template <class Layer>
struct Classifier {
    Classifier(std::size_t hidden, std::size_t languages, nn::Engine& engine)
        : embedding(Shape{letters, embedding_size}, "embedding"),
          layer(embedding_size, hidden, engine, {.bidirectional = true}),
          output(2 * hidden, languages, engine) {
        nn::normal(embedding, 1, engine);
    }

    /// Scores (B, languages), from the states after the last letter and, backwards, after the first one.
    Var<float> operator()(Tape<float>& tape, const Batch& batch) const {
        const nn::PackedSequence<float> xs{take(tape.watch(embedding), batch.symbols), batch.layout};
        const Var<float> h = nn::output_of(layer(xs).state);  // (2, B, H)
        return output(xtape::concatenate({h[0], h[1]}, 1));
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("layer", layer);
        f("output", output);
    }

    static constexpr std::size_t embedding_size = 16;
    Parameter<float> embedding;
    Layer layer;
    nn::Linear<float> output;
};

/// P(language | word), (B, languages).
template <class Layer>
xt::xtensor<float, 2> probabilities(const Classifier<Layer>& model, Tape<float>& tape, const Batch& batch) {
    tape.clear();
    const NoRecording evaluation(tape);
    return softmax(model(tape, batch)).value();
}

std::int32_t told(const xt::xtensor<float, 2>& p, std::size_t row) {
    return static_cast<std::int32_t>(most_probable(p.shape(1), [&](std::size_t k) { return p(row, k); }));
}

/// 100 · the part of the answers that is right.
template <class Answer>
double accuracy(const std::vector<LabelledWord>& words, Answer&& answer) {
    std::size_t right = 0;
    for (std::size_t b = 0; b < words.size(); ++b) right += answer(b) == words[b].language;
    return 100 * static_cast<double>(right) / static_cast<double>(words.size());
}

template <class Layer>
int learn_and_report(const Settings& s, const std::vector<WordList>& lists, std::string name) {
    const auto [training, test] = label_words(lists, s.words, s.training.seed);
    std::printf(
        "words of a to z that are in one list only, as many of each: %zu to learn from, %zu held out\n",
        training.size(), test.size());
    const BigramClassifier bigrams(training, lists.size());
    const double by_bigrams =
        accuracy(test, [&, &words = test](std::size_t b) { return bigrams(words[b].word); });
    const double majority = 100.0 / static_cast<double>(lists.size());
    std::printf("right by always saying the same: %.1f %%, by counting pairs of letters: %.1f %%\n", majority,
                by_bigrams);

    nn::Engine engine(s.training.seed);
    Classifier<Layer> model(s.training.hidden, lists.size(), engine);
    const Batch test_batch(test);
    nn::Batches batches(training.size(), {.size = s.training.batch, .seed = s.training.seed});
    Learning learning(s.training,
                      {.title = "Which language is a word of?",
                       .test = "% of the held-out words told right",
                       .legend = Corner::bottom_right,
                       .levels = {{"pairs of letters, counted", by_bigrams}, {"always the same", majority}},
                       .samples = "words"});
    const LearningCurve& curve = learning.train(
        name, model,
        [&, &words = training](Tape<float>& tape) {
            const Batch batch(nn::batch_of(words, batches.next()));
            return nn::cross_entropy(model(tape, batch), batch.languages);
        },
        [&, &words = test](Tape<float>& tape) {
            const xt::xtensor<float, 2> p = probabilities(model, tape, test_batch);
            return accuracy(words, [&](std::size_t b) { return told(p, b); });
        });
    std::printf("%s, from both ends: %.1f %% right after %zu steps in %.1f s\n", name.c_str(), curve.test(),
                curve.steps(), curve.seconds());

    Tape<float> tape;
    const xt::xtensor<float, 2> p = probabilities(model, tape, test_batch);
    std::vector<std::vector<std::size_t>> counts(lists.size(), std::vector<std::size_t>(lists.size()));
    for (std::size_t b = 0; b < test.size(); ++b)
        ++counts[static_cast<std::size_t>(test[b].language)][static_cast<std::size_t>(told(p, b))];
    std::printf("\n%-12s taken for\n%12s", "a word of", "");
    for (const WordList& list : lists) std::printf(" %10s", list.language.c_str());
    std::printf("\n");
    for (std::size_t k = 0; k < lists.size(); ++k) {
        std::printf("%12s", lists[k].language.c_str());
        for (const std::size_t count : counts[k]) std::printf(" %10zu", count);
        std::printf("\n");
    }
    if (!s.asked.empty()) {
        std::vector<LabelledWord> asked;
        for (const std::string& word : s.asked) asked.push_back({word, 0});
        const xt::xtensor<float, 2> answers = probabilities(model, tape, Batch(asked));
        std::printf("\n%12s", "is a word of");
        for (const WordList& list : lists) std::printf(" %10s", list.language.c_str());
        std::printf("\n");
        for (std::size_t b = 0; b < asked.size(); ++b) {
            std::printf("%12s", asked[b].word.c_str());
            for (std::size_t k = 0; k < lists.size(); ++k)
                std::printf(" %8.1f %%", 100 * static_cast<double>(answers(b, k)));
            std::printf("\n");
        }
    }
    std::printf("\n");

    return learning.report(format(
        "%zu languages. After %zu training steps of %zu words the network is right in %.1f %% of the words "
        "that are held out, counting pairs of letters in %.1f %%.",
        lists.size(), curve.steps(), s.training.batch, curve.test(), by_bigrams));
}

std::vector<WordList> read_lists(const Settings& s) {
    std::vector<WordList> lists;
    if (s.lists.empty()) {
        for (const auto& [language, file, package] : debian_lists) {
            if (!fs::exists(file)) {
                throw std::runtime_error(std::string(file) + " is not there: apt install " + package +
                                         ", or give word lists with --list");
            }
            lists.push_back(read_words(language, file));
        }
        return lists;
    }
    for (const std::string& list : s.lists) {
        const std::size_t at = list.find('=');
        if (at == std::string::npos || at == 0)
            throw std::runtime_error("--list " + list + ": expected language=file");
        lists.push_back(read_words(list.substr(0, at), list.substr(at + 1)));
    }
    if (lists.size() < 2) throw std::runtime_error("one list of words: expected at least two to tell apart");
    return lists;
}

int read_and_learn(const Settings& s) {
    check_picture(s.training.picture);
    for (const std::string& word : s.asked) {
        if (word.empty() || word.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string::npos)
            throw std::runtime_error("--ask '" + word + "': expected letters from a to z");
    }
    const std::vector<WordList> lists = read_lists(s);
    const std::string name = upper(s.cell);
    if (s.cell == "rnn") return learn_and_report<nn::RNN<float>>(s, lists, name);
    if (s.cell == "gru") return learn_and_report<nn::GRU<float>>(s, lists, name);
    return learn_and_report<nn::LSTM<float>>(s, lists, name);
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Tells the language of a word that it has never seen, reading it from both ends; beside always "
        "saying the same, and beside counting pairs of letters. By default with Debian's packages "
        "wamerican, wngerman, wfrench and witalian. Ctrl-C ends the training and saves the curve.",
        "word_language");
    app.option_defaults()->always_capture_default();
    app.add_option("--list", s.lists, "language=file, of words one a line; once for each language");
    app.add_option("--words", s.words, "words of each language at most")->check(CLI::Range(10, 10000000));
    app.add_option("--ask", s.asked, "words to be told about in the end");
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return read_and_learn(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
