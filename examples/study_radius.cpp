#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/study.hpp"

namespace examples {

namespace {

namespace nn = xtape::nn;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

/// ‖∂L/∂h_t‖ for t = 0...T, L = Σ h_T.
struct Flow {
    std::vector<double> linear;  ///< h_t = W h_{t-1}
    std::vector<double> alone;   ///< h_t = tanh(W h_{t-1})
    std::vector<double> driven;  ///< h_t = tanh(W h_{t-1} + x_t)
    double slope = 0;            ///< mean 1 − h² of the driven one
};

double first_to_last(const std::vector<double>& norms) { return norms.front() / norms.back(); }

/// W = λQ, with the same Q for each λ.
Flow measure(double radius, const xt::xarray<double>& inputs, const xt::xarray<double>& start,
             nn::Engine engine) {
    xtape::Parameter<double> weight(Shape{start.shape(1), start.shape(1)});
    nn::orthogonal(weight, engine, radius);
    Tape<double> tape;
    const Var<double> w = transpose(tape.watch(weight)), xs = tape.constant(inputs);
    const Var<double> h0 = tape.variable(start);
    const auto norms = [&](std::span<const Var<double>> states) {
        std::vector<Var<double>> wanted{h0};
        wanted.insert(wanted.end(), states.begin(), states.end());
        return gradient_norms(sum(states.back()), wanted);
    };
    const auto linear = [=](const Var<double>&, const Var<double>& h) -> Var<double> { return matmul(h, w); };
    const auto alone = [=](const Var<double>&, const Var<double>& h) -> Var<double> {
        return tanh(matmul(h, w));
    };
    const auto driven = [=](const Var<double>& x, const Var<double>& h) -> Var<double> {
        return tanh(matmul(h, w) + x);
    };
    Flow flow;
    flow.linear = norms(nn::unroll_states(nn::every_step(linear), xs, h0));
    flow.alone = norms(nn::unroll_states(nn::every_step(alone), xs, h0));
    const auto states = nn::unroll_states(nn::every_step(driven), xs, h0);
    flow.driven = norms(states);
    flow.slope = mean(1 - square(nn::stack_outputs(states))).item();
    return flow;
}

}  // namespace

void study_radius(const StudySettings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> inputs = normal_tensor({s.steps, s.batch, s.hidden}, engine);
    const xt::xarray<double> start = normal_tensor({s.batch, s.hidden}, engine);

    Column radius{"λ", {}}, power{"λ^T", {}}, linear{"linear", {}}, alone{"tanh", {}},
        driven{"tanh, inputs", {}}, slope{"its mean 1-h²", {}};
    std::vector<Column> by_step{{"t", count_to(s.steps + 1)}};
    for (double& t : by_step[0].values) --t;  // from h_0 on
    Panel steps{"Step by step", "time step t", "‖∂L_T/∂h_t‖", true, Corner::bottom_right, {}};
    double deviation = 0;
    for (int percent = 50; percent <= 150; percent += 5) {
        const double lambda = percent / 100.0;
        const Flow flow = measure(lambda, inputs, start, engine);
        radius.values.push_back(lambda);
        power.values.push_back(std::pow(lambda, static_cast<double>(s.steps)));
        linear.values.push_back(first_to_last(flow.linear));
        alone.values.push_back(first_to_last(flow.alone));
        driven.values.push_back(first_to_last(flow.driven));
        slope.values.push_back(flow.slope);
        deviation = std::max(deviation, std::abs(linear.values.back() / power.values.back() - 1));
        if (percent != 80 && percent != 100 && percent != 120) continue;
        const int colour = (percent - 80) / 20;
        const std::string name = format("λ = %g", lambda);
        steps.series.push_back(
            {name + ", linear", by_step[0].values, flow.linear, Series::Style::line, colour});
        steps.series.push_back(
            {name + ", tanh, inputs", by_step[0].values, flow.driven, Series::Style::dashed, colour});
        by_step.push_back({"linear " + name, flow.linear});
        by_step.push_back({"tanh, inputs " + name, flow.driven});
    }

    std::printf(
        "\n"
        "Spectral radius: ‖∂L_T/∂h_0‖ / ‖∂L_T/∂h_T‖ through h_t = W h_{t-1}, tanh(W h_{t-1}) and\n"
        "tanh(W h_{t-1} + x_t); W = λQ with Q orthogonal, L_T = Σ h_T, T = %zu, H = %zu, batch %zu\n"
        "\n",
        s.steps, s.hidden, s.batch);
    std::vector<Column> numbers{radius, power, linear, alone, driven, slope};
    print_table(numbers);

    Panel sweep{"From the last step to the first",
                "spectral radius λ of W",
                "‖∂L_T/∂h_0‖ / ‖∂L_T/∂h_T‖",
                true,
                Corner::bottom_right,
                {}};
    sweep.series = {
        {"linear: λ^T", radius.values, linear.values, Series::Style::line, 0},
        {"tanh", radius.values, alone.values, Series::Style::line, 1},
        {"tanh with inputs", radius.values, driven.values, Series::Style::line, 2},
        {"ratio 1", {radius.values.front(), radius.values.back()}, {1, 1}, Series::Style::reference}};
    const std::size_t at_1 = 10, last = radius.values.size() - 1;
    Chart chart{
        format("What the spectral radius does to a gradient (T = %zu, H = %zu, W = λQ)", s.steps, s.hidden),
        "",
        {sweep, steps}};
    chart.caption = format(
                        "The linear recurrence multiplies a gradient by λ at each step back, so by λ^T in "
                        "all: below λ = 1 it vanishes, above it explodes (measured and λ^T differ by at "
                        "most %.0e of it). ",
                        deviation) +
                    format(
                        "A tanh multiplies by 1 - h² ≤ 1 as well: at λ = 1 the gradient shrinks to %.2g, "
                        "and at λ = 1.5 it is multiplied by %.2g where the linear one is by %.2g. ",
                        alone.values[at_1], alone.values[last], linear.values[last]) +
                    format(
                        "Inputs of deviation 1 hold the states away from 0 (mean 1 - h² %.2f at λ = 1), "
                        "which multiplies the gradient by %.1g at λ = 1 and by %.1g at λ = 1.5.",
                        slope.values[at_1], driven.values[at_1], driven.values[last]);
    numbers.insert(numbers.end(), by_step.begin(), by_step.end());
    report(chart, numbers, s.picture);
}

}  // namespace examples
