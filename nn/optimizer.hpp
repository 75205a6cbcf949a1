#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.hpp"

namespace xtape::nn {

/// What moves a module's parameters against their gradients.
///
/// Parameters are in groups, each with options of its own: the first is what the optimizer was made with, add_group adds
/// others. A parameter without a gradient, a frozen one for instance, is left alone, and so is what is remembered of it.
/// All memory is asked for when a group is made.
template <class T>
class Optimizer {
public:
    Optimizer(Optimizer&&) noexcept = default;
    Optimizer& operator=(Optimizer&&) noexcept = default;
    virtual ~Optimizer() = default;

    /// Moves every parameter that has a gradient.
    void step();

    std::size_t groups() const { return groups_.size(); }
    double learning_rate(std::size_t group = 0) const { return groups_[checked(group)].learning_rate; }
    /// The first group's, from the next step on: `optimizer.set_learning_rate(schedule(step))`, see schedule.hpp. The
    /// rates of the other groups get the proportion to it that they were made with. Throws std::invalid_argument for a negative
    /// rate, and with several groups if the first one was made with a rate of 0.
    void set_learning_rate(double rate);
    /// One group's rate, until all are set again. Throws std::invalid_argument for a negative rate, IndexError for a group
    /// that isn't there.
    void set_learning_rate(double rate, std::size_t group);

    /// The rates and what is remembered, by the paths of the parameters: "cell.weight.exp_avg", "cell.weight.step". Those
    /// of groups behind the first begin with "group1", "group2", ...
    template <class F>
    void visit(F&& f) {
        for (std::size_t k = 0; k < groups_.size(); ++k)
            f(prefix(k) + "learning_rate", groups_[k].learning_rate);
        for (Slot& slot : slots_) {
            f(slot.path + "step", slot.steps);
            for (std::size_t k = 0; k < slot.memory.size(); ++k)
                f(slot.path + groups_[slot.group].names[k], slot.memory[k]);
        }
    }

protected:
    /// Something to be remembered of a parameter: an array of its shape, all `start` at first.
    struct Memory {
        const char* name;
        double start = 0;
    };

    struct Slot {
        std::shared_ptr<typename Parameter<T>::Storage> parameter;
        std::size_t group;
        std::string path;              // of the parameter in the file, with a dot behind it
        std::vector<Array<T>> memory;  // what the rule remembers, each of the parameter's shape
        std::size_t steps = 0;         // that the parameter has moved, the present one included

        T* value() { return parameter->value.data(); }
        const T* grad() const { return parameter->grad.data(); }
        std::size_t size() const { return parameter->value.size(); }
    };

    explicit Optimizer(const char* name) : name_(name) {}

    /// Makes a group of the module's parameters. Throws std::invalid_argument for a negative rate, and for a parameter that is in
    /// a group already.
    template <Module M>
    void add(M& module, double learning_rate, const std::vector<Memory>& memories) {
        std::vector<Slot> added;
        for_each_parameter(module, [&](const Path& path, Parameter<T>& parameter) {
            added.push_back(slot(path, parameter.storage(), memories));
        });
        add(std::move(added), learning_rate, memories);
    }

    /// One parameter's step.
    virtual void move(Slot& slot) = 0;

private:
    struct Group {
        double learning_rate;
        double made_with;
        std::vector<const char*> names;  // of what is remembered
    };

    static std::string prefix(std::size_t group) {
        return group == 0 ? "" : "group" + std::to_string(group) + ".";
    }
    std::size_t checked(std::size_t group) const;
    Slot slot(const std::string& path, std::shared_ptr<typename Parameter<T>::Storage> parameter,
              const std::vector<Memory>& memories) const;
    void add(std::vector<Slot> slots, double learning_rate, const std::vector<Memory>& memories);

    const char* name_;
    std::vector<Group> groups_;
    std::vector<Slot> slots_;
};

/// An optimizer by its options: what SGD, Adam and the others have in common.
template <class T, class Options>
class OptimizerOf : public Optimizer<T> {
public:
    /// More parameters, with options of their own. Throws what the constructor throws, and std::invalid_argument for a
    /// parameter that is in a group already; nothing has been added then.
    ///
    ///     nn::AdamW optimizer(model.body, {.learning_rate = 1e-3});
    ///     optimizer.add_group(model.head, {.learning_rate = 1e-2, .weight_decay = 0});
    template <Module M>
    void add_group(M& module, const Options& options) {
        options_.reserve(options_.size() + 1);
        this->add(module, options.learning_rate, remembered(options));
        options_.push_back(options);
    }

protected:
    using typename Optimizer<T>::Memory;
    using typename Optimizer<T>::Slot;
    using Optimizer<T>::Optimizer;

    /// What is remembered of each parameter. Throws std::invalid_argument for options out of range.
    virtual std::vector<Memory> remembered(const Options& options) const = 0;
    /// One parameter's step; `options` has the present learning rate.
    virtual void move(Slot& slot, const Options& options) = 0;

private:
    void move(Slot& slot) final {
        Options options = options_[slot.group];
        options.learning_rate = this->learning_rate(slot.group);
        move(slot, options);
    }

    std::vector<Options> options_;  // of each group
};

}  // namespace xtape::nn
