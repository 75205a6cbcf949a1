#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdio>

#include <xtensor-blas/xlinalg.hpp>

#include "examples/study.hpp"

namespace examples {

namespace {

using xtape::Tape;
using xtape::Var;
using Matrix = xt::xarray<double>;

/// Independent normal elements, scaled to a spectral radius of 1.
Matrix random_matrix(std::size_t H, xtape::nn::Engine& engine) {
    const Matrix a = normal_tensor({H, H}, engine);
    const xt::xtensor<std::complex<double>, 1> eigenvalues = xt::linalg::eigvals(a);
    return a / xt::amax(xt::abs(eigenvalues))();
}

/// ‖∂L/∂h_t‖ for t = 0...T of h_t = W_t h_{t-1}, L = Σ h_T. The matrices are used in turn: one of them is tied weights.
std::vector<double> flow(double radius, const std::vector<Matrix>& matrices, const Matrix& start,
                         std::size_t steps) {
    Tape<double> tape;
    std::vector<Var<double>> weights;
    for (const Matrix& matrix : matrices)
        weights.push_back(transpose(tape.constant(Matrix(radius * matrix))));
    std::vector<Var<double>> h{tape.variable(start)};
    for (std::size_t t = 0; t < steps; ++t) h.push_back(matmul(h.back(), weights[t % weights.size()]));
    return gradient_norms(sum(h.back()), h);
}

}  // namespace

void study_tied(const StudySettings& s) {
    constexpr std::size_t draws = 8;
    xtape::nn::Engine engine(s.seed);
    const std::vector<double> back = count_to(s.steps);
    std::vector<double> tied_growth(s.steps),
        fresh_growth(s.steps);  // means of logarithms, then what they are of
    std::vector<double> ends;   // fresh / tied, all steps, of each draw
    std::vector<Column> by_step{{"t", count_to(s.steps + 1)}};
    for (double& t : by_step[0].values) --t;  // from h_0 on
    Panel steps{"Step by step, one draw", "time step t", "‖∂L_T/∂h_t‖", true, Corner::bottom_right, {}};
    for (std::size_t draw = 0; draw < draws; ++draw) {
        const Matrix start = normal_tensor({s.batch, s.hidden}, engine);
        std::vector<Matrix> fresh;
        for (std::size_t t = 0; t < s.steps; ++t) fresh.push_back(random_matrix(s.hidden, engine));
        const std::vector<Matrix> tied{fresh.front()};
        const std::vector<double> of_tied = flow(1, tied, start, s.steps);
        const std::vector<double> of_fresh = flow(1, fresh, start, s.steps);
        for (std::size_t k = 1; k <= s.steps; ++k) {
            const auto growth = [&](const std::vector<double>& norms) {
                return std::log(norms[s.steps - k] / norms.back()) / static_cast<double>(k);
            };
            tied_growth[k - 1] += growth(of_tied) / draws;
            fresh_growth[k - 1] += growth(of_fresh) / draws;
            if (k == s.steps) ends.push_back(std::exp(growth(of_fresh) - growth(of_tied)));
        }
        if (draw > 0) continue;
        for (const double lambda : {0.8, 1.0, 1.2}) {
            const int colour = static_cast<int>(steps.series.size() / 2);
            const std::string name = format("λ = %g", lambda);
            by_step.push_back({"tied, " + name, flow(lambda, tied, start, s.steps)});
            steps.series.push_back(
                {name + ", tied", by_step[0].values, by_step.back().values, Series::Style::line, colour});
            by_step.push_back({"fresh, " + name, flow(lambda, fresh, start, s.steps)});
            steps.series.push_back(
                {name + ", fresh", by_step[0].values, by_step.back().values, Series::Style::dashed, colour});
        }
    }
    for (std::vector<double>* growth : {&tied_growth, &fresh_growth}) {
        for (double& logarithm : *growth) logarithm = std::exp(logarithm);
    }

    std::printf(
        "\n"
        "Tied against fresh weights: what k steps back multiply a gradient by, per step, through\n"
        "h_t = W h_{t-1} and h_t = W_t h_{t-1}; normal matrices of spectral radius λ = 1 (any other λ\n"
        "multiplies each step by it), means of %zu draws, T = %zu, H = %zu, batch %zu\n"
        "\n",
        draws, s.steps, s.hidden, s.batch);
    std::vector<Column> numbers{{"k", back}, {"tied", tied_growth}, {"fresh", fresh_growth}};
    print_table(numbers, std::max<std::size_t>(1, s.steps / 10));

    Panel growth{"Growth per step, λ = 1",
                 "steps back k",
                 "(‖∂L_T/∂h_{T-k}‖ / ‖∂L_T/∂h_T‖)^(1/k)",
                 false,
                 Corner::bottom_right,
                 {}};
    growth.series = {{"tied: the same matrix k times", back, tied_growth, Series::Style::line, 0},
                     {"fresh: k different ones", back, fresh_growth, Series::Style::dashed, 1},
                     {"λ", {1, back.back()}, {1, 1}, Series::Style::reference}};
    const auto [least, most] = std::minmax_element(ends.begin(), ends.end());
    Chart chart{format("The same matrix, as in a recurrence, or others, as in a deep net (T = %zu, H = %zu)",
                       s.steps, s.hidden),
                "",
                {growth, steps}};
    chart.caption =
        format(
            "A recurrence multiplies a gradient by the same matrix at each step, a deep feed-forward net by "
            "another one in each layer. At equal spectral radius λ the two do nearly the same: over %zu "
            "steps each step multiplies by %.3f λ (tied) or %.3f λ (fresh), and in %zu draws the fresh "
            "factor was between %.2f and %.2f of the tied one. ",
            s.steps, tied_growth.back(), fresh_growth.back(), draws, *least, *most) +
        "Whether a gradient vanishes or explodes is a matter of the radius far more than of the repetition. "
        "In the long run repetition multiplies by the largest eigenvalue, λ, and different random matrices "
        "by their mean gain, which is a little less than their radius and comes closer to it as H grows.";
    numbers.insert(numbers.end(), by_step.begin(), by_step.end());
    report(chart, numbers, s.picture);
}

}  // namespace examples
