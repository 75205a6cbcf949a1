#include "nn/lbfgs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "nn/options.hpp"

namespace xtape::nn {
namespace {

template <class T>
double dot(const T* a, const T* b, std::size_t count) {
    // Several sums side by side, always the same ones, so that a compiler may use vectors.
    constexpr std::size_t width = 16;
    std::array<double, width> sums{};
    std::size_t k = 0;
    for (; k + width <= count; k += width) {
        for (std::size_t lane = 0; lane < width; ++lane)
            sums[lane] += static_cast<double>(a[k + lane]) * static_cast<double>(b[k + lane]);
    }
    for (; k < count; ++k) sums[0] += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    double sum = 0;
    for (double part : sums) sum += part;
    return sum;
}

/// y ← y + factor x
template <class T>
void add(T* y, double factor, const T* x, std::size_t count) {
    const T by = static_cast<T>(factor);
    for (std::size_t k = 0; k < count; ++k) y[k] += by * x[k];
}

/// The largest |x|; NaN if there is one.
template <class T>
double largest_magnitude(const Array<T>& x) {
    T largest = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
        const T magnitude = std::abs(x.data()[k]);
        if (!(magnitude <= largest)) largest = magnitude;
        if (std::isnan(largest)) break;
    }
    return static_cast<double>(largest);
}

template <class T>
double sum_of_magnitudes(const Array<T>& x) {
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) sum += static_cast<double>(std::abs(x.data()[k]));
    return sum;
}

/// Where the cubic that has φ and φ' of both places is least, as far as it lies from `least` to `most`; their middle if it has no
/// minimum. (Nocedal and Wright, 3.59)
template <class Place>
double cubic_minimum(const Place& one, const Place& other, double least, double most) {
    const Place& a = one.t <= other.t ? one : other;
    const Place& b = one.t <= other.t ? other : one;
    const double d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t);
    const double d2 = std::sqrt(d1 * d1 - a.slope * b.slope);
    const double minimum = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2));
    return std::isfinite(minimum) ? std::clamp(minimum, least, most) : (least + most) / 2;
}

}  // namespace

template <class T>
LBFGS<T>::LBFGS(LBFGSOptions options) : options_(options) {
    detail::check_not_negative("LBFGS", "learning_rate", options.learning_rate);
    detail::check_positive("LBFGS", "iterations", options.iterations);
    detail::check_not_negative("LBFGS", "gradient_tolerance", options.gradient_tolerance);
    detail::check_not_negative("LBFGS", "change_tolerance", options.change_tolerance);
    detail::check_positive("LBFGS", "history", options.history);
    if (options.evaluations == 0) options_.evaluations = options.iterations * 5 / 4;
}

template <class T>
void LBFGS<T>::set_learning_rate(double rate) {
    detail::check_not_negative("LBFGS", "learning_rate", rate);
    options_.learning_rate = rate;
}

template <class T>
void LBFGS<T>::make_room() {
    for (const auto& parameter : parameters_) size_ += parameter->value.size();
    for (Array<T>* array : {&direction_, &gradient_before_, &start_, &here_.gradient, &low_.gradient,
                            &trial_.gradient, &high_.gradient})
        *array = Array<T>(Shape{size_});
    pair_ = Array<T>(Shape{2, size_});
    pairs_.reserve(options_.history);
    inverses_.resize(options_.history);
    parts_.resize(options_.history);
}

template <class T>
std::string LBFGS<T>::expected(const std::vector<Shape>& shapes) const {
    const Shape pair{2, size_};
    if (shapes.size() <= options_.history && std::ranges::count(shapes, pair) == std::ssize(shapes))
        return "";
    return "at most " + std::to_string(options_.history) + " of shape " + to_string(pair);
}

