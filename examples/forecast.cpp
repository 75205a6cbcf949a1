// Forecasts a series of measurements: the yearly sunspots since 1700, or any column of a CSV file. A recurrent network is
// compared with a linear autoregression and with saying that all stays as it is, on years that none of them has seen.
//
//     forecast --file sunspots.csv               one step ahead, many steps ahead, and free running
//     forecast --file co2.csv --column co2 --held-out 100

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/chart.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "examples/time_series.hpp"
#include "examples/training.hpp"
#include "nn/nn.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;
namespace fs = std::filesystem;

const std::string default_file = "/usr/lib/python3/dist-packages/statsmodels/datasets/sunspots/sunspots.csv";

struct Settings {
    TrainingOptions training{.hidden = 32,
                             .batch = 16,
                             .steps = 600,
                             .learning_rate = 5e-3,
                             .weight_decay = 3e-3,
                             .anneal = true,
                             .picture = "forecast.svg"};
    std::string file = default_file, column, cell = "gru", scale = "sqrt";
    std::size_t held_out = 88, horizon = 22, window = 44, most_lags = 20;
    double noise = 0.1;
};

/// Forecasts in rows of 1, 2, ... steps ahead, a column for each origin.
using Forecasts = xt::xtensor<double, 2>;
using Window = xt::xtensor<float, 3>;

/// Reads x_1, ..., x_t and says x_{t+1} as x_t and a change. Numbers are in units of the training part's deviation.
template <class Cell>
struct Forecaster {
    Forecaster(std::size_t hidden, nn::Engine& engine) : cell(1, hidden, engine), change(hidden, 1, engine) {}

    /// Mean square error of saying the numbers of a window (T + 1, B, 1), each from the ones before it, to which noise is
    /// added.
    Var<float> loss(Tape<float>& tape, const Window& window, const Window& noise) const {
        const Var<float> xs = tape.constant(window);
        const Var<float> read = slice(xs, 0, 0, -1) + slice(tape.constant(noise), 0, 0, -1);
        const Var<float> said = read + change(nn::unroll(cell, read).outputs);
        return nn::mse(said, slice(xs, 0, 1));
    }

    /// From each origin, a position in the series whose value is the last one known, as many steps ahead.
    Forecasts ahead(Tape<float>& tape, const xt::xtensor<float, 1>& series,
                    const std::vector<std::size_t>& origins, std::size_t steps) const {
        using State = nn::cell_state<Cell, float>;
        tape.clear();
        const NoRecording evaluation(tape);
        const Var<float> xs = reshape(tape.constant(series), {-1, 1, 1});
        const auto states = nn::unroll_states(cell, xs);
        // Every origin becomes a sample of one batch.
        State state = nn::state_of<State>([&](std::size_t k) {
            std::vector<Var<float>> rows;
            for (const std::size_t origin : origins) rows.push_back(nn::vars_of(states[origin])[k]);
            return concatenate(rows);
        });
        Var<float> x = take(reshape(xs, {-1, 1}), origins);
        Forecasts out = xt::zeros<double>({steps, origins.size()});
        const auto step = cell.on(tape);
        for (std::size_t k = 0; k < steps; ++k) {
            x = x + change(nn::output_of(state));
            for (std::size_t j = 0; j < origins.size(); ++j) out(k, j) = x.value()(j, 0);
            state = step(x, state);
        }
        return out;
    }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("change", change);
    }

    Cell cell;
    nn::Linear<float> change;
};

double mean(std::span<const double> xs) {
    double sum = 0;
    for (const double x : xs) sum += x;
    return sum / static_cast<double>(xs.size());
}

/// Root of the mean square error k steps ahead, for k = 1, 2, ..., over the origins after which so many values are known.
std::vector<double> errors(const Forecasts& forecasts, std::span<const double> values,
                           const std::vector<std::size_t>& origins) {
    std::vector<double> out;
    for (std::size_t k = 0; k < forecasts.shape(0); ++k) {
        double sum = 0;
        std::size_t count = 0;
        for (std::size_t j = 0; j < origins.size(); ++j) {
            const std::size_t t = origins[j] + k + 1;
            if (t >= values.size()) continue;
            sum += std::pow(forecasts(k, j) - values[t], 2);
            ++count;
        }
        out.push_back(std::sqrt(sum / static_cast<double>(count)));
    }
    return out;
}

