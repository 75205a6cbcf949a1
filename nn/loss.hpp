#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"

namespace xtape::nn {

/// What becomes of the losses of the single samples.
enum class Reduction { mean, sum };

namespace detail {

template <class T>
Var<T> reduce(const Var<T>& losses, Reduction reduction) {
    return reduction == Reduction::mean ? mean(losses) : sum(losses);
}

}  // namespace detail

/// -log softmax(logits)[class], over all samples: logits (..., C), an integer class for each sample as an xtensor (...)
/// or any row of integers. The gradient of a logit is (softmax - 1 at the class) / samples.
///
/// Throws ShapeError unless there are as many classes as samples, IndexError for a class that isn't one of C.
template <class T, class I>
requires(IndexTensor<I> || IndexRange<I>)  //
    Var<T> cross_entropy(const Var<T>& logits, const I& classes, Reduction reduction = Reduction::mean) {
    std::size_t count = 0;
    if constexpr (IndexTensor<I>)
        count = classes.size();
    else
        count = std::ranges::size(classes);
    if (logits.rank() == 0 || count * logits.shape().back() != logits.size()) {
        throw ShapeError("[cross_entropy] " + std::to_string(count) + " classes for logits of shape " +
                         to_string(logits.shape()) + ": expected one for each row");
    }
    const Var<T> rows = reshape_to(logits, Shape{count, logits.shape().back()});
    const std::array<std::size_t, 2> column{count, 1};
    const Var<T> chosen = [&] {
        if constexpr (IndexTensor<I>) {
            return take_along_axis(rows, xt::reshape_view(classes, column), 1);
        } else {
            return take_along_axis(
                rows, xt::adapt(std::ranges::data(classes), count, xt::no_ownership(), column), 1);
        }
    }();
    return detail::reduce<T>(logsumexp(rows, {1}, true) - chosen, reduction);
}

/// The square of the difference, over all elements. Throws ShapeError unless the shapes are equal.
template <class T>
Var<T> mse(const Var<T>& y, const Var<T>& target, Reduction reduction = Reduction::mean) {
    if (y.shape() != target.shape()) {
        throw ShapeError("[mse] shape " + to_string(y.shape()) + " against a target of shape " +
                         to_string(target.shape()) + ": expected equal shapes");
    }
    return detail::reduce<T>(square(y - target), reduction);
}

// Of some samples only: those of sequences that haven't ended, say. What the others hold, even NaN, has no influence.

/// Which samples count: booleans of their shape.
template <class M>
concept Mask = XtensorExpression<M> && std::same_as<typename M::value_type, bool>;

/// (steps, B), true where a sequence of that length still runs. Throws ShapeError for a length over `steps`.
inline xt::xtensor<bool, 2> length_mask(std::span<const std::size_t> lengths, std::size_t steps) {
    xt::xtensor<bool, 2> mask = xt::zeros<bool>({steps, lengths.size()});
    for (std::size_t b = 0; b < lengths.size(); ++b) {
        if (lengths[b] > steps) {
            throw ShapeError("[length_mask] a length of " + std::to_string(lengths[b]) + " in " +
                             std::to_string(steps) + " steps: expected no more");
        }
        for (std::size_t t = 0; t < lengths[b]; ++t) mask(t, b) = true;
    }
    return mask;
}

namespace detail {

/// The positions of the samples that count. `whole` is the shape of all samples, which may have further axes.
template <Mask M>
std::vector<std::size_t> counted(const char* op, const M& mask, const Shape& whole) {
    bool fits = mask.dimension() <= whole.size();
    for (std::size_t axis = 0; fits && axis < mask.dimension(); ++axis)
        fits = mask.shape()[axis] == whole[axis];
    if (!fits) {
        throw ShapeError(std::string("[") + op + "] a mask of shape " + to_string(Shape(mask.shape())) +
                         " for values of shape " + to_string(whole) + ": expected their leading axes");
    }
    std::vector<std::size_t> positions;
    std::size_t position = 0;
    const auto end = mask.template end<xt::layout_type::row_major>();
    for (auto counts = mask.template begin<xt::layout_type::row_major>(); counts != end;
         ++counts, ++position) {
        if (*counts) positions.push_back(position);
    }
    if (positions.empty()) throw ShapeError(std::string("[") + op + "] a mask that no sample passes");
    return positions;
}

/// Samples along one axis, of which those at `positions` are taken.
template <class T>
Var<T> taken_samples(const Var<T>& values, std::size_t sample_axes,
                     const std::vector<std::size_t>& positions) {
    Shape shape{1};
    for (std::size_t axis = 0; axis < values.rank(); ++axis) {
        if (axis < sample_axes)
            shape.set(0, shape[0] * values.shape()[axis]);
        else
            shape.push_back(values.shape()[axis]);
    }
    return take(reshape_to(values, shape), positions);
}

}  // namespace detail

/// Over the samples whose mask is true; classes and mask have the samples' shape.
template <class T, IndexTensor I, Mask M>
Var<T> cross_entropy(const Var<T>& logits, const I& classes, const M& mask,
                     Reduction reduction = Reduction::mean) {
    Shape samples = logits.shape();
    if (samples.size() > 0) samples.erase(samples.size() - 1);
    if (Shape(mask.shape()) != samples || Shape(classes.shape()) != samples) {
        throw ShapeError("[cross_entropy] classes of shape " + to_string(Shape(classes.shape())) +
                         " and a mask of shape " + to_string(Shape(mask.shape())) + " for logits of shape " +
                         to_string(logits.shape()) + ": expected one for each row");
    }
    const std::vector<std::size_t> positions = detail::counted("cross_entropy", mask, samples);
    std::vector<typename I::value_type> chosen;
    std::size_t position = 0, next = 0;
    for (auto c = classes.template begin<xt::layout_type::row_major>(); next < positions.size();
         ++c, ++position) {
        if (position != positions[next]) continue;
        chosen.push_back(*c);
        ++next;
    }
    return cross_entropy(detail::taken_samples(logits, samples.size(), positions), chosen, reduction);
}

/// Over the samples whose mask, of the values' leading axes, is true.
template <class T, Mask M>
Var<T> mse(const Var<T>& y, const Var<T>& target, const M& mask, Reduction reduction = Reduction::mean) {
    const std::vector<std::size_t> positions = detail::counted("mse", mask, y.shape());
    const std::size_t axes = mask.dimension();
    if (y.shape() != target.shape()) return mse(y, target, reduction);  // which says what is wrong
    return mse(detail::taken_samples(y, axes, positions), detail::taken_samples(target, axes, positions),
               reduction);
}

}  // namespace xtape::nn
