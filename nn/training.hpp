#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "nn/clip.hpp"
#include "nn/module.hpp"
#include "nn/optimizer.hpp"
#include "nn/state_file.hpp"
#include "nn/training_state.hpp"

// A training loop. All that it does to a model is this:
//
//     tape.clear();
//     backward(loss(tape), {.release_values = true});
//     nn::clip_grad_norm(model, max_norm);
//     optimizer.set_learning_rate(schedule(step));
//     optimizer.step();
//     nn::zero_grad(model);
//
// The rest is when to end, when to validate, and what has to be remembered for that. Who wants it otherwise writes these lines.

namespace xtape::nn {

/// When something is done again: after so many steps, parts of the run, or seconds. 0 is never.
struct Every {
    std::size_t steps = 0;
    std::size_t parts = 0;  ///< of all steps or of all the time, whichever is further
    double seconds = 0;
};

struct TrainingOptions {
    std::size_t steps = 1000;                                  ///< at most
    double seconds = std::numeric_limits<double>::infinity();  ///< at most

    /// Losses in a step, which follows the mean of their gradients.
    std::size_t accumulate = 1;
    /// To which gradients are clipped.
    double max_norm = std::numeric_limits<double>::infinity();
    /// Of a gradient that isn't finite: `leave` leaves the step out.
    NonFinite non_finite = NonFinite::raise;
    /// A schedule, schedule(step); without one the optimizer keeps the rate that it has. For ReduceLROnPlateau the observer
    /// sets it: `if (now.has_new_validation()) optimizer.set_learning_rate(plateau(now.validation));`
    std::function<double(std::size_t)> learning_rate = {};

    Every validate = {.parts = 20};   ///< besides at the start and at the end
    Every record = {};                ///< points of the curve that need no validation
    bool larger_is_better = false;    ///< of what validations give: accuracies, not losses
    std::optional<double> goal = {};  ///< a validation that is better ends the training
    std::size_t patience = 0;         ///< so do so many in a row that weren't better than the best; 0: never
    std::function<bool()> stop = {};  ///< asked before each step: true ends the training

    std::string checkpoint = {};   ///< the file from which the run can be resumed; empty: none
    Every save = {.seconds = 60};  ///< besides at the end
};

/// A loss that is NaN or infinite.
struct NonFiniteLoss : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Why a training ended.
enum class TrainingEnd { steps, seconds, goal, patience, stop };

namespace detail {

/// The part of a training loop that knows of no model.
class TrainingControl {
public:
    /// Throws std::invalid_argument for options out of range.
    explicit TrainingControl(TrainingOptions options);

    const TrainingOptions options;
    TrainingState state;

    /// Goes on where the state is.
    void start_clock();
    std::optional<TrainingEnd> end() const;

    bool has_checkpoint() const;
    /// Of what was loaded. Throws FileError.
    void check_state() const;

    /// Whether it has become time with the last step.
    bool is_due(const Every& every) const;

    void check_tape(bool is_ours) const;
    void check_loss(double loss) const;
    /// Some ends need one.
    void check_validation(bool is_given) const;
    [[noreturn]] void rethrow(const GradientError& error) const;
    void step_done(double loss, double gradient_norm);
    void add_point(std::optional<double> validation);
    /// Whether the curve has all that is known of the last step.
    bool is_complete(bool validated) const;

private:
    struct Moment {
        std::size_t step = 0;
        double seconds = 0;
    };
    void read_clock();
    std::size_t parts_done(std::size_t parts, const Moment& at) const;

    Moment before_, at_;  // the last step's beginning and its end
    std::chrono::steady_clock::time_point started_;
};

/// Nothing else has to be saved.
struct NothingElse {
    template <class F>
    void operator()(F&) const {}
};

/// While it lives, a model is in evaluation mode.
template <class M>
class Evaluation {
public:
    explicit Evaluation(M& model) : model_(model) { eval(model_); }
    ~Evaluation() { train(model_); }
    Evaluation(const Evaluation&) = delete;
    Evaluation& operator=(const Evaluation&) = delete;

private:
    M& model_;
};

template <class T>
T optimizer_value(const Optimizer<T>&);

}  // namespace detail

/// Trains a model until the steps are done, or one of the other ends comes first.
///
///     nn::AdamW optimizer(model);
///     nn::Batches batches(N, {.size = 32});
///     nn::Training training(model, optimizer, {.steps = 5000, .max_norm = 1, .patience = 5, .checkpoint = "run.safetensors"},
///                           [&](auto& f) { f("batches", batches); });
///     training.resume();  // if there is such a file
///     training.run([&](Tape<float>& tape) { return model.loss(tape, nn::batch_of(xs, batches.next())); },
///                  [&](Tape<float>& tape) { return model.loss(tape, held_out).item(); });
///
/// A checkpoint holds the model, the optimizer, the state and what the last argument lists: whatever else changes in a run, as
/// batches, engines and carried states. A run that is resumed then does, bit by bit, what it would have done unbroken, unless
/// it looks at the time.
template <class Model, class Opt, class Others = detail::NothingElse>
class Training {
public:
    using value_type = decltype(detail::optimizer_value(std::declval<const Opt&>()));
    using Loss = std::function<Var<value_type>(Tape<value_type>&)>;
    using Validate = std::function<double(Tape<value_type>&)>;
    using Observe = std::function<void(const TrainingState&)>;