std::vector<std::size_t> range(std::size_t first, std::size_t end) {
    std::vector<std::size_t> out;
    for (std::size_t k = first; k < end; ++k) out.push_back(k);
    return out;
}

/// The numbers that models work on: the values, or their square roots, less the mean of the training part and in units of
/// its deviation. Of what is counted the deviation grows with the root of the mean. (Bartlett, 1936)
class Scale {
public:
    Scale(bool root, std::span<const double> values, std::size_t training) : root_(root) {
        if (root && std::any_of(values.begin(), values.end(), [](double x) { return x < 0; }))
            throw std::runtime_error("series: negative values have no square root: try --scale linear");
        std::vector<double> numbers;
        for (const double x : values.first(training)) numbers.push_back(root ? std::sqrt(x) : x);
        centre_ = mean(numbers);
        double sum = 0;
        for (const double x : numbers) sum += (x - centre_) * (x - centre_);
        deviation_ = std::sqrt(sum / static_cast<double>(training));
        if (deviation_ == 0) throw std::runtime_error("series: the values to learn from are all the same");
    }

    xt::xtensor<float, 1> scaled(std::span<const double> values) const {
        xt::xtensor<float, 1> out = xt::zeros<float>({values.size()});
        for (std::size_t t = 0; t < values.size(); ++t) {
            const double x = root_ ? std::sqrt(values[t]) : values[t];
            out(t) = static_cast<float>((x - centre_) / deviation_);
        }
        return out;
    }
    Forecasts unscaled(Forecasts numbers) const {
        for (double& x : numbers) {
            x = x * deviation_ + centre_;
            if (root_) x = std::pow(std::max(x, 0.0), 2);
        }
        return numbers;
    }

private:
    bool root_;
    double centre_ = 0, deviation_ = 1;
};

/// What was forecast, of which there is one for each way to do it.
struct Study {
    std::string name;
    std::vector<double> one_step, free_running;  ///< over the held-out part
    std::vector<double> by_distance;             ///< error k steps ahead
};

/// `ahead(origins, steps)` gives forecasts.
template <class Ahead>
Study study(const std::string& name, std::span<const double> values, const Settings& s, Ahead&& ahead) {
    const std::size_t first = values.size() - s.held_out;
    const std::vector<std::size_t> origins = range(first - 1, values.size() - 1);
    const Forecasts near = ahead(origins, s.horizon), free = ahead({first - 1}, s.held_out);
    return {name,
            {near.begin(), near.begin() + static_cast<std::ptrdiff_t>(origins.size())},
            {free.begin(), free.end()},
            errors(near, values, origins)};
}

/// Saves and draws what was forecast. The last study is the network's, the one before it the linear model's.
void report(const Settings& s, const TimeSeries& series, const std::vector<Study>& studies) {
    const std::size_t size = series.values.size(), first = size - s.held_out;
    const std::size_t drawn = first - std::min(first, s.held_out / 2);
    const auto from = [](const std::vector<double>& all, std::size_t k) {
        return std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(k), all.end());
    };
    const std::vector<double> held_out = from(series.time, first);
    std::vector<double> distance;
    for (std::size_t k = 1; k <= s.horizon; ++k) distance.push_back(static_cast<double>(k));

    std::vector<Column> columns{{series.time_name, held_out}, {series.name, from(series.values, first)}};
    for (const Study& one : studies) {
        columns.push_back({one.name + ", one step ahead", one.one_step});
        columns.push_back({one.name + ", running freely", one.free_running});
    }
    columns.push_back({"steps ahead", distance});
    for (const Study& one : studies) columns.push_back({"error of " + one.name, one.by_distance});
    const fs::path numbers = fs::path(s.training.picture).replace_extension(".csv");
    save_csv(numbers, columns);
    std::printf("saved: %s\n", numbers.c_str());

    Chart chart{"Forecasting " + series.name, "", {}};
    Panel one_step{"One step ahead", series.time_name, series.name, false, Corner::top_left, {}};
    one_step.series = {
        {"measured", from(series.time, drawn), from(series.values, drawn), Series::Style::line, 2}};
    Panel free_running = one_step;
    free_running.title = format("Running freely from %.4g on", series.time[first]);
    Panel errors{"Error by distance, over the held-out part",
                 "steps ahead",
                 "root mean square error",
                 false,
                 Corner::top_left,
                 {}};
    const int colours[] = {4, 3, 1, 0};
    for (std::size_t k = 0; k < studies.size(); ++k) {
        const Study& study = studies[k];
        errors.series.push_back({study.name, distance, study.by_distance, Series::Style::line, colours[k]});
        if (k + 2 < studies.size()) continue;
        const auto style = k + 1 == studies.size() ? Series::Style::line : Series::Style::dashed;
        one_step.series.push_back({study.name, held_out, study.one_step, style, colours[k]});
        free_running.series.push_back({study.name, held_out, study.free_running, style, colours[k]});
    }
    chart.panels = {one_step, free_running, errors};
    const Study &network = studies.back(), &linear = studies[studies.size() - 2], &same = studies.front();
    chart.caption = format(
        "Trained on what came before %.4g. One step ahead the root of the mean square error is %.4g (%s), "
        "%.4g (%s) and %.4g (all stays as it is). Running freely, each goes on from its own forecasts.",
        series.time[first], network.by_distance[0], network.name.c_str(), linear.by_distance[0],
        linear.name.c_str(), same.by_distance[0]);
    std::fflush(stdout);
    draw(chart, s.training.picture);
    std::printf("       %s\n", s.training.picture.c_str());
}

