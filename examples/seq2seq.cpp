// From sequence to sequence: one network reads a string of digits, another writes an answer from the state that the first
// was left in. While it learns it is told each character of the right answer before it says the next; afterwards it goes
// on from what it said itself.
//
//     seq2seq                                adds numbers of up to three digits
//     seq2seq --task reverse --digits 6      writes digits backwards

#include <algorithm>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/chart.hpp"
#include "examples/digit_strings.hpp"
#include "examples/format.hpp"
#include "examples/training.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

struct Settings {
    TrainingOptions training{.hidden = 128,
                             .batch = 64,
                             .steps = 6000,
                             .learning_rate = 5e-3,
                             .anneal = true,
                             .steps_between_tests = 100,
                             .picture = "seq2seq.svg"};
    std::string task = "add", cell = "lstm";
    std::size_t digits = 3, examples = 8;
};

/// Strings to read and strings to write, and what the writer is told before each character: the one before it, and a
/// full stop in front of the first.
struct Batch {
    explicit Batch(const std::vector<Translation>& pairs) {
        std::vector<std::string> read, written, told;
        for (const Translation& pair : pairs) {
            read.push_back(pair.reads);
            written.push_back(pair.writes);
            told.push_back("." + pair.writes.substr(0, pair.writes.size() - 1));
        }
        reads = digit_symbols(read);
        writes = digit_symbols(written);
        tells = digit_symbols(told);
    }
    xt::xtensor<std::int32_t, 2> reads, writes, tells;  // (T, B)
};

/// Cho et al. (2014), Sutskever, Vinyals & Le (2014).
template <class Cell>
struct Translator {
    Translator(std::size_t hidden, nn::Engine& engine)
        : embedding(Shape{digit_alphabet.size(), embedding_size}, "embedding"),
          encoder(embedding_size, hidden, engine),
          decoder(embedding_size, hidden, engine),
          output(hidden, digit_alphabet.size(), engine) {
        nn::normal(embedding, 1, engine);
    }

    /// Cross-entropy of the answers, each character from the right ones before it (teacher forcing).
    Var<float> loss(Tape<float>& tape, const Batch& batch) const {
        const Var<float> symbols = tape.watch(embedding);
        const auto read = nn::unroll_states(encoder, take(symbols, batch.reads)).back();
        return nn::cross_entropy(output(nn::unroll(decoder, take(symbols, batch.tells), read).outputs),
                                 batch.writes);
    }

    /// Answers of `length` characters, each the most probable one after what was written before it.
    std::vector<std::string> write(Tape<float>& tape, const Batch& batch, std::size_t length) const {
        const NoRecording evaluation(tape);
        const Var<float> symbols = tape.watch(embedding);
        auto state = nn::unroll_states(encoder, take(symbols, batch.reads)).back();
        std::vector<std::size_t> last(batch.reads.shape(1), digit_alphabet.find('.'));
        std::vector<std::string> written(last.size());
        const auto step = decoder.on(tape);
        for (std::size_t t = 0; t < length; ++t) {
            state = step(take(symbols, last), state);
            const auto scores = output(nn::output_of(state)).value();  // (B, characters)
            for (std::size_t b = 0; b < last.size(); ++b) {
                last[b] = most_probable(digit_alphabet.size(), [&](std::size_t k) { return scores(b, k); });
                written[b] += digit_alphabet[last[b]];
            }
        }
        return written;
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("encoder", encoder);
        f("decoder", decoder);
        f("output", output);
    }

    static constexpr std::size_t embedding_size = 16;
    Parameter<float> embedding;
    Cell encoder, decoder;
    nn::Linear<float> output;
};

template <class Cell>
int learn_and_report(const Settings& s) {
    constexpr std::size_t test_size = 1000, count_size = 10000;
    const DigitTask task(s.task == "add" ? DigitTask::Kind::add : DigitTask::Kind::reverse, s.digits);
    nn::Engine engine(s.training.seed);
    const std::vector<Translation> test = task.draw(test_size, true, engine);
    const std::string most_frequent = majority_string(task.draw(count_size, false, engine));
    std::vector<std::string> copies;
    for (const Translation& pair : test) copies.push_back(copied_string(pair));
    const Agreement copying = agreement(test, copies);
    const Agreement majority = agreement(test, std::vector<std::string>(test.size(), most_frequent));
    std::printf("%s, numbers of 1 to %zu digits; %zu of the strings that are held out, right by\n",
                s.task.c_str(), s.digits, test.size());
    const auto print = [](const char* name, const Agreement& part) {
        std::printf("  %-42s %5.1f %% of the strings, %5.1f %% of the characters\n", name, 100 * part.strings,
                    100 * part.characters);
    };
    print("copying:", copying);
    print(("always \"" + most_frequent + "\", the most frequent:").c_str(), majority);

    Translator<Cell> model(s.training.hidden, engine);
    const Batch test_batch(test);
    Learning learning(
        s.training,
        {.title =
             format("%s %zu digits, from sequence to sequence",
                    s.task == "add" ? "Adding two numbers of up to" : "Writing backwards up to", s.digits),
         .test = "% of 1000 held-out strings answered right",
         .legend = Corner::bottom_right,
         .levels = {{"the most frequent character at each place", 100 * majority.strings},
                    {"copying", 100 * copying.strings}},
         .samples = "strings"});
    const LearningCurve& curve = learning.train(
        upper(s.cell), model,
        [&](Tape<float>& tape) {
            return model.loss(tape, Batch(task.draw(s.training.batch, false, engine)));
        },
        [&](Tape<float>& tape) {
            return 100 * agreement(test, model.write(tape, test_batch, task.write_length())).strings;
        });

    Tape<float> tape;
    const std::vector<std::string> written = model.write(tape, test_batch, task.write_length());
    const Agreement learned = agreement(test, written);
    print(format("%s, %zu steps:", curve.name.c_str(), curve.steps()).c_str(), learned);
    std::printf("  in %.1f s. Some of them:\n", curve.seconds());
    const auto without_ends = [](std::string text) { return text.substr(0, text.find('.')); };
    for (std::size_t k = 0; k < std::min(s.examples, test.size()); ++k) {
        std::printf("    %s -> %-*s %s\n", test[k].reads.c_str(), static_cast<int>(task.write_length()),
                    without_ends(written[k]).c_str(),
                    written[k] == test[k].writes ? "" : ("wrong: " + without_ends(test[k].writes)).c_str());
    }

    return learning.report(
        format("%.1f %% of the answers are right in every character after %zu training steps of %zu strings. "
               "The strings of the test were never trained on.",
               100 * learned.strings, curve.steps(), s.training.batch));
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "From sequence to sequence: an encoder reads a string of digits, a decoder writes the answer; "
        "trained with teacher forcing, tested by greedy decoding on strings that are held out, beside "
        "copying and the most frequent answer. Ctrl-C ends the training and saves the curve.",
        "seq2seq");
    app.option_defaults()->always_capture_default();
    app.add_option("--task", s.task, "what to write")->check(CLI::IsMember({"add", "reverse"}));
    app.add_option("--digits", s.digits, "digits of a number at most")->check(CLI::Range(2, 18));
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("--examples", s.examples, "how many answers to show");
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    check_picture(s.training.picture);
    return with_cell(s.cell, [&]<class Cell>(std::type_identity<Cell>) { return learn_and_report<Cell>(s); });
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
