#pragma once

#include <memory>
#include <vector>

#include "nn/module.hpp"

namespace xtape::nn {

struct SGDOptions {
    double learning_rate = 0.1;
    double momentum = 0;
    bool nesterov = false;
    double weight_decay = 0;
};

/// g ← g + weight_decay · p;  m ← momentum · m + g;  p ← p - learning_rate · m, or · (g + momentum · m) after Nesterov.
/// Without momentum m is g. (Sutskever et al., 2013, as PyTorch writes it)
template <class T>
class SGD {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for a negative option, and for nesterov without
    /// momentum.
    template <Module M>
    explicit SGD(M& module, SGDOptions options = {}) : SGD(options) {
        for_each_parameter(module, [&](Parameter<T>& parameter) {
            slots_.push_back({parameter.storage(), {}});
        });
    }

    /// Moves every parameter that has a gradient.
    void step();

    double learning_rate() const { return options_.learning_rate; }
    void set_learning_rate(double rate);

private:
    explicit SGD(SGDOptions options);

    struct Slot {
        std::shared_ptr<typename Parameter<T>::Storage> parameter;
        Array<T> momentum;  // empty before the first step
    };
    SGDOptions options_;
    std::vector<Slot> slots_;
};

template <class M>
SGD(M&, SGDOptions = {}) -> SGD<module_value<M>>;

}  // namespace xtape::nn