template <class Cell>
int learn_and_report(const Settings& s, const TimeSeries& series) {
    const std::span<const double> values(series.values);
    const std::size_t size = values.size(), first = size - s.held_out;
    const Scale scale(s.scale == "sqrt", values, first);
    const xt::xtensor<float, 1> scaled = scale.scaled(values);

    /// Forecasts each origin by itself, from the values up to it.
    const auto each = [&](std::span<const double> from, auto&& forecast) {
        return [&, from, forecast](const std::vector<std::size_t>& origins, std::size_t steps) {
            Forecasts out = xt::zeros<double>({steps, origins.size()});
            for (std::size_t j = 0; j < origins.size(); ++j) {
                const std::vector<double> ahead = forecast(from.first(origins[j] + 1), steps);
                for (std::size_t k = 0; k < steps; ++k) out(k, j) = ahead[k];
            }
            return out;
        };
    };
    using Past = std::span<const double>;
    const double centre = mean(values.first(first));
    const std::vector<double> numbers(scaled.begin(), scaled.end());
    const Autoregression linear = Autoregression::best(Past(numbers).first(first), s.most_lags);
    const auto linear_ahead =
        each(numbers, [&](Past past, std::size_t n) { return linear.forecast(past, n); });
    std::vector<Study> studies;
    studies.push_back(study("all stays as it is", values, s, each(values, [](Past past, std::size_t n) {
                                return std::vector<double>(n, past.back());
                            })));
    studies.push_back(study("the mean", values, s, each(values, [&](Past, std::size_t n) {
                                return std::vector<double>(n, centre);
                            })));
    studies.push_back(study("AR(" + std::to_string(linear.order()) + ")", values, s,
                            [&](const std::vector<std::size_t>& origins, std::size_t steps) {
                                return scale.unscaled(linear_ahead(origins, steps));
                            }));
    std::printf("%s: %zu values of %s, the last %zu of them held out (from %g on)\n", s.file.c_str(), size,
                series.name.c_str(), s.held_out, series.time[first]);

    nn::Engine engine(s.training.seed);
    Forecaster<Cell> model(s.training.hidden, engine);
    Tape<float> evaluation;
    const auto ahead = [&](const std::vector<std::size_t>& origins, std::size_t steps) {
        return scale.unscaled(model.ahead(evaluation, scaled, origins, steps));
    };
    const std::vector<std::size_t> held_out = range(first - 1, size - 1);
    std::normal_distribution<float> normal;
    const std::size_t length = s.window + 1;
    const auto draw = [&] {
        Window xs = xt::zeros<float>({length, s.training.batch, std::size_t{1}});
        for (std::size_t b = 0; b < s.training.batch; ++b) {
            const std::size_t start = engine() % (first - length + 1);
            for (std::size_t t = 0; t < length; ++t) xs(t, b, 0) = scaled(start + t);
        }
        return xs;
    };
    const auto draw_noise = [&] {
        Window xs = xt::zeros<float>({length, s.training.batch, std::size_t{1}});
        for (float& x : xs) x = static_cast<float>(s.noise) * normal(engine);
        return xs;
    };
    LearningChart chart{.title = "Learning to forecast " + series.name + " one step ahead",
                        .test = "error one step ahead"};
    for (const Study& one : studies) chart.levels.push_back({one.name, one.by_distance[0]});
    const fs::path picture = s.training.picture;
    TrainingOptions options = s.training;
    options.picture =
        picture.parent_path() / (picture.stem().string() + "_learning" + picture.extension().string());
    Learning learning(options, chart);
    const LearningCurve& curve = learning.train(
        upper(s.cell), model, [&](Tape<float>& tape) { return model.loss(tape, draw(), draw_noise()); },
        [&](Tape<float>&) { return errors(ahead(held_out, 1), values, held_out)[0]; });
    studies.push_back(study(curve.name, values, s, ahead));

    std::printf("root of the mean square error on the held-out part, so many steps ahead:\n%24s", "");
    std::vector<std::size_t> distances{1, 2, 5, 11, 22};
    std::erase_if(distances, [&](std::size_t k) { return k > s.horizon; });
    for (const std::size_t k : distances) std::printf(" %8zu", k);
    std::printf("\n");
    for (const Study& one : studies) {
        std::printf("%24s", one.name.c_str());
        for (const std::size_t k : distances) std::printf(" %8.3f", one.by_distance[k - 1]);
        std::printf("\n");
    }
    std::printf("%s: trained for %zu steps in %.1f s\n", curve.name.c_str(), curve.steps(), curve.seconds());
    report(s, series, studies);

    return learning.report(
        "Root of the mean square error on the held-out part, which decides nothing about the training.");
}

