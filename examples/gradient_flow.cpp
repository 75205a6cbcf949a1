// How far back does a gradient reach? One loss at the last step of a sequence, one backward pass, and the size of
// the gradient at every step, for an RNN, an LSTM and a GRU with the weights that training would start from. Further
// studies, in study_*.cpp, ask what makes it so.
//
//     gradient_flow                      prints tables and ratios, writes gradient_flow.svg and gradient_flow.csv
//     gradient_flow --steps 200 --mode last --out flow.png
//     gradient_flow radius               one of the studies, writes gradient_flow_radius.svg and .csv
//     gradient_flow all                  all of them

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "examples/chart.hpp"
#include "examples/command_line.hpp"
#include "examples/csv.hpp"
#include "examples/study.hpp"
#include "nn/nn.hpp"

namespace {

using examples::Column;
using examples::norm;
using examples::Series;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

struct Settings : examples::StudySettings {
    double update_bias = 2;
    std::string mode = "both";
    std::size_t every = 5;
};

// ---- the study ---------------------------------------------------------------------------------------------------

/// Norms of gradients, one for each time step.
struct Norms {
    std::vector<double> h;      ///< ‖∂L_T/∂h_t‖, with L_T = Σ h_T
    std::vector<double> c;      ///< ‖∂L_T/∂c_t‖, of an LSTM
    std::vector<double> x;      ///< ‖∂L_T/∂x_t‖
    std::vector<double> local;  ///< ‖∂(Σ h_t)/∂x_t‖: what a step feels of its own input
};

std::ptrdiff_t step(std::size_t t) { return static_cast<std::ptrdiff_t>(t); }

/// ∂L_T/∂h_t, ∂L_T/∂c_t and ∂L_T/∂x_t for every t, from one backward pass.
template <class Cell>
void measure_last(const Cell& cell, const xt::xarray<double>& inputs, Norms& norms) {
    Tape<double> tape;
    const Var<double> xs = tape.variable(inputs);  // (T, B, D)
    const auto states = nn::unroll_states(cell, xs);
    const Var<double> loss = sum(nn::output_of(states.back()));

    std::vector<Var<double>> wanted{xs};  // then h_1, (c_1,) h_2, (c_2,) ...
    for (const auto& state : states) {
        for (const Var<double>& part : nn::vars_of(state)) wanted.push_back(part);
    }
    const std::vector<Var<double>> gradients = grad(loss, wanted);
    for (std::size_t t = 0; t < states.size(); ++t) norms.x.push_back(norm(gradients[0][step(t)]));
    const bool has_cell_state = (gradients.size() - 1) / states.size() == 2;
    for (std::size_t k = 1; k < gradients.size();) {
        norms.h.push_back(norm(gradients[k++]));
        if (has_cell_state) norms.c.push_back(norm(gradients[k++]));
    }
}

Var<double> constant(const Var<double>& h) { return stop_gradient(h); }
nn::LSTMCell<double>::State constant(const nn::LSTMCell<double>::State& state) {
    return {stop_gradient(state.h), stop_gradient(state.c)};
}

/// ∂(Σ h_t)/∂x_t for every t: the states between the steps are constants, so one backward pass gives all.
template <class Cell>
void measure_local(const Cell& cell, const xt::xarray<double>& inputs, Norms& norms) {
    Tape<double> tape;
    const Var<double> xs = tape.variable(inputs);
    const auto alone = [&](const Var<double>& x, const auto& before) { return cell(x, constant(before)); };
    const Var<double> outputs = nn::unroll(alone, xs, cell.initial_state(tape, xs.shape()[1])).outputs;

    const Var<double> gradient = grad(sum(outputs), {xs})[0];
    for (std::size_t t = 0; t < xs.shape()[0]; ++t) norms.local.push_back(norm(gradient[step(t)]));
}

struct Study {
    std::string name;
    Norms norms;
    int colour;
    bool variant;
};

std::vector<Study> measure_cells(const Settings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> inputs = examples::normal_tensor({s.steps, s.batch, s.inputs}, engine);

    std::vector<Study> studies;
    const auto study = [&](const std::string& name, const auto& cell, int colour, bool variant = false) {
        Norms norms;
        if (s.mode != "local") measure_last(cell, inputs, norms);
        if (s.mode != "last") measure_local(cell, inputs, norms);
        studies.push_back({name, norms, colour, variant});
    };
    // Each model draws from the same place of the engine, so that a variant differs in its bias alone.
    const nn::Engine start = engine;
    study("RNN", nn::RNNCell<double>(s.inputs, s.hidden, engine), 0);

    nn::LSTMCell<double> lstm(s.inputs, s.hidden, engine = start);
    study("LSTM, forget bias 1", lstm, 1);
    std::fill_n(lstm.bias.data() + s.hidden, s.hidden, 0.0);  // gates in the order i, f, o, g
    study("LSTM, forget bias 0", lstm, 1, true);

    nn::GRUCell<double> gru(s.inputs, s.hidden, engine = start);
    study("GRU", gru, 2);
    std::fill_n(gru.bias.data() + s.hidden, s.hidden, s.update_bias);  // gates in the order r, z, n
    char name[64];
    std::snprintf(name, sizeof name, "GRU, update bias %g", s.update_bias);
    study(name, gru, 2, true);
    return studies;
}

// ---- the report --------------------------------------------------------------------------------------------------

using Quantity = std::vector<double> Norms::*;

struct Named {
    Quantity quantity;
    const char* column;
    const char* heading;
};
constexpr Named quantities[] = {
    {&Norms::h, "dL/dh", "‖∂L_T/∂h_t‖, L_T = Σ h_T"},
    {&Norms::c, "dL/dc", "‖∂L_T/∂c_t‖, the LSTM's cell state"},
    {&Norms::x, "dL/dx", "‖∂L_T/∂x_t‖"},
    {&Norms::local, "local", "‖∂(Σ h_t)/∂x_t‖, the local gradient"},
};

void print_tables(const std::vector<Study>& studies, const Settings& s) {
    for (const auto& [quantity, column, heading] : quantities) {
        std::vector<const Study*> measured;
        for (const Study& study : studies) {
            if (!(study.norms.*quantity).empty()) measured.push_back(&study);
        }
        if (measured.empty()) continue;
        std::printf("\n%s\n%12s", heading, "t");
        for (const Study* study : measured) std::printf("  %20s", study->name.c_str());
        std::printf("\n");
        for (std::size_t t = 1; t <= s.steps; ++t) {
            if (t != 1 && t != s.steps && t % s.every != 0) continue;
            std::printf("%12zu", t);
            for (const Study* study : measured) std::printf("  %20.3e", (study->norms.*quantity)[t - 1]);
            std::printf("\n");
        }
        if (quantity == &Norms::local) continue;
        std::printf("%12s", "first / last");
        for (const Study* study : measured) {
            const std::vector<double>& norms = study->norms.*quantity;
            std::printf("  %20.3e", norms.front() / norms.back());
        }
        std::printf("\n");
    }
}

std::vector<Column> columns(const std::vector<Study>& studies, const Settings& s) {
    std::vector<Column> out{{"t", examples::count_to(s.steps)}};
    for (const auto& [quantity, column, heading] : quantities) {
        for (const Study& study : studies) {
            const std::vector<double>& norms = study.norms.*quantity;
            if (!norms.empty()) out.push_back({std::string(column) + " " + study.name, norms});
        }
    }
    return out;
}

examples::Chart chart(const std::vector<Study>& studies, const Settings& s) {
    const std::vector<double> time = examples::count_to(s.steps);
    const auto panel = [&](const char* title, const char* label, Quantity quantity, examples::Corner corner) {
        examples::Panel p{title, "time step t", label, true, corner, {}};
        for (const Study& study : studies) {
            p.series.push_back({study.name, time, study.norms.*quantity,
                                study.variant ? Series::Style::dashed : Series::Style::line, study.colour});
            if (quantity != &Norms::h || study.norms.c.empty() || study.variant) continue;
            p.series.push_back({"LSTM, its cell state c_t", time, study.norms.c, Series::Style::line, 3});
        }
        return p;
    };

    examples::Chart c;
    c.title =
        examples::format("How far back a gradient reaches (T = %zu, H = %zu, D = %zu, untrained weights)",
                         s.steps, s.hidden, s.inputs);
    if (s.mode != "local") {
        c.panels.push_back(panel("Gradient of one loss at the last step, by hidden state", "‖∂L_T/∂h_t‖",
                                 &Norms::h, examples::Corner::bottom_right));
        c.panels.push_back(
            panel("The same, by input", "‖∂L_T/∂x_t‖", &Norms::x, examples::Corner::bottom_right));
        c.caption =
            "A straight line on this axis is a gradient that each step back multiplies by the same number. "
            "From the last step to the first it is multiplied by";
        for (const Study& study : studies) {
            c.caption += examples::format("%s %.1e (%s)", &study == studies.data() ? "" : ",",
                                          study.norms.h.front() / study.norms.h.back(), study.name.c_str());
        }
        c.caption += examples::format(
            ". An LSTM hands its cell state on through the forget gate, which a bias of 1 opens to 0.73; "
            "with a bias of 0 (dashed) the gate halves the memory at each step. A GRU's update gate starts "
            "at 0.5 and halves it as well; with its bias at %g (dashed) it starts at %.2f.\n",
            s.update_bias, 1 / (1 + std::exp(-s.update_bias)));
    }
    if (s.mode != "last") {
        c.panels.push_back(panel("Local gradient: what a step feels of its own input", "‖∂(Σ h_t)/∂x_t‖",
                                 &Norms::local, examples::Corner::top_right));
        c.caption +=
            "The local gradient is of one size at every step: a step always feels its own input, and what "
            "fades is the way back through time.";
    }
    return c;
}

void study_steps(const Settings& s) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Study> studies = measure_cells(s);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;