    /// Refers to the model and the optimizer. Throws std::invalid_argument for options out of range.
    Training(Model& model, Opt& optimizer, TrainingOptions options = {}, Others others = {})
        : model_(model), optimizer_(optimizer), control_(std::move(options)), others_(std::move(others)) {}

    /// Goes on from the checkpoint, if there is one; whether there is. Throws FileError, with everything as it was, if it isn't of
    /// such a run; a file whose curve is no curve leaves a training that can't be run.
    bool resume() {
        if (!control_.has_checkpoint()) return false;
        load(*this, control_.options.checkpoint);
        control_.check_state();
        return true;
    }

    /// Each loss is a scalar, on a tape that was cleared; the model is in training mode. The sweep releases the values that
    /// led to it, which takes less memory: what an observer is to see of them is copied in the loss. A validation is any
    /// number; nothing is recorded, the model is in evaluation mode. `observe` is called at the start of a new
    /// run, after every step, and at the end if that added to the curve.
    ///
    /// A run that has ended doesn't go on in the same object as if it hadn't: that is what resume is for.
    ///
    /// Throws std::invalid_argument for a goal or a patience without a validation, TapeError for a loss of another tape,
    /// NonFiniteLoss or, for a gradient, GradientError if one isn't finite, and whatever is thrown by what it calls. The
    /// parameters are then those that the last step left.
    TrainingEnd run(const Loss& loss, const Validate& validate = {}, const Observe& observe = {}) {
        control_.check_validation(validate != nullptr);
        TrainingState& state = control_.state;
        const TrainingOptions& options = control_.options;
        const auto tell = [&] {
            if (observe) observe(state);
            state.has_new_point = false;
        };
        train(model_);
        control_.start_clock();
        state.has_new_point = false;  // what an exception left
        if (state.curve.step.empty()) {
            add_point(validate);
            tell();
        }
        std::optional<TrainingEnd> end;
        bool is_saved = false;
        while (!(end = control_.end())) {
            take_step(loss);
            const bool validates = control_.is_due(options.validate);
            if (validates || control_.is_due(options.record)) add_point(validates ? validate : Validate());
            tell();  // before it is saved: it may be who changes the learning rate
            is_saved = control_.is_due(options.save);
            if (is_saved) save();
        }
        // What is done because it is the end isn't saved: a run that goes on from here wouldn't have done it.
        if (!is_saved) save();
        if (!control_.is_complete(validate != nullptr)) {
            add_point(validate);
            tell();
        }
        return *end;
    }

    const TrainingState& state() const { return control_.state; }
    /// Of losses and validations: `tape().set_threads(2)`.
    Tape<value_type>& tape() { return tape_; }

    template <class F>
    void visit(F&& f) {
        f("model", model_);
        f("optimizer", optimizer_);
        f("training", control_.state);
        others_(f);
    }

private:
    void take_step(const Loss& loss) {
        const TrainingOptions& options = control_.options;
        if (options.learning_rate) optimizer_.set_learning_rate(options.learning_rate(control_.state.step));
        zero_grad(model_);
        double sum = 0;
        for (std::size_t k = 0; k < options.accumulate; ++k) {
            tape_.clear();
            const Var<value_type> value = loss(tape_);
            control_.check_tape(&value.tape() == &tape_);
            control_.check_loss(value.item());
            sum += value.item();
            const Var<value_type> mean =
                options.accumulate == 1
                    ? value
                    : Var<value_type>(value *
                                      static_cast<value_type>(1.0 / static_cast<double>(options.accumulate)));
            backward(mean, {.release_values = true});
        }
        double norm = 0;
        try {
            norm = clip_grad_norm(model_, options.max_norm, options.non_finite);
        } catch (const GradientError& error) {
            control_.rethrow(error);
        }
        if (std::isfinite(norm)) optimizer_.step();
        zero_grad(model_);
        control_.step_done(sum / static_cast<double>(options.accumulate), norm);
    }

    void add_point(const Validate& validate) {
        std::optional<double> validation;
        if (validate) {
            tape_.clear();
            const NoRecording nothing(tape_);
            const detail::Evaluation evaluation(model_);
            validation = validate(tape_);
        }
        control_.add_point(validation);
    }

    void save() const {
        const std::string& file = control_.options.checkpoint;
        if (!file.empty()) nn::save(*this, file);
    }

    Model& model_;
    Opt& optimizer_;
    detail::TrainingControl control_;
    Others others_;
    Tape<value_type> tape_;
};

}  // namespace xtape::nn
