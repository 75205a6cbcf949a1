#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "nn/counted_samples.hpp"

// Losses against probabilities, element by element. Both throw ShapeError unless the shapes are equal. With a mask, which
// has their leading axes, only elements whose mask is true count.

namespace xtape::nn {

struct BceOptions {
    Reduction reduction = Reduction::mean;
    /// By what the loss of a 1 is multiplied: one number for all, or one for each element of the last axis.
    std::vector<double> pos_weight = {};
};

namespace detail {

// Sums of what isn't negative, so that nothing cancels: log(1 + exp(x)) alone keeps all digits in both tails.
inline constexpr auto binary_entropy = [](const auto& x, const auto& p) {
    return p * softplus(-x) + (1 - p) * softplus(x);
};
inline constexpr auto weighted_binary_entropy = [](const auto& x, const auto& p, const auto& w) {
    return w * p * softplus(-x) + (1 - p) * softplus(x);
};
// p log p is 0 at 0.
inline constexpr auto relative_entropy = [](const auto& log_q, const auto& p) {
    return where(p == 0, 0, p * (log(where(p == 0, 1, p)) - log_q));
};

/// The weight of each element, in the shape of x.
template <class T>
Var<T> pos_weights(const Var<T>& x, const std::vector<double>& weights) {
    if (weights.size() == 1) return broadcast_to(x.tape().constant(weights[0]), x.shape());
    if (x.rank() == 0 || weights.size() != x.shape().back()) {
        throw ShapeError("[bce_with_logits] " + std::to_string(weights.size()) +
                         " positive weights for logits of shape " + to_string(x.shape()) +
                         ": expected one, or one for each element of the last axis");
    }
    return broadcast_to(x.tape().constant(xt::adapt(weights)), x.shape());
}

}  // namespace detail

/// -w p log σ(x) - (1 - p) log(1 - σ(x)), for logits x and probabilities p, mostly 0 or 1; w is the positive weight.
/// dx = (1 - p) σ(x) - w p σ(-x). Neither overflows nor loses what is small, however large the logits are.
///
/// Throws ShapeError for another number of weights.
template <class T>
Var<T> bce_with_logits(const Var<T>& x, const Var<T>& p, const BceOptions& options) {
    if (options.pos_weight.empty())
        return detail::elementwise("bce_with_logits", options.reduction, detail::binary_entropy, x, p);
    return detail::elementwise("bce_with_logits", options.reduction, detail::weighted_binary_entropy, x, p,
                               detail::pos_weights(x, options.pos_weight));
}
template <class T, Mask M>
Var<T> bce_with_logits(const Var<T>& x, const Var<T>& p, const M& mask, const BceOptions& options) {
    if (options.pos_weight.empty())
        return detail::elementwise("bce_with_logits", mask, options.reduction, detail::binary_entropy, x, p);
    return detail::elementwise("bce_with_logits", mask, options.reduction, detail::weighted_binary_entropy, x,
                               p, detail::pos_weights(x, options.pos_weight));
}
template <class T>
Var<T> bce_with_logits(const Var<T>& x, const Var<T>& p, Reduction reduction = Reduction::mean) {
    return bce_with_logits(x, p, BceOptions{.reduction = reduction});
}
template <class T, Mask M>
Var<T> bce_with_logits(const Var<T>& x, const Var<T>& p, const M& mask,
                       Reduction reduction = Reduction::mean) {
    return bce_with_logits(x, p, mask, BceOptions{.reduction = reduction});
}

/// p (log p - log q), 0 where p = 0, for logarithms of probabilities (see log_softmax) against probabilities p.
/// d(log q) = -p. As PyTorch's, the mean is over all elements: the divergence of samples is their sum.
template <class T>
Var<T> kl_div(const Var<T>& log_q, const Var<T>& p, Reduction reduction = Reduction::mean) {
    return detail::elementwise("kl_div", reduction, detail::relative_entropy, log_q, p);
}
template <class T, Mask M>
Var<T> kl_div(const Var<T>& log_q, const Var<T>& p, const M& mask, Reduction reduction = Reduction::mean) {
    return detail::elementwise("kl_div", mask, reduction, detail::relative_entropy, log_q, p);
}

}  // namespace xtape::nn
