#pragma once

#include <concepts>
#include <cstddef>

// Learning rates that change: schedule(step) is the rate of that step, counted from 0.
//
//     const nn::CosineAnnealingLR schedule{.learning_rate = 1e-2, .steps = 1000};
//     for (std::size_t step = 0; step < 1000; ++step) {
//         optimizer.set_learning_rate(schedule(step));
//         ...
//
// They remember nothing, so a run that goes on at a later step has the right rate, and need not save them. One with a
// learning rate of 1 is a factor, so that they combine: `decay(step) * warm_up(step)`. Names and definitions are those of
// PyTorch's schedulers. Numbers out of range, and lengths that weren't given, throw
// std::invalid_argument when a rate is asked for.

namespace xtape::nn {

/// learning_rate · gammaᵏ,  k = ⌊step / every⌋
struct StepLR {
    double learning_rate = 1;
    std::size_t every = 0;
    double gamma = 0.1;

    double operator()(std::size_t step) const;
};

/// learning_rate · gammaᵗ,  t = step
struct ExponentialLR {
    double learning_rate = 1;
    double gamma = 0.99;

    double operator()(std::size_t step) const;
};

/// From start_factor · learning_rate at step 0 in a straight line to end_factor · learning_rate at step `steps`, where it stays:
/// a linear warm-up.
struct LinearLR {
    double learning_rate = 1;
    std::size_t steps = 0;
    double start_factor = 1.0 / 3;
    double end_factor = 1;

    double operator()(std::size_t step) const;
};

/// min_rate + (learning_rate - min_rate) (1 + cos(π step / steps)) / 2
/// After `steps` it rises again, as a cosine does. (Loshchilov and Hutter, 2017)
struct CosineAnnealingLR {
    double learning_rate = 1;
    std::size_t steps = 0;
    double min_rate = 0;

    double operator()(std::size_t step) const;
};

/// The falling half of a cosine, over and over: the first time over first_period steps, and each time over `factor` times as
/// many as before. (Loshchilov and Hutter, 2017)
struct CosineAnnealingWarmRestarts {
    double learning_rate = 1;
    std::size_t first_period = 0;
    std::size_t factor = 1;
    double min_rate = 0;

    double operator()(std::size_t step) const;
};

/// Up from max_rate / start_divisor to max_rate, and down to max_rate / (start_divisor · end_divisor) at the last of `steps`,
/// where it stays. rising_part of the steps goes up, to step rising_part · steps - 1. In three phases it first takes as many
/// down to where it began. Phases are halves of a cosine, or straight lines. (Smith and Topin, 2018)
struct OneCycleLR {
    double max_rate = 1;
    std::size_t steps = 0;
    double rising_part = 0.3;
    double start_divisor = 25;
    double end_divisor = 1e4;
    bool linear = false;
    bool three_phases = false;

    double operator()(std::size_t step) const;
};

struct ReduceLROnPlateauOptions {
    double learning_rate = 1;
    double factor = 0.1;
    std::size_t patience = 10;
    double threshold = 1e-4;          ///< what is better by less isn't better
    bool absolute_threshold = false;  ///< or else a part of the best value
    bool larger_is_better = false;
    std::size_t cooldown = 0;
    double min_rate = 0;
    double least_change = 1e-8;
};

/// Multiplies the rate by `factor`, not below min_rate, when a metric was no better than its best value more than `patience`
/// times in a row. For the `cooldown` times that follow nothing is counted. A reduction by least_change or less isn't made.
/// NaN is no better than anything.
class ReduceLROnPlateau {
public:
    /// Throws std::invalid_argument for options out of range.
    explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {});

    /// Takes the metric's next value; the rate from here on.
    double operator()(double metric);
    /// A step is no metric: this isn't a schedule.
    template <std::same_as<std::size_t> Step>
    double operator()(Step) = delete;
    double learning_rate() const { return options_.learning_rate; }

    /// What changes as metrics come: a run that goes on needs it.
    template <class F>
    void visit(F&& f) {
        f("learning_rate", options_.learning_rate);
        f("best", best_);
        f("in_a_row", in_a_row_);
        f("cooldown_left", cooldown_left_);
    }

private:
    bool is_better(double metric) const;

    ReduceLROnPlateauOptions options_;
    double best_;
    std::size_t in_a_row_ = 0;
    std::size_t cooldown_left_ = 0;
};

}  // namespace xtape::nn
