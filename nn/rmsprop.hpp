#pragma once

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
class RMSprop final : public Optimizer<T> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit RMSprop(M& module, RMSpropOptions options = {}) : RMSprop(options) {
        this->add(module, (options.momentum == 0 ? 1u : 2u) + (options.centered ? 1u : 0u));
    }

private:
    explicit RMSprop(RMSpropOptions options);
    void move(typename Optimizer<T>::Slot& slot) override;

    RMSpropOptions options_;
};

template <class M>
RMSprop(M&, RMSpropOptions = {}) -> RMSprop<module_value<M>>;

}  // namespace xtape::nn
