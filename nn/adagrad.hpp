#pragma once

#include <vector>

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
class Adagrad final : public OptimizerOf<T, AdagradOptions> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for a negative option.
    template <Module M>
    explicit Adagrad(M& module, AdagradOptions options = {}) : OptimizerOf<T, AdagradOptions>("Adagrad") {
        this->add_group(module, options);
    }

private:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;

    std::vector<Memory> remembered(const AdagradOptions& options) const override;
    void move(Slot& slot, const AdagradOptions& options) override;
};

template <class M>
Adagrad(M&, AdagradOptions = {}) -> Adagrad<module_value<M>>;

}  // namespace xtape::nn
