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

/// What L_T = Σ h_T leaves at each step.
struct Flow {
    std::vector<double> h;        ///< ‖∂L/∂h_t‖
    std::vector<double> c;        ///< ‖∂L/∂c_t‖, of the sum of the next two
    std::vector<double> by_gate;  ///< ‖∂L/∂c_{t+1} ⊙ f_{t+1}‖: along the cell state
    std::vector<double> by_h;     ///< ‖∂L/∂h_t ⊙ o_t ⊙ (1 − tanh²c_t)‖: by way of the output
    double deviation = 0;         ///< of that sum, the largest, relative
};

Flow measure(double bias, const StudySettings& s, const xt::xarray<double>& inputs, nn::Engine engine) {
    nn::LSTMCell<double> cell(s.inputs, s.hidden, engine);
    std::fill_n(cell.bias.data() + s.hidden, s.hidden, bias);  // gates in the order i, f, o, g
    Tape<double> tape;
    const auto states = nn::unroll_states(RecordingLSTM<double>(cell), tape.variable(inputs));
    std::vector<Var<double>> wanted;  // h_1, c_1, h_2, c_2, ...
    for (const auto& state : states) wanted.insert(wanted.end(), {state.h, state.c});
    const std::vector<Var<double>> gradients = grad(sum(states.back().h), wanted);

    Flow flow;
    for (std::size_t t = 0; t < states.size(); ++t) {
        const Var<double>&dh = gradients[2 * t], &dc = gradients[2 * t + 1];
        const Var<double> o = split<3>(states[t].gates)[2];
        const Var<double> by_h = dh * o * (1 - square(tanh(states[t].c)));
        Var<double> by_gate = nn::zeros(tape, {s.batch, s.hidden});  // nothing comes after the last step
        if (t + 1 < states.size()) by_gate = gradients[2 * t + 3] * split<3>(states[t + 1].gates)[1];
        flow.h.push_back(norm(dh));
        flow.c.push_back(norm(dc));
        flow.by_gate.push_back(norm(by_gate));
        flow.by_h.push_back(norm(by_h));
        flow.deviation = std::max(flow.deviation, norm(dc - by_gate - by_h) / norm(dc));
    }
    return flow;
}

}  // namespace

void study_cell(const StudySettings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> inputs = normal_tensor({s.steps, s.batch, s.inputs}, engine);
    std::printf("\nThe two states of an LSTM; L_T = Σ h_T, T = %zu, H = %zu, D = %zu, batch %zu\n", s.steps,
                s.hidden, s.inputs, s.batch);
    Chart chart{
        format("The gradients of an LSTM's two states (T = %zu, H = %zu, D = %zu)", s.steps, s.hidden,
               s.inputs),
        "‖∂L_T/∂c_t‖ and ‖∂L_T/∂h_t‖ run side by side, as each feeds the other: what reaches c_t comes from "
        "c_{t+1} through the forget gate, and from h_t through the output gate and tanh's slope. ",
        {}};
    const std::vector<double> time = count_to(s.steps);
    std::vector<Column> numbers{{"t", time}};
    double deviation = 0;
    for (const double bias : {1.0, 4.0}) {
        const Flow flow = measure(bias, s, inputs, engine);
        const std::string name = format("forget bias %g", bias);
        std::printf("\n%s\n", name.c_str());
        const std::vector<Column> columns{{"‖∂L_T/∂h_t‖", flow.h},
                                          {"‖∂L_T/∂c_t‖", flow.c},
                                          {"by the forget gate", flow.by_gate},
                                          {"by h_t", flow.by_h}};
        std::vector<Column> table{{"t", time}};
        table.insert(table.end(), columns.begin(), columns.end());
        print_table(table, std::max<std::size_t>(1, s.steps / 10));
        for (const Column& column : columns) numbers.push_back({column.name + ", " + name, column.values});

        Panel panel{"LSTM, " + name,
                    "time step t",
                    "norm of the gradient",
                    true,
                    bias > 2 ? Corner::top_left : Corner::bottom_right,
                    {}};
        panel.series = {{"∂L_T/∂h_t", time, flow.h, Series::Style::line, 0},
                        {"∂L_T/∂c_t", time, flow.c, Series::Style::line, 3},
                        {"its part by the forget gate", time, flow.by_gate, Series::Style::dashed, 1},
                        {"its part by h_t", time, flow.by_h, Series::Style::dashed, 5}};
        chart.panels.push_back(panel);
        const std::size_t middle = s.steps / 2;
        chart.caption += format(
            "With %s the part by the forget gate is %.1f times as long as the other in the middle of the "
            "sequence, and c's gradient %.1f times as long as h's; from the last step to the first "
            "‖∂L_T/∂c_t‖ is multiplied by %.1g, ‖∂L_T/∂h_t‖ by %.1g. ",
            name.c_str(), flow.by_gate[middle] / flow.by_h[middle], flow.c[middle] / flow.h[middle],
            flow.c.front() / flow.c.back(), flow.h.front() / flow.h.back());
        deviation = std::max(deviation, flow.deviation);
    }
    chart.caption += format(
        "∂L_T/∂h_T is 1 in each element, and one step back h is felt only by way of the gates: that is the "
        "drop at the right. (The two parts add up to ∂L_T/∂c_t to %.0e.)",
        deviation);
    report(chart, numbers, s.picture);
}

}  // namespace examples
