#include "nn/training.hpp"

#include <algorithm>
#include <filesystem>

#include "nn/options.hpp"

namespace xtape::nn::detail {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

double real(std::size_t count) { return static_cast<double>(count); }

bool is_better(double validation, double than, bool larger_is_better) {
    return larger_is_better ? validation > than : validation < than;
}

}  // namespace

TrainingControl::TrainingControl(TrainingOptions given) : options(std::move(given)) {
    check_positive("Training", "accumulate", options.accumulate);
    check_not_negative("Training", "seconds", options.seconds);
    if (!(options.max_norm > 0)) {
        throw std::invalid_argument("[Training] max_norm is " + std::to_string(options.max_norm) +
                                    ": expected a positive number");
    }
}

void TrainingControl::start_clock() {
    started_ = Clock::now() - std::chrono::duration_cast<Clock::duration>(Seconds(state.seconds));
    read_clock();
    at_ = {state.step, state.seconds};
}

void TrainingControl::read_clock() {
    state.seconds = Seconds(Clock::now() - started_).count();
    const double by_steps = options.steps > 0 ? real(state.step) / real(options.steps) : 1;
    state.part = std::min(1.0, std::max(by_steps, state.seconds / options.seconds));
}

bool TrainingControl::has_checkpoint() const {
    std::error_code unreadable;  // is said when it is opened
    return !options.checkpoint.empty() &&
           (std::filesystem::exists(options.checkpoint, unreadable) || unreadable);
}

void TrainingControl::check_state() const {
    const auto& [step, seconds, training, validation] = state.curve;
    if (seconds.size() != step.size() || training.size() != step.size() || validation.size() != step.size())
        throw FileError("Training", options.checkpoint, "a curve of lists that differ in length");
    if (!(state.seconds >= 0) || !std::isfinite(state.seconds))
        throw FileError("Training", options.checkpoint,
                        "a run of " + std::to_string(state.seconds) + " seconds");
}

std::optional<TrainingEnd> TrainingControl::end() const {
    if (state.step >= options.steps) return TrainingEnd::steps;
    if (options.goal && is_better(state.validation, *options.goal, options.larger_is_better))
        return TrainingEnd::goal;
    if (options.patience > 0 && state.since_best >= options.patience) return TrainingEnd::patience;
    if (state.seconds >= options.seconds) return TrainingEnd::seconds;
    if (options.stop && options.stop()) return TrainingEnd::stop;
    return std::nullopt;
}

std::size_t TrainingControl::parts_done(std::size_t parts, const Moment& at) const {
    const double by_time = std::min(1.0, at.seconds / options.seconds) * real(parts);
    return std::max(at.step * parts / options.steps, static_cast<std::size_t>(by_time));
}

bool TrainingControl::is_complete(bool validated) const {
    return state.curve.step.back() == real(state.step) && (!validated || state.is_validated);
}

bool TrainingControl::is_due(const Every& every) const {
    if (every.steps > 0 && state.step % every.steps == 0) return true;
    if (every.parts > 0 && parts_done(every.parts, at_) > parts_done(every.parts, before_)) return true;
    return every.seconds > 0 &&
           std::floor(at_.seconds / every.seconds) > std::floor(before_.seconds / every.seconds);
}

void TrainingControl::check_tape(bool is_ours) const {
    if (!is_ours)
        throw TapeError("[Training] a loss of another tape: expected one of the tape that it was given");
}

void TrainingControl::check_validation(bool is_given) const {
    if (is_given || (!options.goal && options.patience == 0)) return;
    throw std::invalid_argument(
        "[Training] a goal or a patience without a validation: expected run(loss, validate)");
}

void TrainingControl::check_loss(double loss) const {
    if (std::isfinite(loss)) return;
    throw NonFiniteLoss("[Training] the loss of step " + std::to_string(state.step) + " is " +
                        std::to_string(loss) + ": expected a finite number");
}

void TrainingControl::rethrow(const GradientError& error) const {
    throw GradientError("[Training] in step " + std::to_string(state.step) + ": " + error.what());
}

void TrainingControl::step_done(double loss, double gradient_norm) {
    ++state.step;
    read_clock();
    state.is_validated = false;
    before_ = std::exchange(at_, {state.step, state.seconds});
    state.loss = loss;
    state.smooth_loss = state.step == 1 ? loss : 0.95 * state.smooth_loss + 0.05 * loss;
    state.gradient_norm = gradient_norm;
    state.left_out += !std::isfinite(gradient_norm);
    state.loss_sum += loss;
    ++state.loss_count;
}

void TrainingControl::add_point(std::optional<double> validation) {
    read_clock();
    LossCurve& curve = state.curve;
    if (curve.step.empty() || curve.step.back() < real(state.step)) {
        curve.step.push_back(real(state.step));
        curve.seconds.push_back(state.seconds);
        curve.training.push_back(state.loss_count > 0 ? state.loss_sum / real(state.loss_count)
                                                      : TrainingState::none);
        curve.validation.push_back(TrainingState::none);
        state.loss_sum = 0;
        state.loss_count = 0;
    }
    curve.validation.back() = validation.value_or(TrainingState::none);
    state.has_new_point = true;
    if (!validation) return;

    state.is_validated = true;
    state.validation = *validation;
    const bool is_first = std::isnan(state.best) && !std::isnan(*validation);
    if (is_first || is_better(*validation, state.best, options.larger_is_better)) {
        state.best = *validation;
        state.best_step = state.step;
        state.since_best = 0;
    } else {
        ++state.since_best;
    }
}

}  // namespace xtape::nn::detail
