#include "examples/training.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "examples/csv.hpp"
#include "examples/format.hpp"

namespace examples {

void add_options(CLI::App& app, TrainingOptions& options) {
    app.add_option("-H,--hidden", options.hidden, "hidden units")->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", options.batch, "sequences in a training step")->check(CLI::Range(1, 4096));
    app.add_option("--steps", options.steps, "training steps at most")->check(CLI::Range(1, 10000000));
    app.add_option("--lr", options.learning_rate, "learning rate of Adam")->check(CLI::PositiveNumber);
    app.add_option("--clip", options.clip, "largest norm of the gradient")->check(CLI::PositiveNumber);
    app.add_option("--seed", options.seed, "of the weights and the data");
    app.add_option("-o,--out", options.picture, "picture, .svg or .png; the numbers go beside it as .csv");
}

void save_and_draw(const LearningChart& chart, const std::filesystem::path& picture) {
    std::vector<Column> columns;
    Panel panel{"", "training step", chart.test, chart.log_y, chart.legend, {}};
    double last = 1;
    for (const LearningCurve& curve : chart.curves) {
        columns.push_back({"step of " + curve.name, curve.step});
        columns.push_back({curve.name + ": training loss", curve.train});
        columns.push_back({curve.name + ": " + chart.test, curve.test});
        panel.series.push_back({curve.name, curve.step, curve.test});
        last = std::max(last, curve.step.back());
    }
    for (const Level& level : chart.levels) {
        columns.push_back({level.name, {level.value}});
        panel.series.push_back({format("%s (%.3g)", level.name.c_str(), level.value),
                                {0, last},
                                {level.value, level.value},
                                Series::Style::reference});
    }
    const std::filesystem::path numbers = std::filesystem::path(picture).replace_extension(".csv");
    save_csv(numbers, columns);
    std::printf("saved: %s\n", numbers.c_str());
    std::fflush(stdout);
    draw({chart.title, chart.caption, {panel}}, picture);
    std::printf("       %s\n", picture.c_str());
}

std::string upper(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    return name;
}

}  // namespace examples
