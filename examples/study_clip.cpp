#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/progress.hpp"
#include "examples/study.hpp"

namespace examples {

namespace {

namespace nn = xtape::nn;
using xtape::Tape;
using xtape::Var;

/// An RNN that reads T numbers and is to say their sum over √T. W_hh starts as λQ, Q orthogonal.
struct Summer {
    Summer(double radius, std::size_t hidden, nn::Engine& engine)
        : cell(1, hidden, engine), readout(hidden, 1, engine) {
        nn::orthogonal(cell.w_hh, engine, radius);
    }

    /// Mean square error. Independent numbers of variance 1: who always says 0 has an error of 1.
    Var<double> loss(Tape<double>& tape, const xt::xarray<double>& numbers) const {  // (T, B, 1)
        const Var<double> xs = tape.constant(numbers);
        const Var<double> sums = sum(xs, {0}) / std::sqrt(static_cast<double>(numbers.shape(0)));
        return nn::mse(readout(nn::unroll(cell, xs).state), sums);
    }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("readout", readout);
    }

    nn::RNNCell<double> cell;
    nn::Linear<double> readout;
};

struct Training {
    std::vector<double> loss;    ///< smoothed
    std::vector<double> before;  ///< norm of all gradients
    std::vector<double> after;   ///< the same, clipped
    bool finite = true;          ///< false if it ended early with a gradient that wasn't
};

constexpr double start_radius = 1.4, learning_rate = 0.05;
constexpr std::size_t training_steps = 400, training_batch = 32;

/// Both runs, with clipping and without, start from the same weights and read the same numbers.
Training train(bool clips, const StudySettings& s, nn::Engine engine) {
    Summer model(start_radius, s.hidden, engine);
    nn::SGD<double> sgd(model, {.learning_rate = learning_rate});
    Tape<double> tape;
    Training log;
    Progress progress;
    double smooth = 0;
    for (std::size_t step = 1; step <= training_steps; ++step) {
        tape.clear();
        const Var<double> loss = model.loss(tape, normal_tensor({s.steps, training_batch, 1}, engine));
        backward(loss);
        try {
            log.before.push_back(clips ? nn::clip_grad_norm(model, s.max_norm) : nn::grad_norm(model));
            log.after.push_back(nn::grad_norm(model));
        } catch (const xtape::GradientError&) {
            log.finite = false;
            break;
        }
        sgd.step();
        nn::zero_grad(model);
        smooth = step == 1 ? loss.item() : 0.9 * smooth + 0.1 * loss.item();
        log.loss.push_back(smooth);
        progress.update(static_cast<double>(step) / static_cast<double>(training_steps), step,
                        format("loss %.3g, %s", smooth, clips ? "clipped" : "not clipped"));
    }
    progress.finish();
    return log;
}

double largest(const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); }

}  // namespace

void study_clip(const StudySettings& s) {
    nn::Engine engine(s.seed);
    const xt::xarray<double> numbers = normal_tensor({s.steps, s.batch, 1}, engine);
    std::vector<double> radii, before, after;
    Tape<double> tape;
    for (int percent = 50; percent <= 200; percent += 10) {
        nn::Engine start = engine;
        Summer model(percent / 100.0, s.hidden, start);
        tape.clear();
        backward(model.loss(tape, numbers));
        radii.push_back(percent / 100.0);
        before.push_back(nn::clip_grad_norm(model, s.max_norm));
        after.push_back(nn::grad_norm(model));
    }
    std::printf(
        "\n"
        "Clipping: the norm of all gradients of an RNN that is to sum T = %zu numbers, its W_hh = λQ with\n"
        "Q orthogonal, H = %zu; before and after clip_grad_norm to %g\n"
        "\n",
        s.steps, s.hidden, s.max_norm);
    std::vector<Column> columns{{"λ", radii}, {"before", before}, {"after", after}};
    print_table(columns);

    std::printf("\nTraining from λ = %g: SGD, learning rate %g, batch %zu\n", start_radius, learning_rate,
                training_batch);
    std::fflush(stdout);
    const Training plain = train(false, s, engine), clipped = train(true, s, engine);
    std::vector<Column> training{{"training step", count_to(training_steps)},
                                 {"loss", plain.loss},
                                 {"norm", plain.before},
                                 {"loss, clipped", clipped.loss},
                                 {"before clipping", clipped.before},
                                 {"after clipping", clipped.after}};
    print_table(training, training_steps / 10);

    Panel by_radius{
        "One gradient", "spectral radius λ of W_hh", "norm of all gradients", true, Corner::top_left, {}};
    by_radius.series = {{"before clipping", radii, before, Series::Style::line, 1},
                        {"after clip_grad_norm", radii, after, Series::Style::line, 0}};
    Panel norms{"Over training", "training step", "norm of all gradients", true, Corner::top_right, {}};
    Panel losses{"What becomes of the loss",
                 "training step",
                 "mean square error, smoothed",
                 true,
                 Corner::top_right,
                 {}};
    const std::vector<double>& step = training[0].values;
    const auto first = [&](const std::vector<double>& values) {  // a diverged run ends early
        return std::vector<double>(step.begin(), step.begin() + std::ssize(values));
    };
    norms.series = {{"without clipping", first(plain.before), plain.before, Series::Style::line, 1},
                    {"with clipping: before", first(clipped.before), clipped.before, Series::Style::line, 2},
                    {"with clipping: after", first(clipped.after), clipped.after, Series::Style::line, 0}};
    losses.series = {{"without clipping", first(plain.loss), plain.loss, Series::Style::line, 1},
                     {"with clipping", first(clipped.loss), clipped.loss, Series::Style::line, 0},
                     {"always saying 0", {step.front(), step.back()}, {1, 1}, Series::Style::reference}};
    Chart chart{format("Clipping the norm of a gradient that explodes (T = %zu, H = %zu, at most %g)",
                       s.steps, s.hidden, s.max_norm),
                "",
                {by_radius, norms, losses}};
    const auto clipped_steps = std::count_if(clipped.before.begin(), clipped.before.end(),
                                             [&](double norm) { return norm > s.max_norm; });
    chart.caption =
        format(
            "Left: where the norm of all gradients is above %g, clip_grad_norm multiplies each of them by "
            "the same number: the direction stays, the length is %g (at λ = %g it was %.2g). ",
            s.max_norm, s.max_norm, radii.back(), before.back()) +
        format(
            "Middle and right: an RNN that is to sum its inputs, trained from λ = %g. Without clipping the "
            "largest gradient of a step has norm %.1g, and one such step moves the weights far away: ",
            start_radius, largest(plain.before)) +
        (plain.finite ? format("the loss is %.2g after %zu steps. ", plain.loss.back(), plain.loss.size())
                      : format("after %zu steps the gradient isn't finite. ", plain.loss.size())) +
        format(
            "With clipping, which shortened the gradient in %td of %zu steps, the largest norm before it is "
            "%.2g, and the loss at the end %.2g.",
            clipped_steps, clipped.loss.size(), largest(clipped.before), clipped.loss.back());
    columns.insert(columns.end(), training.begin(), training.end());
    report(chart, columns, s.picture);
}

}  // namespace examples
