#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "nn/module.hpp"

namespace xtape::nn {

/// What moves a module's parameters against their gradients. One optimizer has one rate: for parts of a model that are to
/// learn at different ones, or by different rules, make an optimizer for each part.
///
/// A parameter without a gradient, a frozen one for instance, is left alone, and so is what is remembered of it. All memory
/// is asked for when the optimizer is made.
template <class T>
class Optimizer {
public:
    Optimizer(Optimizer&&) noexcept = default;
    Optimizer& operator=(Optimizer&&) noexcept = default;
    virtual ~Optimizer() = default;

    /// Moves every parameter that has a gradient.
    void step();

    double learning_rate() const { return learning_rate_; }
    /// From the next step on: `optimizer.set_learning_rate(schedule(step))`, see schedule.hpp. Throws
    /// std::invalid_argument for a negative rate.
    void set_learning_rate(double rate);

protected:
    struct Slot {
        std::shared_ptr<typename Parameter<T>::Storage> parameter;
        std::vector<Array<T>> memory;  // what the rule remembers, each of the parameter's shape
        std::size_t steps = 0;         // that the parameter has moved, the present one included

        T* value() { return parameter->value.data(); }
        const T* grad() const { return parameter->grad.data(); }
        std::size_t size() const { return parameter->value.size(); }
    };

    /// Throws std::invalid_argument for a negative rate.
    Optimizer(const char* name, double learning_rate);

    /// Refers to the module's parameters, and remembers `count` arrays, all `start`, of each.
    template <Module M>
    void add(M& module, std::size_t count, double start = 0) {
        for_each_parameter(module, [&](Parameter<T>& parameter) { add(parameter.storage(), count, start); });
    }

    /// One parameter's step.
    virtual void move(Slot& slot) = 0;

private:
    void add(std::shared_ptr<typename Parameter<T>::Storage> parameter, std::size_t count, double start);

    const char* name_;
    double learning_rate_;
    std::vector<Slot> slots_;
};

}  // namespace xtape::nn
