// What attention buys and what it costs. An RNN, an LSTM and a GRU hand a state on from step to step: the way from the
// last output back to the first input is as long as the sequence. Causal self-attention looks at every position
// directly, and pays for it with a table of T × T numbers.
//
//     attention_vs_recurrence                     prints tables and slopes, writes attention_vs_recurrence.svg and .csv
//     attention_vs_recurrence --hidden 128 --heads 4 --sizes 64 128 256 512 --out costs.png

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "nn/nn.hpp"

namespace {

using examples::Column;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

struct Settings {
    std::size_t steps = 100, hidden = 64, heads = 1, batch = 16;
    std::vector<std::size_t> sizes{32, 64, 128, 256, 512, 1024, 2048};
    std::uint64_t seed = 1;
    std::string picture = "attention_vs_recurrence.svg";
};

// ---- the models --------------------------------------------------------------------------------------------------

/// Self-attention that knows the order of its inputs.
struct PositionedAttention {
    nn::SelfAttention<double> attention;

    template <class F>
    void visit(F&& f) {
        f("attention", attention);
    }
};

Var<double> outputs(const PositionedAttention& model, const Var<double>& xs) {
    const auto positions = nn::positional_encoding(xs.tape(), xs.shape()[0], xs.shape()[2]);
    return model.attention(xs + unsqueeze(positions, 1));
}
template <class Cell>
Var<double> outputs(const Cell& cell, const Var<double>& xs) {
    return nn::unroll(cell, xs).outputs;
}

/// Calls f(model) for each: T inputs of `hidden` numbers become as many outputs of that size.
template <class F>
void for_each_model(const Settings& s, F&& f) {
    nn::Engine engine(s.seed);
    f(nn::RNNCell<double>(s.hidden, s.hidden, engine));
    f(nn::LSTMCell<double>(s.hidden, s.hidden, engine));
    f(nn::GRUCell<double>(s.hidden, s.hidden, engine));
    f(PositionedAttention{{s.hidden, s.heads, engine, {.causal = true}}});
}
constexpr const char* names[] = {"RNN", "LSTM", "GRU", "attention"};
constexpr std::size_t model_count = std::size(names);
constexpr std::size_t attention = model_count - 1;

xt::xarray<double> random_inputs(const Settings& s, std::size_t steps, std::size_t batch) {
    nn::Engine engine(s.seed + 1);
    std::normal_distribution<double> normal;
    xt::xarray<double> inputs = xt::zeros<double>({steps, batch, s.hidden});
    for (double& x : inputs) x = normal(engine);
    return inputs;
}

// ---- how far back a gradient reaches -------------------------------------------------------------------------------

using Curve = std::vector<double>;

/// ‖∂L/∂x_t‖, L = Σ y_T, by the distance T - t, for each model.
std::vector<Curve> measure_reach(const Settings& s) {
    const xt::xarray<double> inputs = random_inputs(s, s.steps, s.batch);
    std::vector<Curve> curves;
    for_each_model(s, [&](const auto& model) {
        Tape<double> tape;
        const Var<double> xs = tape.variable(inputs);
        const Var<double> gradient = grad(Var<double>(sum(outputs(model, xs)[-1])), {xs})[0];
        Curve& norms = curves.emplace_back();
        for (std::size_t distance = 0; distance < s.steps; ++distance) {
            double squares = 0;
            for (const double g : gradient[-1 - static_cast<std::ptrdiff_t>(distance)].value())
                squares += g * g;
            norms.push_back(std::sqrt(squares));
        }
    });
    return curves;
}

void print_reach(const std::vector<Curve>& reach) {
    std::printf(
        "How far back a gradient reaches: ‖∂L/∂x_t‖ of one loss L = Σ y_T at the last of T = %zu "
        "positions\n%12s",
        reach[0].size(), "T - t");
    for (const char* name : names) std::printf("  %12s", name);
    const std::size_t last = reach[0].size() - 1;
    for (std::size_t k = 0; k <= 10; ++k) {
        const std::size_t distance = k * last / 10;
        if (k > 0 && distance == (k - 1) * last / 10) continue;
        std::printf("\n%12zu", distance);
        for (const Curve& norms : reach) std::printf("  %12.3e", norms[distance]);
    }
    std::printf("\n%12s", "first / last");
    for (const Curve& norms : reach) std::printf("  %12.3e", norms[last] / norms[0]);
    std::printf(
        "\nWhat to see: a recurrence multiplies the gradient by about the same number at each step back,\n"
        "so that it fades exponentially. Attention reaches every position in one step: but for the\n"
        "last position's own input, from which its query is made, what arrives doesn't depend on the\n"
        "distance.\n\n");
}

// ---- what it costs -------------------------------------------------------------------------------------------------

struct Cost {
    Curve seconds, bytes;  // for each size
};

/// Of this process, so that what else the machine does counts little.
double processor_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Forward and backward of L = Σ y over all positions: the shortest of several times, and what a fresh tape asked
/// for.
template <class Model>
void measure_cost(Model model, const xt::xarray<double>& inputs, Cost& cost) {
    Tape<double> tape;
    double shortest = INFINITY;
    const double start = processor_seconds();
    for (int run = 0; run < 4 || processor_seconds() - start < 0.1; ++run) {
        const double run_start = processor_seconds();
        backward(sum(outputs(model, tape.variable(inputs))));
        shortest = std::min(shortest, processor_seconds() - run_start);
        if (run == 0) cost.bytes.push_back(static_cast<double>(tape.capacity()));
        tape.clear();
        nn::zero_grad(model);
    }
    cost.seconds.push_back(shortest);
}

std::size_t fitted_sizes(const Settings& s) { return std::min<std::size_t>(3, s.sizes.size()); }

/// The exponent p of y ≈ c Tᵖ over the largest sizes, by least squares of log y against log T.
double slope(const Settings& s, const Curve& y) {
    const std::size_t count = fitted_sizes(s), begin = s.sizes.size() - count;
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    const auto log_size = [&](std::size_t i) { return std::log(static_cast<double>(s.sizes[i])); };
    for (std::size_t i = begin; i < s.sizes.size(); ++i) {
        mean_x += log_size(i) / static_cast<double>(count);
        mean_y += std::log(y[i]) / static_cast<double>(count);
    }
    for (std::size_t i = begin; i < s.sizes.size(); ++i) {
        xx += (log_size(i) - mean_x) * (log_size(i) - mean_x);
        xy += (log_size(i) - mean_x) * (std::log(y[i]) - mean_y);
    }
    return xy / xx;
}

/// Measures, and prints each row as soon as it is known.
std::vector<Cost> measure_costs(const Settings& s) {
    std::printf("What forward and backward cost, for one sequence\n%12s  %40s  %40s\n%12s", "",
                "processor time, milliseconds", "memory of the tape, megabytes", "T");
    for (int quantity = 0; quantity < 2; ++quantity) {
        for (const char* name : names) std::printf("%s%9s", name == names[0] ? "    " : " ", name);
    }
    std::printf("\n");
    std::vector<Cost> costs(model_count);
    for (const std::size_t steps : s.sizes) {
        const xt::xarray<double> inputs = random_inputs(s, steps, 1);
        std::size_t k = 0;
        for_each_model(s, [&](auto&& model) { measure_cost(std::move(model), inputs, costs[k++]); });
        std::printf("%12zu   ", steps);
        for (const Cost& cost : costs) std::printf(" %9.3f", 1e3 * cost.seconds.back());
        std::printf("   ");
        for (const Cost& cost : costs) std::printf(" %9.3f", 1e-6 * cost.bytes.back());
        std::printf("\n");
        std::fflush(stdout);
    }
    std::printf("%12s   ", "slope");
    for (const Cost& cost : costs) std::printf(" %9.2f", slope(s, cost.seconds));
    std::printf("   ");
    for (const Cost& cost : costs) std::printf(" %9.2f", slope(s, cost.bytes));
    std::printf(
        "\nWhat to see: the slope is the p of cost ≈ c Tᵖ, fitted to T = %zu to %zu. It is about 1 for a\n"
        "recurrence, which does the same at each step; a little less in memory, a part of which is the\n"
        "same for every T. For attention it comes near 2, as the tables of T × T numbers outgrow the rest;\n"
        "in time it may go beyond, as each number of a large table takes longer to read and write.\n\n",
        s.sizes[s.sizes.size() - fitted_sizes(s)], s.sizes.back());
    return costs;
}

// ---- the report ----------------------------------------------------------------------------------------------------

std::vector<double> as_numbers(const std::vector<std::size_t>& counts) {
    return {counts.begin(), counts.end()};
}

Curve distances(const Settings& s) {
    Curve result;
    for (std::size_t distance = 0; distance < s.steps; ++distance)
        result.push_back(static_cast<double>(distance));
    return result;
}

std::vector<Column> columns(const Settings& s, const std::vector<Curve>& reach,
                            const std::vector<Cost>& costs) {
    std::vector<Column> table{{"T - t", distances(s)}};
    for (std::size_t k = 0; k < model_count; ++k)
        table.push_back({std::string("dL/dx ") + names[k], reach[k]});
    table.push_back({"T", as_numbers(s.sizes)});
    for (std::size_t k = 0; k < model_count; ++k)
        table.push_back({std::string("seconds ") + names[k], costs[k].seconds});
    for (std::size_t k = 0; k < model_count; ++k)
        table.push_back({std::string("bytes ") + names[k], costs[k].bytes});
    return table;
}

examples::Chart chart(const Settings& s, const std::vector<Curve>& reach, const std::vector<Cost>& costs) {
    const auto panel = [](const char* title, const char* x, const char* y, examples::Corner legend) {
        examples::Panel result;
        result.title = title;
        result.x_label = x;
        result.y_label = y;
        result.log_y = true;
        result.legend = legend;
        return result;
    };
    examples::Panel gradients = panel("Gradient of one loss at the last position, by input", "distance T - t",
                                      "‖∂L/∂x_t‖, L = Σ y_T", examples::Corner::bottom_left);
    examples::Panel time = panel("Time of forward and backward, one sequence", "length of the sequence T",
                                 "processor time, ms", examples::Corner::top_left);
    examples::Panel memory = panel("Memory of forward and backward, one sequence", "length of the sequence T",
                                   "memory of the tape, MB", examples::Corner::top_left);
    time.log_x = memory.log_x = true;
    const auto add = [&](examples::Panel& to, std::size_t k, const Curve& cost, double unit) {
        Curve y = cost;
        for (double& number : y) number *= unit;
        to.series.push_back(
            {examples::format("%s, slope %.2f", names[k], slope(s, cost)), as_numbers(s.sizes), y});
    };
    for (std::size_t k = 0; k < model_count; ++k) {
        gradients.series.push_back({names[k], distances(s), reach[k]});
        add(time, k, costs[k].seconds, 1e3);
        add(memory, k, costs[k].bytes, 1e-6);
    }

    examples::Chart result{
        examples::format("Attention against recurrence (H = %zu, %zu head%s, untrained weights)", s.hidden,
                         s.heads, s.heads == 1 ? "" : "s"),
        "",
        {gradients, time, memory}};
    const auto left_of = [&](std::size_t k) { return reach[k].back() / reach[k].front(); };
    result.caption = examples::format(
        "Left: a recurrence multiplies the gradient by about the same number at each step back. After %zu of "
        "them %.1e of it is left in the RNN, %.1e in the LSTM, %.1e in the GRU. Causal self-attention, with "
        "positions, reaches every input in one step: %.1e, and about as much at any distance but 0, the "
        "input from which the query is made.\nMiddle and right, both axes logarithmic: a recurrence does "
        "the same at each step, so its cost grows with T (slope 1). Attention compares each position with "
        "each other one, and its cost grows towards T² (slope 2; in time beyond, as each number of a large "
        "table takes longer to read and write). Slopes are fitted to T = %zu to %zu.",
        s.steps - 1, left_of(0), left_of(1), left_of(2), left_of(attention),
        s.sizes[s.sizes.size() - fitted_sizes(s)], s.sizes.back());
    return result;
}

/// Throws if attention over so many positions wouldn't fit into memory.
void check_memory(const char* option, std::size_t steps, std::size_t matrices) {
    const double size = 8.0 * sizeof(double) * static_cast<double>(steps) * static_cast<double>(steps);
    const double bytes = size * static_cast<double>(matrices);  // scores, weights and their gradients
    const double memory =
        static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    if (bytes < 0.8 * memory) return;
    throw std::invalid_argument(examples::format(
        "attention over T = %zu needs some %.1f GB of memory, and this machine has %.1f: choose smaller %s",
        steps, bytes / 1e9, memory / 1e9, option));
}

int compare(Settings s) {
    std::sort(s.sizes.begin(), s.sizes.end());
    s.sizes.erase(std::unique(s.sizes.begin(), s.sizes.end()), s.sizes.end());
    if (s.sizes.size() < 2) throw std::invalid_argument("a slope needs at least two different --sizes");
    check_memory("--steps", s.steps, s.heads * s.batch);
    check_memory("--sizes", s.sizes.back(), s.heads);
    examples::check_picture(s.picture);

    const std::vector<Curve> reach = measure_reach(s);
    std::printf("H = %zu, %zu head%s, batch %zu in the first study, seed %llu\n\n", s.hidden, s.heads,
                s.heads == 1 ? "" : "s", s.batch, static_cast<unsigned long long>(s.seed));
    print_reach(reach);
    const std::vector<Cost> costs = measure_costs(s);

    const std::filesystem::path numbers = std::filesystem::path(s.picture).replace_extension(".csv");
    save_csv(numbers, columns(s, reach, costs));
    std::printf("all numbers: %s\n", numbers.c_str());
    std::fflush(stdout);
    draw(chart(s, reach, costs), s.picture);
    std::printf("picture:     %s\n", s.picture.c_str());
    return 0;
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Attention against recurrence: how far back a gradient reaches, and what time and memory it takes.",
        "attention_vs_recurrence");
    app.option_defaults()->always_capture_default();
    app.add_option("-T,--steps", s.steps, "positions of the gradient's study")->check(CLI::Range(2, 4096));
    app.add_option("-H,--hidden", s.hidden, "numbers of each input, state and output")
        ->check(CLI::Range(1, 4096));
    app.add_option("--heads", s.heads, "of attention; a divisor of --hidden")->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", s.batch, "sequences of the gradient's study")->check(CLI::Range(1, 4096));
    app.add_option("--sizes", s.sizes, "lengths T to measure time and memory at")
        ->check(CLI::Range(1, 65536));
    app.add_option("--seed", s.seed, "of the weights and the inputs");
    app.add_option("-o,--out,--output", s.picture, "picture, .svg or .png; the numbers go beside it as .csv");
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return compare(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
