#pragma once

#include "nn/optimizer.hpp"

namespace xtape::nn {

struct AdagradOptions {
    double learning_rate = 1e-2;
    double learning_rate_decay = 0;
    double initial_sum = 0;
    double epsilon = 1e-10;
    double weight_decay = 0;
};

/// g ← g + weight_decay · p;  s ← s + g², at first initial_sum + g²;
/// p ← p - learning_rate / (1 + (t-1) learning_rate_decay) · g / (√s + ε),  t = 1, 2, ... (Duchi et al., 2011)
template <class T>
class Adagrad final : public Optimizer<T> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for a negative option.
    template <Module M>
    explicit Adagrad(M& module, AdagradOptions options = {}) : Adagrad(options) {
        this->add(module, 1, options.initial_sum);
    }

private:
    explicit Adagrad(AdagradOptions options);
    void move(typename Optimizer<T>::Slot& slot) override;

    AdagradOptions options_;
};

template <class M>
Adagrad(M&, AdagradOptions = {}) -> Adagrad<module_value<M>>;

}  // namespace xtape::nn
