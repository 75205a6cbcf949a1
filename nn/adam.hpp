#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "nn/module.hpp"

namespace xtape::nn {

struct AdamOptions {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;
};

/// g ← g + weight_decay · p;  m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;
/// p ← p - learning_rate · m̂ / (√v̂ + ε),  m̂ = m / (1-β₁ᵗ),  v̂ = v / (1-β₂ᵗ). (Kingma and Ba, 2015)
template <class T>
class Adam {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit Adam(M& module, AdamOptions options = {}) : Adam(options) {
        for_each_parameter(module, [&](Parameter<T>& parameter) {
            const Shape& shape = parameter.shape();
            slots_.push_back({parameter.storage(), Array<T>(shape), Array<T>(shape)});
        });
    }

    /// Moves every parameter that has a gradient.
    void step();

    double learning_rate() const { return options_.learning_rate; }
    void set_learning_rate(double rate);

private:
    explicit Adam(AdamOptions options);

    struct Slot {
        std::shared_ptr<typename Parameter<T>::Storage> parameter;
        Array<T> mean;    // m
        Array<T> square;  // v
        std::size_t steps = 0;
    };
    AdamOptions options_;
    std::vector<Slot> slots_;
};

template <class M>
Adam(M&, AdamOptions = {}) -> Adam<module_value<M>>;

}  // namespace xtape::nn
