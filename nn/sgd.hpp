#pragma once

#include <vector>

#include "nn/optimizer.hpp"

namespace xtape::nn {

struct SGDOptions {
    double learning_rate = 0.1;
    double momentum = 0;
    double dampening = 0;
    bool nesterov = false;
    double weight_decay = 0;
};

/// g ← g + weight_decay · p;  m ← momentum · m + (1 - dampening) g, at first g;
/// p ← p - learning_rate · m, or · (g + momentum · m) after Nesterov.
/// Without momentum m is g. (Sutskever et al., 2013, as PyTorch writes it)
template <class T>
class SGD final : public OptimizerOf<T, SGDOptions> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for a negative option, and for nesterov without
    /// momentum or with dampening.
    template <Module M>
    explicit SGD(M& module, SGDOptions options = {}) : OptimizerOf<T, SGDOptions>("SGD") {
        this->add_group(module, options);
    }

private:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;

    std::vector<Memory> remembered(const SGDOptions& options) const override;
    void move(Slot& slot, const SGDOptions& options) override;
};

template <class M>
SGD(M&, SGDOptions = {}) -> SGD<module_value<M>>;

}  // namespace xtape::nn
