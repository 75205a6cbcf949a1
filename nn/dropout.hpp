#pragma once

#include <cstddef>
#include <functional>

#include "nn/initialize.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

/// Independent elements that are `number` with the given probability and 0 otherwise; no gradient is wanted for them.
template <class T>
Var<T> random_mask(Tape<T>& tape, const Shape& shape, double probability, double number, Engine& engine);

/// While training, y = x ⊙ m / (1 - rate) with a mask m that is 0 with probability `rate`, else 1, drawn for each element of
/// each call; x in evaluation. (Srivastava et al., 2014)
///
/// The engine is referred to. Throws std::invalid_argument for a rate outside of [0, 1].
struct Dropout {
    Dropout(double probability, Engine& source) : rate(probability), engine(source) {
        detail::check_probability("Dropout", "rate", rate);
    }

    template <class T>
    Var<T> operator()(const Var<T>& x) const {
        if (!training || rate == 0) return x;
        return x * mask(x.tape(), x.shape());
    }

    /// m / (1 - rate)
    template <class T>
    Var<T> mask(Tape<T>& tape, const Shape& shape) const {
        return random_mask(tape, shape, 1 - rate, 1 / (1 - rate), engine);
    }

    template <class F>
    void visit(F&&) {}

    double rate;
    std::reference_wrapper<Engine> engine;
    bool training = true;
};

}  // namespace xtape::nn
