#pragma once

#include <cstddef>
#include <utility>

#include "nn/dropout.hpp"
#include "nn/layers.hpp"

namespace xtape::nn {

struct VariationalDropoutRates {
    double input = 0;
    double recurrent = 0;
};

/// A cell that sees x ⊙ m_x and, as the output of the step before, h ⊙ m_h: dropout masks that are drawn once for a sequence
/// and stay the same at all of its steps. Nothing is dropped in evaluation. (Gal and Ghahramani, 2016)
///
///     nn::VariationalDropout cell(nn::LSTMCell<float>(D, H, engine), {.input = 0.3, .recurrent = 0.2}, engine);
///
/// The cell must have input_size() and initial_state(tape, batch). The engine is referred to. Throws std::invalid_argument for
/// a rate outside of [0, 1].
template <class Cell>
struct VariationalDropout {
    using State = layer_state<Cell>;

    VariationalDropout(Cell inner, VariationalDropoutRates rates, Engine& source)
        : cell(std::move(inner)), input(rates.input, source), recurrent(rates.recurrent, source) {}

    std::size_t input_size() const { return cell.input_size(); }
    std::size_t hidden_size() const { return cell.hidden_size(); }

    /// The step of a sequence of so many samples: draws its masks.
    template <class T>
    auto on(Tape<T>& tape, std::size_t batch) const {
        auto inner = detail::step_on(cell, tape, batch);
        Var<T> m_x, m_h;
        if (input.training && input.rate > 0) m_x = input.mask(tape, Shape{batch, input_size()});
        if (recurrent.training && recurrent.rate > 0)
            m_h = recurrent.mask(tape, output_of(cell.initial_state(tape, batch)).shape());
        const auto step = [inner, m_x, m_h](const Var<T>& x, const State& s) -> State {
            State seen = s;
            if constexpr (is_var<State>)
                seen = masked(s, m_h);
            else
                seen.h = masked(s.h, m_h);
            return inner(masked(x, m_x), seen);
        };
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

    /// What the cell's steps draw from, if they do.
    Engine& engine() const requires requires(const Cell& c) { c.engine(); }
    { return cell.engine(); }

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("input", input);
        f("recurrent", recurrent);
    }

    Cell cell;
    Dropout input, recurrent;

private:
    /// Of sequences of different lengths later steps have the first samples only.
    template <class T>
    static Var<T> masked(const Var<T>& x, const Var<T>& mask) {
        if (!mask) return x;
        const std::size_t rows = x.shape()[0];
        if (rows == mask.shape()[0]) return x * mask;
        return x * slice(mask, 0, 0, static_cast<std::ptrdiff_t>(rows));
    }
};

}  // namespace xtape::nn
