#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <utility>

#include "nn/dropout.hpp"
#include "nn/layers.hpp"

namespace xtape::nn {

/// A cell that now and then keeps its old state: while training each element of the state's k-th Var stays what it was with
/// probability rates[k]; in evaluation it becomes the mean, rate · old + (1 - rate) · new. (Krueger et al., 2017)
///
///     nn::Zoneout cell(nn::LSTMCell<float>(D, H, engine), {0.05, 0.5}, engine);  // of h, of c
///
/// The engine is referred to. Throws std::invalid_argument for a rate outside of [0, 1].
template <class Cell>
struct Zoneout {
    using State = layer_state<Cell>;
    using Rates = std::array<double, var_count<State>()>;

    Zoneout(Cell inner, const Rates& of_each_var, Engine& source)
        : cell(std::move(inner)), rates(of_each_var), engine_(source) {
        for (double rate : rates) detail::check_probability("Zoneout", "rate", rate);
    }

    std::size_t input_size() const { return cell.input_size(); }
    std::size_t hidden_size() const { return cell.hidden_size(); }

    template <class T>
    auto on(Tape<T>& tape, std::size_t batch) const {
        auto inner = detail::step_on(cell, tape, batch);
        const auto step = [this, inner](const Var<T>& x, const State& s) -> State {
            const auto before = vars_of(s), after = vars_of(inner(x, s));
            return state_of<State>([&](std::size_t k) { return mixed(rates[k], before[k], after[k]); });
        };
        // In evaluation it keeps the promise; masks tell the tape that it doesn't.
        if constexpr (detail::is_every_step<decltype(inner)>)
            return every_step(step);
        else
            return step;
    }

    template <class T>
    State operator()(const Var<T>& x, const State& s) const {
        return on(x.tape(), x.shape()[0])(x, s);
    }

    template <class T>
    State initial_state(Tape<T>& tape, std::size_t batch) const {
        return cell.initial_state(tape, batch);
    }

    /// What steps draw from.
    Engine& engine() const { return engine_; }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
    }

    Cell cell;
    Rates rates;
    bool training = true;

private:
    template <class T>
    Var<T> mixed(double rate, const Var<T>& before, const Var<T>& after) const {
        if (rate == 0) return after;
        if (!training) return rate * before + (1 - rate) * after;
        return where(random_mask(after.tape(), after.shape(), rate, 1, engine_), before, after);
    }

    std::reference_wrapper<Engine> engine_;
};

}  // namespace xtape::nn