    std::printf("T = %zu steps, H = %zu, D = %zu, batch %zu, seed %llu: computed in %.1f ms\n", s.steps,
                s.hidden, s.inputs, s.batch, static_cast<unsigned long long>(s.seed), took.count());
    print_tables(studies, s);

    const std::filesystem::path numbers = std::filesystem::path(s.picture).replace_extension(".csv");
    save_csv(numbers, columns(studies, s));
    std::printf("\nall steps: %s\n", numbers.c_str());
    std::fflush(stdout);
    draw(chart(studies, s), s.picture);
    std::printf("picture:   %s\n", s.picture.c_str());
}

// ---- the command line --------------------------------------------------------------------------------------------

struct FurtherStudy {
    const char* name;
    const char* shows;
    void (*run)(const examples::StudySettings&);
};
constexpr FurtherStudy further_studies[] = {
    {"radius", "a recurrence by λQ: λ^T if it is linear, what tanh makes of it", examples::study_radius},
    {"tied", "one matrix at every step against fresh ones of the same radius", examples::study_tied},
    {"saturation", "an RNN with ever larger weights: slopes, saturated units, gradient",
     examples::study_saturation},
    {"forget", "the forget bias of an LSTM, and the product of its forget gates", examples::study_forget},
    {"cell", "the two states of an LSTM, and what reaches c_t by the forget gate and by h_t",
     examples::study_cell},
    {"clip", "clipping by the norm: once, and over a training run", examples::study_clip},
};

