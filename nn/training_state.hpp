#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace xtape::nn {

/// A loss curve, by points.
struct LossCurve {
    std::vector<double> step;        ///< how many steps were done
    std::vector<double> seconds;     ///< since the start
    std::vector<double> training;    ///< mean of the losses since the point before; NaN at the start
    std::vector<double> validation;  ///< NaN where there was none

    template <class F>
    void visit(F&& f) {
        f("step", step);
        f("seconds", seconds);
        f("training", training);
        f("validation", validation);
    }
};

/// Where a training stands.
struct TrainingState {
    static constexpr double none = std::numeric_limits<double>::quiet_NaN();

    std::size_t step = 0;  ///< how many are done
    double seconds = 0;    ///< since the start, those of earlier runs included
    double part = 0;       ///< of the steps or of the time, whichever is further: 0 ... 1

    double loss = none;           ///< of the last step
    double smooth_loss = none;    ///< 0.95 of what it was and 0.05 of the last one
    double gradient_norm = none;  ///< of the last step, before it was clipped
    std::size_t left_out = 0;     ///< steps whose gradient wasn't finite
    double validation = none;     ///< the last one

    bool is_validated = false;  ///< there was a validation after the last step

    double best = none;          ///< validation so far
    std::size_t best_step = 0;   ///< the step after which it was that
    std::size_t since_best = 0;  ///< validations after it

    LossCurve curve;
    bool has_new_point = false;  ///< the curve has more than when this was last told

    bool has_new_validation() const { return has_new_point && !std::isnan(curve.validation.back()); }
    /// Whether there was a validation just now that is the best one so far: the time to save a model.
    bool has_new_best() const { return has_new_validation() && since_best == 0; }

    template <class F>
    void visit(F&& f) {
        f("step", step);
        f("seconds", seconds);
        f("loss", loss);
        f("smooth_loss", smooth_loss);
        f("gradient_norm", gradient_norm);
        f("left_out", left_out);
        f("validation", validation);
        f("is_validated", is_validated);
        f("best", best);
        f("best_step", best_step);
        f("since_best", since_best);
        f("curve", curve);
        f("loss_sum", loss_sum);
        f("loss_count", loss_count);
    }

    double loss_sum = 0;  // since the last point
    std::size_t loss_count = 0;
};

}  // namespace xtape::nn
