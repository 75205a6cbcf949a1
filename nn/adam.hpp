#pragma once

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
class Adam final : public Optimizer<T> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit Adam(M& module, AdamOptions options = {}) : Adam(options) {
        this->add(module, options.amsgrad ? 3 : 2);
    }

private:
    explicit Adam(AdamOptions options);
    void move(typename Optimizer<T>::Slot& slot) override;

    AdamOptions options_;
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
class AdamW final : public Optimizer<T> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit AdamW(M& module, AdamWOptions options = {}) : AdamW(options) {
        this->add(module, options.amsgrad ? 3 : 2);
    }

private:
    explicit AdamW(AdamWOptions options);
    void move(typename Optimizer<T>::Slot& slot) override;

    AdamWOptions options_;
};

template <class M>
Adam(M&, AdamOptions = {}) -> Adam<module_value<M>>;
template <class M>
AdamW(M&, AdamWOptions = {}) -> AdamW<module_value<M>>;

}  // namespace xtape::nn