template <class T>
void LBFGS<T>::move_to(double t) {
    const T* x = start_.data();
    const T* d = direction_.data();
    for (const auto& parameter : parameters_) {
        const std::size_t count = parameter->value.size();
        T* const p = parameter->value.data();
        if (t == 0 || parameter->is_frozen) {
            std::copy_n(x, count, p);
        } else {
            for (std::size_t k = 0; k < count; ++k) p[k] = x[k] + static_cast<T>(t) * d[k];
        }
        x += count;
        d += count;
    }
}

template <class T>
void LBFGS<T>::evaluate_at(double t, Place& place, const Evaluate& evaluate) {
    place.t = t;
    place.loss = evaluate();
    T* g = place.gradient.data();
    for (const auto& parameter : parameters_) {
        const std::size_t count = parameter->value.size();
        if (parameter->has_grad)
            std::copy_n(parameter->grad.data(), count, g);
        else
            std::fill_n(g, count, T(0));
        g += count;
    }
    place.slope = dot(place.gradient.data(), direction_.data(), size_);
}

template <class T>
void LBFGS<T>::evaluate_here(const Evaluate& evaluate) {
    evaluate_at(0, here_, evaluate);
    if (!std::isfinite(here_.loss)) {
        throw GradientError("[LBFGS] the loss is " + std::to_string(here_.loss) +
                            ": expected a finite number");
    }
    if (!std::isfinite(largest_magnitude(here_.gradient)))
        throw GradientError("[LBFGS] a gradient isn't finite: expected finite numbers");
}

template <class T>
double LBFGS<T>::iterate(const Evaluate& evaluate) {
    for (std::size_t k = 0; k < pairs_.size(); ++k) inverses_[k] = 1 / dot(y(k), s(k), size_);
    evaluate_here(evaluate);
    const double first_loss = here_.loss;
    const auto is_flat = [&] { return largest_magnitude(here_.gradient) <= options_.gradient_tolerance; };
    if (is_flat()) return first_loss;

    std::size_t evaluations = 1;
    for (std::size_t k = 1; k <= options_.iterations; ++k) {
        ++iterations_;
        find_direction();
        gradient_before_ = here_.gradient;
        here_.slope = dot(here_.gradient.data(), direction_.data(), size_);
        t_ = options_.learning_rate;
        if (iterations_ == 1) t_ *= std::min(1.0, 1 / sum_of_magnitudes(here_.gradient));
        if (here_.slope > -options_.change_tolerance) break;

        const double loss_before = here_.loss;
        T* x = start_.data();
        for (const auto& parameter : parameters_)
            x = std::copy_n(parameter->value.data(), parameter->value.size(), x);
        try {
            if (options_.line_search == LineSearch::strong_wolfe) {
                evaluations += search(evaluate);
            } else {
                move_to(t_);
                if (k == options_.iterations) break;
                evaluate_here(evaluate);
                ++evaluations;
            }
        } catch (...) {
            --iterations_;
            move_to(0);
            throw;
        }
        if (evaluations >= options_.evaluations || is_flat()) break;
        if (t_ * largest_magnitude(direction_) <= options_.change_tolerance) break;
        if (std::abs(here_.loss - loss_before) < options_.change_tolerance) break;
    }
    return first_loss;
}

