#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/interrupt.hpp"
#include "examples/progress.hpp"
#include "nn/nn.hpp"

// What the programs have in common that train models on a task: options, a line of progress, a log, and a picture of the
// learning curves beside the levels that these are to be compared with.

namespace examples {

struct TrainingOptions {
    std::size_t hidden = 64, batch = 32, steps = 1000;
    double learning_rate = 1e-2, clip = 1, weight_decay = 0;
    bool anneal = false;  ///< lets the learning rate fall along a cosine to a fiftieth of itself
    std::size_t steps_between_tests = 25;
    std::optional<double> goal = {};  ///< ends when the test gives less
    std::uint64_t seed = 1;
    std::string picture = {};
};

/// --hidden, --batch, --steps, --lr, --clip, --seed and --out.
void add_options(CLI::App& app, TrainingOptions& options);

/// What was seen on the way. A validation is a test on what is never trained on.
struct LearningCurve {
    std::string name;
    xtape::nn::LossCurve points;

    double test() const { return points.validation.back(); }
    std::size_t steps() const { return static_cast<std::size_t>(points.step.back()); }
    double seconds() const { return points.seconds.back(); }
};

/// A level to compare with.
struct Level {
    std::string name;
    double value = 0;
};

/// Tests of several runs over the training steps, and levels.
struct LearningChart {
    std::string title;
    std::string test;           ///< what the test measures
    bool test_is_loss = false;  ///< it measures what the training loss does, which is then drawn too
    bool log_y = false;
    Corner legend = Corner::top_right;
    std::vector<Level> levels = {};
    std::string samples = "sequences";  ///< what a batch consists of
};

/// Trainings, one after the other, with one log and one picture. Ctrl-C ends them.
class Learning {
public:
    /// Begins the log, beside the picture as .csv. Throws what draw() would throw for such a picture.
    Learning(TrainingOptions options, LearningChart chart);

    /// Trains by Adam, the norm of the gradient clipped, until the steps are done, the goal is reached or the user
    /// interrupts. `loss(tape)` is the loss, a scalar Var, of the next training step; `test(tape)` a number.
    template <class Model, class Loss, class Test>
    const LearningCurve& train(const std::string& name, Model& model, Loss&& loss, Test&& test) {
        xtape::nn::Adam<float> adam(
            model, {.learning_rate = options_.learning_rate, .weight_decay = options_.weight_decay});
        xtape::nn::Training training(model, adam, training_options());
        begin(name, xtape::nn::parameter_count(model));
        Progress progress({options_.batch, chart_.samples});
        training.run(std::forward<Loss>(loss), std::forward<Test>(test),
                     [&](const xtape::nn::TrainingState& now) { show(now, progress); });
        curves_.back().points = training.state().curve;
        return curves_.back();
    }
    const std::vector<LearningCurve>& curves() const { return curves_; }

    /// Of what is trained from here on.
    void set_steps(std::size_t steps) { options_.steps = steps; }

    bool interrupted() const { return interrupt_.requested(); }

    /// Draws the picture, says what was saved, and returns the exit code.
    int report(const std::string& caption);

private:
    xtape::nn::TrainingOptions training_options() const;
    void begin(const std::string& name, std::size_t parameters);
    void show(const xtape::nn::TrainingState& now, Progress& progress);

    TrainingOptions options_;
    LearningChart chart_;
    std::string log_name_;
    CsvLog log_;
    Interrupt interrupt_;
    std::vector<LearningCurve> curves_;
};

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
