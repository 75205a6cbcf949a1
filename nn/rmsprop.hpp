#pragma once

#include <vector>

#include "nn/optimizer.hpp"

namespace xtape::nn {

struct RMSpropOptions {
    double learning_rate = 1e-2;
    double alpha = 0.99;
    double epsilon = 1e-8;
    double momentum = 0;
    bool centered = false;
    double weight_decay = 0;
};

/// g ← g + weight_decay · p;  v ← α v + (1-α) g²;  u = g / (√v + ε);  p ← p - learning_rate · u
/// With momentum m ← momentum · m + u takes the place of u. Centered, the mean a ← α a + (1-α) g is taken out: √(v - a²)
/// takes the place of √v. (Tieleman and Hinton, 2012; Graves, 2013, as PyTorch writes them)
template <class T>
class RMSprop final : public OptimizerOf<T, RMSpropOptions> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit RMSprop(M& module, RMSpropOptions options = {}) : OptimizerOf<T, RMSpropOptions>("RMSprop") {
        this->add_group(module, options);
    }

private:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;

    std::vector<Memory> remembered(const RMSpropOptions& options) const override;
    void move(Slot& slot, const RMSpropOptions& options) override;
};

template <class M>
RMSprop(M&, RMSpropOptions = {}) -> RMSprop<module_value<M>>;

}  // namespace xtape::nn
