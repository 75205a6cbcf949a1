#pragma once

#include <cstddef>
#include <string>

#include "nn/bias.hpp"
#include "nn/module.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

struct LayerNormOptions {
    double epsilon = 1e-5;
    bool bias = true;
};

/// y = gain ⊙ (x - mean(x)) / √(var(x) + ε) + bias, over the last axis: x and y (..., N), gain and bias (N), which start with
/// 1 and 0. (Ba et al., 2016)
///
/// Throws ShapeError for another last axis, std::invalid_argument for a size of 0 or a negative ε.
template <class T>
struct LayerNorm {
    explicit LayerNorm(std::size_t size, LayerNormOptions options = {})
        : gain(Shape{size}, "gain"), bias(Shape{options.bias ? size : 0}, "bias"), epsilon(options.epsilon) {
        detail::check_positive("LayerNorm", "size", size);
        detail::check_not_negative("LayerNorm", "epsilon", epsilon);
        gain.value().fill(T(1));
    }

    std::size_t size() const { return gain.size(); }

    Var<T> operator()(const Var<T>& x) const {
        if (x.rank() == 0 || x.shape().back() != size()) {
            throw ShapeError("[LayerNorm] an input of shape " + to_string(x.shape()) + ": expected (..., " +
                             std::to_string(size()) + ")");
        }
        const Var<T> g = x.tape().watch(gain), b = detail::watch_bias(x.tape(), bias);
        const Var<T> center = mean(x, {-1}, true), spread = var(x, {-1}, true);
        if (!b) return (x - center) * rsqrt(spread + epsilon) * g;
        return (x - center) * rsqrt(spread + epsilon) * g + b;
    }

    template <class F>
    void visit(F&& f) {
        f("gain", gain);
        if (bias.size() > 0) f("bias", bias);
    }
    /// As torch.nn.LayerNorm has them.
    template <class F>
    void visit_state_dict(F&& f) {
        f("weight", gain);
        if (bias.size() > 0) f("bias", bias);
    }

    Parameter<T> gain, bias;
    double epsilon;
};

}  // namespace xtape::nn