template <class T>
void LBFGS<T>::find_direction() {
    const T* const g = here_.gradient.data();
    T* const d = direction_.data();
    if (iterations_ == 1) {
        for (std::size_t k = 0; k < size_; ++k) d[k] = -g[k];
        return;
    }

    T* const dg = pair_.data();
    T* const dx = dg + size_;
    for (std::size_t k = 0; k < size_; ++k) {
        dg[k] = g[k] - gradient_before_.data()[k];
        dx[k] = d[k] * static_cast<T>(t_);
    }
    const double product = dot(dg, dx, size_);
    if (product > 1e-10) {  // else H would not be positive
        if (pairs_.size() == options_.history) {
            std::rotate(pairs_.begin(), pairs_.begin() + 1, pairs_.end());
            std::rotate(inverses_.begin(), inverses_.begin() + 1, inverses_.end());
        } else {
            pairs_.emplace_back(pair_.shape());
        }
        pairs_.back().swap(pair_);
        inverses_[pairs_.size() - 1] = 1 / product;
        scale_ = product / dot(y(pairs_.size() - 1), y(pairs_.size() - 1), size_);
    }

    for (std::size_t k = 0; k < size_; ++k) d[k] = -g[k];
    for (std::size_t k = pairs_.size(); k-- > 0;) {
        parts_[k] = dot(s(k), d, size_) * inverses_[k];
        add(d, -parts_[k], y(k), size_);
    }
    for (std::size_t k = 0; k < size_; ++k) d[k] *= static_cast<T>(scale_);
    for (std::size_t k = 0; k < pairs_.size(); ++k)
        add(d, parts_[k] - dot(y(k), d, size_) * inverses_[k], s(k), size_);
}

/// To a place where the loss is lower and less steep, by the strong Wolfe conditions. Gives the number of evaluations.
template <class T>
std::size_t LBFGS<T>::search(const Evaluate& evaluate) {
    constexpr std::size_t most_tries = 25;
    const auto is_high = [&](const Place& place) {
        return !(place.loss <= here_.loss + 1e-4 * place.t * here_.slope);
    };
    const auto is_level = [&](const Place& place) { return std::abs(place.slope) <= -0.9 * here_.slope; };
    const auto try_at = [&](double t) {
        move_to(t);
        evaluate_at(t, trial_, evaluate);
        // Whatever isn't finite is too high.
        if (!std::isfinite(trial_.loss) || !std::isfinite(trial_.slope))
            trial_.loss = std::numeric_limits<double>::infinity();
    };

    // Further and further, until the place that is looked for is passed: it lies between low and trial.
    bool found = false;
    std::size_t tries = 0;
    here_.t = 0;
    low_ = here_;
    for (try_at(t_); tries < most_tries; ++tries) {
        if (is_high(trial_) || (tries > 1 && trial_.loss >= low_.loss)) break;
        found = is_level(trial_);
        if (found || trial_.slope >= 0) break;
        const double next = cubic_minimum(low_, trial_, trial_.t + 0.01 * (trial_.t - low_.t), 10 * trial_.t);
        std::swap(low_, trial_);
        try_at(next);
    }
    if (tries == most_tries) low_ = here_;
    std::swap(high_, trial_);
    if (found || high_.loss < low_.loss) std::swap(low_, high_);

    // Closer and closer: low is the best place so far, and on its side of high the loss falls.
    const double reach = largest_magnitude(direction_);
    bool was_at_an_end = false;
    while (!found && tries < most_tries) {
        const double begin = std::min(low_.t, high_.t), end = std::max(low_.t, high_.t);
        if ((end - begin) * reach < options_.change_tolerance) break;
        double t = cubic_minimum(low_, high_, begin, end);
        const double margin = 0.1 * (end - begin);
        const bool is_at_an_end = std::min(end - t, t - begin) < margin;
        const bool is_too_close = is_at_an_end && (was_at_an_end || t <= begin || t >= end);
        if (is_too_close) t = end - t < t - begin ? end - margin : begin + margin;
        was_at_an_end = is_at_an_end && !is_too_close;

        try_at(t);
        ++tries;
        if (is_high(trial_) || trial_.loss >= low_.loss) {
            std::swap(high_, trial_);
            if (high_.loss < low_.loss) std::swap(low_, high_);
        } else {
            found = is_level(trial_);
            if (trial_.slope * (high_.t - low_.t) >= 0) std::swap(low_, high_);
            std::swap(low_, trial_);
        }
    }
    t_ = low_.t;
    move_to(t_);
    std::swap(here_, low_);
    return tries + 1;
}

template class LBFGS<float>;
template class LBFGS<double>;

}  // namespace xtape::nn
