#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/class_loss.hpp"

// Of logits (..., C) against an integer class for each sample, as an xtensor (...) or any row of integers, or against C
// probabilities.

namespace xtape::nn {

namespace detail {

inline constexpr auto log_sum = [](const auto& rows) { return logsumexp(rows, {1}, true); };

/// -Σ w q log softmax(x) for rows x and probabilities q, smoothed: (samples).
template <class T>
Var<T> probability_losses(const Var<T>& logits, const Var<T>& probabilities,
                          const CrossEntropyOptions& options) {
    const double shared = options.label_smoothing;
    Var<T> q = probabilities;
    if (shared > 0) q = (1 - shared) * q + shared / static_cast<double>(logits.shape().back());
    const Var<T> log_p = log_softmax(logits);
    // A class without probability may be impossible: 0 log 0 is 0.
    if (options.weights.empty()) return -sum(where(q == 0, 0, q * log_p), {-1});
    const Var<T> weights = squeeze(class_weights("cross_entropy", logits, options.weights), {0});
    return -sum(where(q == 0, 0, weights * q * log_p), {-1});
}

template <class T>
void check_probabilities(const Var<T>& logits, const Var<T>& probabilities,
                         const CrossEntropyOptions& options) {
    if (logits.rank() == 0) {
        throw ShapeError("[cross_entropy] logits of shape (): expected (..., C)");
    }
    check_equal_shapes("cross_entropy", logits, probabilities);
    check_probability("cross_entropy", "label_smoothing", options.label_smoothing);
    if (options.ignore_index) {
        throw std::invalid_argument("[cross_entropy] ignore_index is " +
                                    std::to_string(*options.ignore_index) +
                                    ": expected none where targets are probabilities");
    }
}

}  // namespace detail

/// -w log softmax(logits)[class], with the weight w of the class, over all samples. The gradient of a logit is
/// (softmax - 1 at the class) / samples, if there are no weights. Label smoothing replaces the class by probabilities, as
/// below, though a mean still divides by the weights of the classes.
///
/// Throws ShapeError unless there are as many classes as samples, for another number of weights, and if all samples are
/// ignored; IndexError for a class that isn't one of C; std::invalid_argument for a smoothing outside of [0, 1].
template <class T, detail::Classes I>
Var<T> cross_entropy(const Var<T>& logits, const I& classes, const CrossEntropyOptions& options) {
    return detail::loss_of_classes("cross_entropy", logits, classes, nullptr, options, detail::log_sum);
}

/// -Σ w p log softmax(logits), for probabilities p of the logits' shape that sum to 1 over the classes. The gradient of
/// logits is (softmax - p) / samples, if there are no weights; the mean is over samples, whatever their weights.
///
/// Throws ShapeError for another shape, and std::invalid_argument if a class is to be ignored.
template <class T>
Var<T> cross_entropy(const Var<T>& logits, const Var<T>& probabilities, const CrossEntropyOptions& options) {
    detail::check_probabilities(logits, probabilities, options);
    return detail::reduce(detail::probability_losses(logits, probabilities, options), options.reduction);
}

/// Over the samples whose mask is true; classes and mask have the samples' shape.
template <class T, IndexTensor I, Mask M>
Var<T> cross_entropy(const Var<T>& logits, const I& classes, const M& mask,
                     const CrossEntropyOptions& options) {
    const std::vector<std::size_t> positions = detail::counted_rows("cross_entropy", logits, classes, mask);
    return detail::loss_of_classes("cross_entropy", logits, classes, &positions, options, detail::log_sum);
}
template <class T, Mask M>
Var<T> cross_entropy(const Var<T>& logits, const Var<T>& probabilities, const M& mask,
                     const CrossEntropyOptions& options) {
    detail::check_probabilities(logits, probabilities, options);
    const std::vector<std::size_t> positions = detail::counted_rows("cross_entropy", logits, mask);
    const std::size_t axes = mask.dimension();
    const Var<T> losses =
        detail::probability_losses(detail::taken_samples(logits, axes, positions),
                                   detail::taken_samples(probabilities, axes, positions), options);
    if (options.reduction != Reduction::none) return detail::reduce(losses, options.reduction);
    return detail::put_back(losses, axes, positions, detail::samples_of_logits(logits));
}

/// The same without further options.
template <class T, class Target>
requires(detail::Classes<Target> || is_var<Target>)  //
    Var<T> cross_entropy(const Var<T>& logits, const Target& target, Reduction reduction = Reduction::mean) {
    return cross_entropy(logits, target, CrossEntropyOptions{.reduction = reduction});
}
template <class T, class Target, Mask M>
requires(IndexTensor<Target> || is_var<Target>)  //
    Var<T> cross_entropy(const Var<T>& logits, const Target& target, const M& mask,
                         Reduction reduction = Reduction::mean) {
    return cross_entropy(logits, target, mask, CrossEntropyOptions{.reduction = reduction});
}

}  // namespace xtape::nn
