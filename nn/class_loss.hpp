#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "nn/counted_samples.hpp"
#include "nn/options.hpp"

// What cross_entropy and nll share: logits (..., C), and for each sample an integer class, as an xtensor (...) or any row
// of integers.

namespace xtape::nn {

struct CrossEntropyOptions {
    Reduction reduction = Reduction::mean;
    /// Samples of this class, which may be none of C, don't count.
    std::optional<std::ptrdiff_t> ignore_index = {};
    /// Of each class, or nothing. The mean is then Σ losses / Σ weights of the samples' classes.
    std::vector<double> weights = {};
    /// The part ε of the probability that all classes share: 1 becomes 1 - ε + ε/C, 0 becomes ε/C. (Szegedy et al., 2016)
    double label_smoothing = 0;
};

namespace detail {

template <class I>
concept Classes = IndexTensor<I> || IndexRange<I>;

template <Classes I>
std::size_t class_count(const I& classes) {
    if constexpr (IndexTensor<I>)
        return classes.size();
    else
        return std::ranges::size(classes);
}

template <Classes I>
auto first_class(const I& classes) {
    if constexpr (IndexTensor<I>)
        return classes.template begin<xt::layout_type::row_major>();
    else
        return std::ranges::begin(classes);
}

template <class T>
Shape samples_of_logits(const Var<T>& logits) {
    Shape samples = logits.shape();
    samples.erase(samples.size() - 1);
    return samples;
}

/// One for each row of logits, (samples, 1).
template <class T, Classes I>
Var<T> at_classes(const Var<T>& rows, const I& classes) {
    const std::array<std::size_t, 2> column{class_count(classes), 1};
    if constexpr (IndexTensor<I>) {
        return take_along_axis(rows, xt::reshape_view(classes, column), 1);
    } else {
        return take_along_axis(
            rows, xt::adapt(std::ranges::data(classes), column[0], xt::no_ownership(), column), 1);
    }
}

/// (1, C)
template <class T>
Var<T> class_weights(const char* op, const Var<T>& logits, const std::vector<double>& weights) {
    if (weights.size() != logits.shape().back()) {
        throw ShapeError(std::string("[") + op + "] " + std::to_string(weights.size()) +
                         " weights for logits of shape " + to_string(logits.shape()) +
                         ": expected one for each class");
    }
    return unsqueeze(logits.tape().constant(xt::adapt(weights)), 0);
}

/// Losses of samples (samples, 1), and what each of them weighs in a mean, if not the same.
template <class T>
struct Weighed {
    Var<T> losses, weights;
};

template <class T>
Var<T> reduce(const Weighed<T>& samples, Reduction reduction) {
    if (reduction == Reduction::mean && samples.weights) return sum(samples.losses) / sum(samples.weights);
    return reduce(samples.losses, reduction);
}

/// Negative classes, a usual padding, don't count from the end.
template <Classes I>
void check_range(const char* op, const I& classes, std::size_t count) {
    auto c = first_class(classes);
    for (std::size_t k = class_count(classes); k > 0; --k, ++c) {
        if (std::cmp_greater_equal(*c, 0) && std::cmp_less(*c, count)) continue;
        throw IndexError(std::string("[") + op + "] class " + std::to_string(*c) + " for " +
                         std::to_string(count) + " logits: expected 0 to " + std::to_string(count - 1));
    }
}

/// -log of the probability of a class, log(total) - x, with rows x (samples, C) and the logarithm of what their
/// exponentials add up to, (samples, 1).
template <class T, Classes I>
Weighed<T> class_losses(const char* op, const Var<T>& rows, const Var<T>& log_total, const I& classes,
                        const CrossEntropyOptions& options) {
    check_range(op, classes, rows.shape()[1]);
    const Var<T> chosen = at_classes(rows, classes);
    Weighed<T> samples;
    if (options.weights.empty()) {
        samples.losses = log_total - chosen;
        if (options.label_smoothing == 0) return samples;
        samples.losses = (1 - options.label_smoothing) * samples.losses +
                         options.label_smoothing * mean(log_total - rows, {1}, true);
        return samples;
    }
    const Var<T> weights = class_weights(op, rows, options.weights);
    samples.weights = at_classes(broadcast_to(weights, rows.shape()), classes);
    samples.losses = samples.weights * (log_total - chosen);
    if (options.label_smoothing == 0) return samples;
    samples.losses = (1 - options.label_smoothing) * samples.losses +
                     options.label_smoothing * mean(weights * (log_total - rows), {1}, true);
    return samples;
}

/// Those of the samples at `positions`, and not of an ignored class.
struct CountedClasses {
    std::vector<std::size_t> positions;
    std::vector<std::ptrdiff_t> classes;
};

template <Classes I>
CountedClasses counted_classes(const char* op, const I& classes, const std::vector<std::size_t>* positions,
                               std::optional<std::ptrdiff_t> ignored) {
    CountedClasses counted;
    const std::size_t count = positions == nullptr ? class_count(classes) : positions->size();
    auto class_at = first_class(classes);
    for (std::size_t k = 0, at = 0; k < count; ++at, ++class_at) {
        if (positions != nullptr && at != (*positions)[k]) continue;
        ++k;
        const auto index = static_cast<std::ptrdiff_t>(*class_at);
        if (ignored == index) continue;
        counted.positions.push_back(at);
        counted.classes.push_back(index);
    }
    if (counted.positions.empty()) throw ShapeError(std::string("[") + op + "] no sample that isn't ignored");
    return counted;
}

/// Classes of as many axes as the samples must have their shape: transposed ones are a mistake.
template <class T, Classes I>
void check_classes(const char* op, const Var<T>& logits, const I& classes) {
    bool fits = logits.rank() > 0 && class_count(classes) * logits.shape().back() == logits.size();
    if constexpr (IndexTensor<I>) {
        if (fits && classes.dimension() + 1 == logits.rank())
            fits = Shape(classes.shape()) == samples_of_logits(logits);
    }
    if (fits) return;
    throw ShapeError(std::string("[") + op + "] " + std::to_string(class_count(classes)) +
                     " classes for logits of shape " + to_string(logits.shape()) +
                     ": expected one for each row");
}

/// The loss of all samples, or of those at `positions`. `log_total(rows)` is what class_losses wants.
template <class T, Classes I, class LogTotal>
Var<T> loss_of_classes(const char* op, const Var<T>& logits, const I& classes,
                       const std::vector<std::size_t>* positions, const CrossEntropyOptions& options,
                       LogTotal log_total) {
    check_classes(op, logits, classes);
    check_probability(op, "label_smoothing", options.label_smoothing);
    const Shape samples = samples_of_logits(logits);
    if (positions == nullptr && !options.ignore_index) {
        const Var<T> rows = reshape_to(logits, Shape{class_count(classes), logits.shape().back()});
        const Var<T> loss =
            reduce(class_losses<T>(op, rows, log_total(rows), classes, options), options.reduction);
        return options.reduction == Reduction::none ? reshape_to(loss, samples) : loss;
    }
    const CountedClasses counted = counted_classes(op, classes, positions, options.ignore_index);
    const Var<T> rows = taken_samples(logits, samples.size(), counted.positions);
    const Var<T> loss =
        reduce(class_losses<T>(op, rows, log_total(rows), counted.classes, options), options.reduction);
    if (options.reduction != Reduction::none) return loss;
    return put_back(squeeze(loss, {1}), samples.size(), counted.positions, samples);
}

/// The samples of logits that a mask of exactly their shape lets pass.
template <class T, Mask M>
std::vector<std::size_t> counted_rows(const char* op, const Var<T>& logits, const M& mask) {
    if (logits.rank() == 0 || Shape(mask.shape()) != samples_of_logits(logits)) {
        throw ShapeError(std::string("[") + op + "] a mask of shape " + to_string(Shape(mask.shape())) +
                         " for logits of shape " + to_string(logits.shape()) + ": expected one for each row");
    }
    return counted(op, mask, samples_of_logits(logits));
}

/// The same where classes have that shape too.
template <class T, IndexTensor I, Mask M>
std::vector<std::size_t> counted_rows(const char* op, const Var<T>& logits, const I& classes, const M& mask) {
    if (Shape(classes.shape()) != Shape(mask.shape())) {
        throw ShapeError(std::string("[") + op + "] classes of shape " + to_string(Shape(classes.shape())) +
                         " and a mask of shape " + to_string(Shape(mask.shape())) +
                         ": expected equal shapes");
    }
    return counted_rows(op, logits, mask);
}

}  // namespace detail
}  // namespace xtape::nn
