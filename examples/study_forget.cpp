#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/recording_lstm.hpp"
#include "examples/study.hpp"

namespace examples {

namespace {

namespace nn = xtape::nn;
using xtape::Tape;
using xtape::Var;
using State = RecordingLSTM<double>::State;

struct Flow {
    std::vector<double> complete;   ///< ‖∂L_T/∂c_t‖, L_T = Σ h_T
    std::vector<double> cell_path;  ///< ‖∂(Σ c_T)/∂c_t‖ with every h held fixed
    double gate = 0;                ///< the mean forget gate
    double deviation = 0;  ///< of ∂(Σ c_T)/∂c_1, h held fixed, from f_2 ⊙ ... ⊙ f_T: the largest, relative
};

double first_to_last(const std::vector<double>& norms) { return norms.front() / norms.back(); }

std::vector<Var<double>> cell_states(std::span<const State> states) {
    std::vector<Var<double>> cs;
    for (const State& state : states) cs.push_back(state.c);
    return cs;
}

/// An LSTM whose weights are the same for each bias.
Flow measure(double bias, const StudySettings& s, const xt::xarray<double>& inputs, nn::Engine engine) {
    nn::LSTMCell<double> cell(s.inputs, s.hidden, engine);
    std::fill_n(cell.bias.data() + s.hidden, s.hidden, bias);  // gates in the order i, f, o, g
    const RecordingLSTM<double> recording(cell);
    Tape<double> tape;
    const Var<double> xs = tape.variable(inputs);
    Flow flow;
    const auto states = nn::unroll_states(recording, xs);
    flow.complete = gradient_norms(sum(states.back().h), cell_states(states));
    for (const State& state : states)
        flow.gate += mean(split<3>(state.gates)[1]).item() / static_cast<double>(s.steps);

    const auto step = recording.on(tape);
    const auto with_h_fixed = [&](const Var<double>& x, const State& before) {
        return step(x, {stop_gradient(before.h), before.c, before.gates});
    };
    const auto apart = nn::unroll_states(with_h_fixed, xs, recording.initial_state(tape, s.batch));
    const std::vector<Var<double>> gradients = grad(sum(apart.back().c), cell_states(apart));
    for (const Var<double>& gradient : gradients) flow.cell_path.push_back(norm(gradient));

    xt::xarray<double> product = xt::ones<double>({s.batch, s.hidden});
    for (std::size_t t = 1; t < apart.size(); ++t) product *= split<3>(apart[t].gates)[1].value();
    const xt::xarray<double> difference = xt::abs(gradients.front().value() - product);
    flow.deviation = xt::amax(difference)() / xt::amax(product)();
    return flow;
}

}  // namespace

void study_forget(const StudySettings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> inputs = normal_tensor({s.steps, s.batch, s.inputs}, engine);

    Column biases{"forget bias", {}}, gate{"mean f", {}}, complete{"complete", {}},
        path{"cell path alone", {}}, no_input{"σ(bias)^(T-1)", {}};
    std::vector<Column> by_step{{"t", count_to(s.steps)}};
    Panel steps{"Step by step", "time step t", "‖∂/∂c_t‖ / ‖∂/∂c_T‖", true, Corner::bottom_right, {}};
    double deviation = 0;
    const auto index_of = [&](double bias) {
        return static_cast<std::size_t>(std::find(biases.values.begin(), biases.values.end(), bias) -
                                        biases.values.begin());
    };
    for (int half = -2; half <= 12; ++half) {
        const double bias = half / 2.0;
        const Flow flow = measure(bias, s, inputs, engine);
        biases.values.push_back(bias);
        gate.values.push_back(flow.gate);
        complete.values.push_back(first_to_last(flow.complete));
        path.values.push_back(first_to_last(flow.cell_path));
        no_input.values.push_back(std::pow(1 / (1 + std::exp(-bias)), static_cast<double>(s.steps) - 1));
        deviation = std::max(deviation, flow.deviation);
        if (bias != 0 && bias != 1 && bias != 4) continue;
        const int colour = bias == 0 ? 0 : bias == 1 ? 1 : 2;
        const auto relative = [](std::vector<double> norms) {
            const double last = norms.back();
            for (double& v : norms) v /= last;
            return norms;
        };
        const std::string name = format("bias %g", bias);
        by_step.push_back({"complete, " + name, relative(flow.complete)});
        by_step.push_back({"cell path, " + name, relative(flow.cell_path)});
        const std::vector<double>& time = by_step[0].values;
        steps.series.push_back({name, time, by_step[by_step.size() - 2].values, Series::Style::line, colour});
        steps.series.push_back(
            {name + ", cell path alone", time, by_step.back().values, Series::Style::dashed, colour});
    }

    std::printf(
        "\n"
        "Forget bias: ‖∂/∂c_1‖ / ‖∂/∂c_T‖ of an LSTM, complete (of L_T = Σ h_T) and along the cell path\n"
        "alone (of Σ c_T, every h held fixed); T = %zu, H = %zu, D = %zu, batch %zu\n"
        "\n",
        s.steps, s.hidden, s.inputs, s.batch);
    std::vector<Column> numbers{biases, gate, complete, path, no_input};
    print_table(numbers);

    Panel sweep{"From the last step to the first",
                "forget bias",
                "‖∂/∂c_1‖ / ‖∂/∂c_T‖",
                true,
                Corner::bottom_right,
                {}};
    sweep.series = {{"complete", biases.values, complete.values, Series::Style::line, 3},
                    {"cell path alone: Π f", biases.values, path.values, Series::Style::dashed, 3},
                    {"σ(bias)^(T-1): no input", biases.values, no_input.values, Series::Style::reference}};
    const std::size_t at_0 = index_of(0), at_1 = index_of(1), at_4 = index_of(4);
    Chart chart{format("An LSTM's forget bias and its gradient (T = %zu, H = %zu, D = %zu)", s.steps,
                       s.hidden, s.inputs),
                "",
                {steps, sweep}};
    chart.caption =
        format(
            "Along the cell state each step back multiplies by the forget gate, which a bias of 0, 1 and 4 "
            "holds at %.2f, %.2f and %.2f on average (σ(bias) without input: 0.50, 0.73, 0.98). ",
            gate.values[at_0], gate.values[at_1], gate.values[at_4]) +
        format(
            "With every h held fixed the gradient is the product of the forget gates (here to %.0e of it): "
            "from the last step to the first %.0e, %.0e and %.2f. ",
            deviation, path.values[at_0], path.values[at_1], path.values[at_4]) +
        format("The complete gradient takes the ways by h and the gates as well: %.0e, %.0e and %.2f. ",
               complete.values[at_0], complete.values[at_1], complete.values[at_4]) +
        "A forget bias of 1 slows the fading; the highway is open where forget gates are close to 1.";
    numbers.insert(numbers.end(), by_step.begin(), by_step.end());
    report(chart, numbers, s.picture);
}

}  // namespace examples
