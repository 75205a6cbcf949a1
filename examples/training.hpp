#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <numbers>
#include <string>
#include <type_traits>
#include <vector>

#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/format.hpp"
#include "examples/interrupt.hpp"
#include "examples/progress.hpp"
#include "nn/nn.hpp"

// What the programs have in common that train a model on a task: options, the loop, and the learning curve, beside the
// levels that it is to be compared with.

namespace examples {

struct TrainingOptions {
    std::size_t hidden = 64, batch = 32, steps = 1000;
    double learning_rate = 1e-2, clip = 1, weight_decay = 0;
    bool anneal = false;  ///< lets the learning rate fall along a cosine to a fiftieth of itself
    std::size_t steps_between_tests = 25;
    double goal = -std::numeric_limits<double>::infinity();  ///< ends when the test gives less
    std::uint64_t seed = 1;
    std::string picture = {};
};

/// --hidden, --batch, --steps, --lr, --clip, --seed and --out.
void add_options(CLI::App& app, TrainingOptions& options);

/// What is seen on the way, at the start and after every so many steps.
struct LearningCurve {
    std::string name;
    std::vector<double> step;
    std::vector<double> train;  ///< mean loss since the last point; NaN at the start
    std::vector<double> test;   ///< on what is never trained on
    double seconds = 0;
};

/// Trains by Adam, the norm of the gradient clipped, until the steps are done, the goal is reached or the user
/// interrupts. `loss(tape)` is the loss, a scalar Var, of the next training step; `test(tape)` a number, computed
/// without recording.
template <class Model, class Loss, class Test>
LearningCurve train(const std::string& name, Model& model, const TrainingOptions& options,
                    const Interrupt& interrupt, Loss&& loss, Test&& test) {
    xtape::nn::Adam<float> adam(
        model, {.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
    xtape::Tape<float> tape;
    LearningCurve curve{name, {}, {}, {}, 0};
    Progress progress;
    progress.note(name + ": " + std::to_string(xtape::nn::parameter_count(model)) + " parameters");
    double sum = 0;
    std::size_t counted = 0;
    for (std::size_t step = 0;; ++step) {
        const bool last = step == options.steps || interrupt.requested();
        if (last || step % options.steps_between_tests == 0) {
            tape.clear();
            const xtape::NoRecording evaluation(tape);
            curve.step.push_back(static_cast<double>(step));
            curve.train.push_back(counted > 0 ? sum / static_cast<double>(counted) : std::nan(""));
            curve.test.push_back(test(tape));
            sum = 0;
            counted = 0;
            if (last || curve.test.back() < options.goal) break;
        }
        const double done = static_cast<double>(step) / static_cast<double>(options.steps);
        if (options.anneal) {
            adam.set_learning_rate(options.learning_rate *
                                   (0.02 + 0.98 * 0.5 * (1 + std::cos(std::numbers::pi * done))));
        }
        tape.clear();
        const xtape::Var<float> value = loss(tape);
        backward(value);
        xtape::nn::clip_grad_norm(model, options.clip);
        adam.step();
        xtape::nn::zero_grad(model);
        sum += value.item();
        ++counted;

        progress.update(static_cast<double>(step + 1) / static_cast<double>(options.steps), step + 1,
                        format("loss %.4f, test %.4f", static_cast<double>(value.item()), curve.test.back()));
    }
    progress.finish();
    curve.seconds = progress.seconds();
    return curve;
}

/// A level to compare with.
struct Level {
    std::string name;
    double value = 0;
};

/// Tests of several runs over the training steps, and levels.
struct LearningChart {
    std::string title, caption;
    std::string test;  ///< what the test measures
    bool log_y = false;
    Corner legend = Corner::top_right;
    std::vector<LearningCurve> curves;
    std::vector<Level> levels;
};

/// Saves the curves beside the picture as .csv, draws the picture, and says so.
void save_and_draw(const LearningChart& chart, const std::filesystem::path& picture);

/// Calls f with a value of the type of that cell, lstm, gru or rnn, in a std::type_identity.
template <class F>
decltype(auto) with_cell(const std::string& name, F&& f) {
    if (name == "rnn") return f(std::type_identity<xtape::nn::RNNCell<float>>());
    if (name == "gru") return f(std::type_identity<xtape::nn::GRUCell<float>>());
    return f(std::type_identity<xtape::nn::LSTMCell<float>>());
}

/// Which of `count` classes has the highest score(k), the first one of several.
template <class Score>
std::size_t most_probable(std::size_t count, Score&& score) {
    std::size_t best = 0;
    for (std::size_t k = 1; k < count; ++k)
        if (score(k) > score(best)) best = k;
    return best;
}

/// "LSTM" for "lstm".
std::string upper(std::string name);

}  // namespace examples