void check_sizes(const Settings& s, std::size_t size) {
    if (s.horizon > s.held_out) {
        throw std::runtime_error("forecasts of " + std::to_string(s.horizon) +
                                 " steps into a held-out part of " + std::to_string(s.held_out) +
                                 ": expected no more");
    }
    const std::size_t needed = std::max(s.window + 1, 3 * s.most_lags + 2);
    if (size < s.held_out + needed) {
        throw std::runtime_error("series: " + std::to_string(size) + " values, " +
                                 std::to_string(s.held_out) + " of them held out: expected at least " +
                                 std::to_string(needed) + " more to learn from");
    }
}

int read_and_learn(const Settings& s) {
    check_picture(s.training.picture);
    if (s.file == default_file && !fs::exists(s.file)) {
        throw std::runtime_error(
            default_file + " is not there: apt install python3-statsmodels, or give a table with --file");
    }
    const TimeSeries series = read_series(s.file, s.column);
    check_sizes(s, series.values.size());
    return with_cell(s.cell,
                     [&]<class Cell>(std::type_identity<Cell>) { return learn_and_report<Cell>(s, series); });
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Forecasts the end of a series, one step ahead, several steps ahead and running freely on its own "
        "forecasts, beside a linear autoregression, the mean of the past, and all staying as it is. By "
        "default the yearly sunspots, from Debian's package python3-statsmodels (of which only a table is "
        "needed: apt-get download python3-statsmodels && dpkg-deb -x python3-statsmodels_*.deb . puts it "
        "under the current folder). Ctrl-C ends the training and saves the pictures.",
        "forecast");
    app.option_defaults()->always_capture_default();
    app.add_option("--file", s.file, "CSV file with names in the first row and the time in the first column");
    app.add_option("--column", s.column, "the values, by name; by default the last column");
    app.add_option("--cell", s.cell, "the recurrent cell")->check(CLI::IsMember({"lstm", "gru", "rnn"}));
    app.add_option("--held-out", s.held_out, "values at the end that are only forecast")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--horizon", s.horizon,
                   "steps to look ahead at most, when errors are compared by distance")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--scale", s.scale,
                   "what the models work on: the values, or their square roots, for counts")
        ->check(CLI::IsMember({"linear", "sqrt"}));
    app.add_option("-T,--window", s.window, "steps of a training sequence")->check(CLI::Range(1, 100000));
    app.add_option("--noise", s.noise,
                   "added to the values in training, in standard deviations of the series")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--decay", s.training.weight_decay, "weight decay")->check(CLI::NonNegativeNumber);
    app.add_option("--lags", s.most_lags, "the linear model's largest order; the AIC chooses among them")
        ->check(CLI::Range(1, 1000));
    add_options(app, s.training);
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return read_and_learn(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
