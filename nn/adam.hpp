#pragma once

#include <vector>

#include "nn/optimizer.hpp"

namespace xtape::nn {

struct AdamOptions {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;
    bool amsgrad = false;
};

/// g ← g + weight_decay · p;  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;
/// p ← p - learning_rate · m̂ / (√v̂ + ε),  m̂ = m / (1-β₁ᵗ),  v̂ = v / (1-β₂ᵗ). (Kingma and Ba, 2015)
/// With amsgrad v̂ is made of the largest v so far. (Reddi et al., 2018)
template <class T>
class Adam final : public OptimizerOf<T, AdamOptions> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit Adam(M& module, AdamOptions options = {}) : OptimizerOf<T, AdamOptions>("Adam") {
        this->add_group(module, options);
    }

private:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;

    std::vector<Memory> remembered(const AdamOptions& options) const override;
    void move(Slot& slot, const AdamOptions& options) override;
};

struct AdamWOptions {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 1e-2;
    bool amsgrad = false;
};

/// p ← (1 - learning_rate · weight_decay) p, then a step of Adam without decay: weights shrink alike, however large their
/// gradients were. (Loshchilov and Hutter, 2019)
template <class T>
class AdamW final : public OptimizerOf<T, AdamWOptions> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit AdamW(M& module, AdamWOptions options = {}) : OptimizerOf<T, AdamWOptions>("AdamW") {
        this->add_group(module, options);
    }

private:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;

    std::vector<Memory> remembered(const AdamWOptions& options) const override;
    void move(Slot& slot, const AdamWOptions& options) override;
};

template <class M>
Adam(M&, AdamOptions = {}) -> Adam<module_value<M>>;
template <class M>
AdamW(M&, AdamWOptions = {}) -> AdamW<module_value<M>>;

}  // namespace xtape::nn
