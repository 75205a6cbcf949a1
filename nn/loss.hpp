#pragma once

#include <array>
#include <cstddef>
#include <ranges>
#include <string>

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

}  // namespace xtape::nn
