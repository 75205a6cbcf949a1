#include "examples/training.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>

#include "examples/format.hpp"

namespace examples {

void add_options(CLI::App& app, TrainingOptions& options) {
    app.add_option("-H,--hidden", options.hidden, "hidden units")->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", options.batch, "sequences in a training step")->check(CLI::Range(1, 4096));
    app.add_option("--steps", options.steps, "training steps at most")->check(CLI::Range(1, 10000000));
    app.add_option("--lr", options.learning_rate, "learning rate of Adam")->check(examples::positive);
    app.add_option("--clip", options.clip, "largest norm of the gradient")->check(examples::positive);
    app.add_option("--seed", options.seed, "of the weights and the data");
    app.add_option("-o,--out", options.picture, "picture, .svg or .png; the numbers go beside it as .csv");
}

namespace {

std::vector<std::string> column_names(const LearningChart& chart) {
    std::vector<std::string> names{"run", "step", "seconds", "training loss", chart.test};
    for (const Level& level : chart.levels) names.push_back(level.name);
    return names;
}

/// The log's name, if the picture can be drawn.
std::filesystem::path log_beside(const std::string& picture) {
    check_picture(picture);
    return std::filesystem::path(picture).replace_extension(".csv");
}

}  // namespace

Learning::Learning(TrainingOptions options, LearningChart chart)
    : options_(std::move(options)),
      chart_(std::move(chart)),
      log_name_(log_beside(options_.picture)),
      log_(log_name_, column_names(chart_)) {}

xtape::nn::TrainingOptions Learning::training_options() const {
    const xtape::nn::CosineAnnealingLR cosine{.learning_rate = options_.learning_rate,
                                              .steps = options_.steps,
                                              .min_rate = options_.learning_rate / 50};
    xtape::nn::TrainingOptions options{.steps = options_.steps,
                                       .max_norm = options_.clip,
                                       .validate = {.steps = options_.steps_between_tests},
                                       .goal = options_.goal,
                                       .stop = [this] { return interrupted(); }};
    if (options_.anneal) options.learning_rate = cosine;
    return options;
}

void Learning::begin(const std::string& name, std::size_t parameters) {
    curves_.push_back({name, {}});
    std::printf("%s: %zu parameters\n", name.c_str(), parameters);
    std::fflush(stdout);
}

void Learning::show(const xtape::nn::TrainingState& now, Progress& progress) {
    progress.update(now.part, now.step, format("loss %.4f, test %.4f", now.smooth_loss, now.validation));
    if (!now.has_new_point) return;
    const auto& [step, seconds, loss, test] = now.curve;
    std::vector<double> row{step.back(), seconds.back(), loss.back(), test.back()};
    for (const Level& level : chart_.levels) row.push_back(level.value);
    log_.add(curves_.back().name, row);
}

int Learning::report(const std::string& caption) {
    Panel panel{"", "training step", chart_.test, chart_.log_y, chart_.legend, {}};
    double last = 1;
    int colour = 0;
    for (const auto& [name, points] : curves_) {
        panel.series.push_back({name, points.step, points.validation, Series::Style::line, colour});
        if (chart_.test_is_loss) {
            panel.series.push_back(
                {name + ", training", points.step, points.training, Series::Style::dashed, colour});
        }
        ++colour;
        last = std::max(last, points.step.back());
    }
    for (const Level& level : chart_.levels) {
        panel.series.push_back({format("%s (%.3g)", level.name.c_str(), level.value),
                                {0, last},
                                {level.value, level.value},
                                Series::Style::reference});
    }
    std::printf("saved: %s\n", log_name_.c_str());
    std::fflush(stdout);
    draw({chart_.title, caption, {panel}}, options_.picture);
    std::printf("       %s\n", options_.picture.c_str());
    return interrupt_.exit_code();
}

std::string upper(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    return name;
}

}  // namespace examples
