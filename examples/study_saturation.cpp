#include <cmath>
#include <cstdio>
#include <iterator>

#include "examples/study.hpp"

namespace examples {

namespace {

namespace nn = xtape::nn;
using xtape::Tape;
using xtape::Var;

/// For each gain of some of an RNN's weights.
struct Sweep {
    std::string name;
    bool scales_input, scales_state;
    std::vector<double> slope;      ///< mean 1 − h², over time, batch and units
    std::vector<double> saturated;  ///< share of |h| > 0.99
    std::vector<double> gradient;   ///< ‖∂L_T/∂h_1‖ / ‖∂L_T/∂h_T‖

    void measure(nn::RNNCell<double> cell, double gain, const xt::xarray<double>& inputs) {
        if (scales_input) cell.w_xh.value() *= gain;
        if (scales_state) cell.w_hh.value() *= gain;
        Tape<double> tape;
        const auto states = nn::unroll_states(cell, tape.variable(inputs));
        const Var<double> h = nn::stack_outputs(states);
        slope.push_back(mean(1 - square(h)).item());
        saturated.push_back(mean(abs(h) > 0.99).item());
        const std::vector<double> norms = gradient_norms(sum(states.back()), {states.begin(), states.end()});
        gradient.push_back(norms.front() / norms.back());
    }
};

}  // namespace

void study_saturation(const StudySettings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> inputs = normal_tensor({s.steps, s.batch, s.inputs}, engine);
    const nn::RNNCell<double> start(s.inputs, s.hidden, engine);
    Sweep sweeps[] = {{"W_xh", true, false, {}, {}, {}},
                      {"W_hh", false, true, {}, {}, {}},
                      {"both", true, true, {}, {}, {}}};
    std::vector<double> gains;  // as powers of two
    for (int halves = -4; halves <= 10; ++halves) {
        gains.push_back(halves / 2.0);
        for (Sweep& sweep : sweeps) sweep.measure(start, std::exp2(gains.back()), inputs);
    }
    constexpr std::size_t unscaled = 4;  // where the gain is 2⁰

    std::printf(
        "\n"
        "Saturation: an RNN whose starting weights are multiplied by a gain; L_T = Σ h_T, T = %zu,\n"
        "H = %zu, D = %zu, batch %zu. For each weight scaled: the mean of 1-h², the share of |h| > 0.99,\n"
        "and the ratio ‖∂L_T/∂h_1‖ / ‖∂L_T/∂h_T‖\n"
        "\n",
        s.steps, s.hidden, s.inputs, s.batch);
    std::vector<Column> numbers{{"log2 gain", gains}};
    Panel saturation{"How saturated the units are",
                     "log₂ of the gain (0: as training starts)",
                     "share, or mean of 1 - h²",
                     false,
                     Corner::top_left,
                     {}};
    Panel gradient{"The gradient with it",
                   "log₂ of the gain (0: as training starts)",
                   "‖∂L_T/∂h_1‖ / ‖∂L_T/∂h_T‖",
                   true,
                   Corner::top_left,
                   {}};
    for (int k = 0; k < std::ssize(sweeps); ++k) {
        const Sweep& sweep = sweeps[k];
        numbers.push_back({sweep.name + " 1-h²", sweep.slope});
        numbers.push_back({sweep.name + " |h|>.99", sweep.saturated});
        numbers.push_back({sweep.name + " ratio", sweep.gradient});
        gradient.series.push_back({sweep.name + " scaled", gains, sweep.gradient, Series::Style::line, k});
    }
    const Sweep &by_input = sweeps[0], &by_state = sweeps[1];
    saturation.series = {
        {"mean 1 - h², W_xh scaled", gains, by_input.slope, Series::Style::line, 0},
        {"mean 1 - h², W_hh scaled", gains, by_state.slope, Series::Style::line, 1},
        {"share of |h| > 0.99, W_xh scaled", gains, by_input.saturated, Series::Style::dashed, 0},
        {"share of |h| > 0.99, W_hh scaled", gains, by_state.saturated, Series::Style::dashed, 1}};
    gradient.series.push_back({"ratio 1", {gains.front(), gains.back()}, {1, 1}, Series::Style::reference});
    print_table(numbers);

    const std::size_t last = gains.size() - 1;
    Chart chart{format("Saturation and the gradient of an RNN (T = %zu, H = %zu, D = %zu)", s.steps, s.hidden,
                       s.inputs),
                "",
                {saturation, gradient}};
    chart.caption =
        format(
            "Larger weights drive |h| towards 1, where tanh is flat: the mean slope 1 - h² falls from %.2f "
            "as training starts to %.3f at a gain of %g of W_xh. ",
            by_input.slope[unscaled], by_input.slope[last], std::exp2(gains[last])) +
        format(
            "If the inputs do it, the gradient goes with the slopes: from the last step to the first it is "
            "multiplied by %.0e, then %.0e, as each step back multiplies by (1 - h²) W_hh, and W_hh is as "
            "it was. ",
            by_input.gradient[unscaled], by_input.gradient[last]) +
        format(
            "If W_hh does it, the mean slope falls too (to %.3f), but W_hh has grown, and the few units "
            "that aren't saturated at a step hand on a gradient that is multiplied by all of it: %.0e. "
            "Saturation alone doesn't say that a gradient vanishes; the product of slopes and weights does.",
            by_state.slope[last], by_state.gradient[last]);
    report(chart, numbers, s.picture);
}

}  // namespace examples