int run(const std::string& study, Settings s, const std::string& out) {
    const std::filesystem::path given = out.empty() ? "gradient_flow.svg" : out;
    const bool all = study == "all";
    examples::check_picture(given);
    if (all || study == "steps") {
        s.picture = given;
        study_steps(s);
    }
    for (const auto& [name, shows, function] : further_studies) {
        if (!all && study != name) continue;
        s.picture = given;
        if (all || out.empty()) {
            s.picture.replace_filename(given.stem().string() + "_" + name + given.extension().string());
        }
        function(s);
    }
    return 0;
}

int program(int argc, char** argv) {
    Settings s;
    std::string out, study = "steps",
                     footer = "Studies:\n  steps        the gradient at every step, for all cells\n";
    std::set<std::string> names{"steps", "all"};
    for (const FurtherStudy& further : further_studies) {
        names.insert(further.name);
        footer += examples::format("  %-12s %s\n", further.name, further.shows);
    }
    CLI::App app(
        "How far back a gradient reaches in an RNN, an LSTM and a GRU: its size at every time step, and "
        "what it depends on.",
        "gradient_flow");
    app.footer(footer + "  all          all of them");
    app.option_defaults()->always_capture_default();
    app.add_option("study,--study", study, "what to look at, see below")->check(CLI::IsMember(names));
    app.add_option("-T,--steps", s.steps, "time steps")->check(CLI::Range(1, 100000));
    app.add_option("-H,--hidden", s.hidden, "hidden units")->check(CLI::Range(1, 4096));
    app.add_option("-D,--inputs", s.inputs, "inputs of each step")->check(CLI::Range(1, 4096));
    app.add_option("-B,--batch", s.batch, "sequences at once")->check(CLI::Range(1, 4096));
    app.add_option("--seed", s.seed, "of the weights and the inputs");
    app.add_option("--max-norm", s.max_norm, "what the study clip clips gradients to")
        ->check(examples::positive);
    app.add_option("--update-bias", s.update_bias, "bias of the update gate of the GRU's variant");
    app.add_option("--mode", s.mode,
                   "of the study steps: last: one loss at the last step; local: every step's output by its "
                   "own input; or both")
        ->check(CLI::IsMember({"last", "local", "both"}));
    app.add_option("--every", s.every, "print every so many steps; the CSV has all")
        ->check(CLI::Range(1, 100000));
    app.add_option(
        "-o,--out", out,
        "picture, .svg or .png; the numbers go beside it as .csv. By default gradient_flow.svg, or "
        "gradient_flow_STUDY.svg; `all` adds the names of the studies to a name that is given too");
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return run(study, s, out);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
