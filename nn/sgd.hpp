#pragma once

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
class SGD final : public Optimizer<T> {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for a negative option, and for nesterov without
    /// momentum or with dampening.
    template <Module M>
    explicit SGD(M& module, SGDOptions options = {}) : SGD(options) {
        this->add(module, options.momentum == 0 ? 0 : 1);
    }

private:
    explicit SGD(SGDOptions options);
    void move(typename Optimizer<T>::Slot& slot) override;

    SGDOptions options_;
};

template <class M>
SGD(M&, SGDOptions = {}) -> SGD<module_value<M>>;

}  // namespace xtape::nn
