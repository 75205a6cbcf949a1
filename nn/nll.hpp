#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "nn/class_loss.hpp"

namespace xtape::nn {

/// As of CrossEntropyOptions.
struct NllOptions {
    Reduction reduction = Reduction::mean;
    std::optional<std::ptrdiff_t> ignore_index = {};
    std::vector<double> weights = {};
};

namespace detail {

inline constexpr auto log_one = [](const auto& rows) { return rows.tape().constant(0); };

inline CrossEntropyOptions unsmoothed(const NllOptions& options) {
    return {options.reduction, options.ignore_index, options.weights, 0};
}

}  // namespace detail

/// -w log_p[class], for logarithms of probabilities (..., C), see log_softmax, and classes; otherwise as cross_entropy,
/// which is more exact. The gradient of log_p is -w / Σw at the class, 0 elsewhere.
template <class T, detail::Classes I>
Var<T> nll(const Var<T>& log_p, const I& classes, const NllOptions& options) {
    return detail::loss_of_classes("nll", log_p, classes, nullptr, detail::unsmoothed(options),
                                   detail::log_one);
}
template <class T, IndexTensor I, Mask M>
Var<T> nll(const Var<T>& log_p, const I& classes, const M& mask, const NllOptions& options) {
    const std::vector<std::size_t> positions = detail::counted_rows("nll", log_p, classes, mask);
    return detail::loss_of_classes("nll", log_p, classes, &positions, detail::unsmoothed(options),
                                   detail::log_one);
}
template <class T, detail::Classes I>
Var<T> nll(const Var<T>& log_p, const I& classes, Reduction reduction = Reduction::mean) {
    return nll(log_p, classes, NllOptions{.reduction = reduction});
}
template <class T, IndexTensor I, Mask M>
Var<T> nll(const Var<T>& log_p, const I& classes, const M& mask, Reduction reduction = Reduction::mean) {
    return nll(log_p, classes, mask, NllOptions{.reduction = reduction});
}

}  // namespace xtape::nn
