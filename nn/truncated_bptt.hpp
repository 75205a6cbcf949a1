#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// Truncated BPTT over a stream without end: every k1 steps a loss of these steps, whose gradient goes back through the
/// last k2 of them, BPTT(k2; k1). The state goes on from window to window by value. (Williams and Peng, 1990)
///
///     nn::TruncatedBPTT stream(cell, {.k1 = 20, .k2 = 60});
///     for (...) {
///         tape.clear();
///         const auto [outputs, state] = stream.window(tape, xs);  // xs and outputs: the k1 new steps
///         backward(loss(outputs));
///         optimizer.step();  // of a model that the cell belongs to
///         nn::zero_grad(model);
///     }
///
/// With k1 = k2 windows follow each other, and each step is computed once; otherwise the k2 - k1 steps before the new
/// ones are computed again, with the parameters as they are now. Memory is that of k2 steps.
template <class T, class Cell>
class TruncatedBPTT {
public:
    using State = cell_state<Cell, T>;
    struct Options {
        std::size_t k1;  // new steps in a window
        std::size_t k2;  // that a gradient goes back: a multiple of k1
    };

    /// A cell or a layer, which must live as long. Throws std::invalid_argument unless k2 is a multiple of k1 > 0.
    TruncatedBPTT(const Cell& cell, Options options) : cell_(cell), options_(options) {
        if (options.k1 == 0 || options.k2 < options.k1 || options.k2 % options.k1 != 0) {
            throw std::invalid_argument("[TruncatedBPTT] k1 = " + std::to_string(options.k1) +
                                        ", k2 = " + std::to_string(options.k2) +
                                        ": expected k2 to be a multiple of k1, and both at least 1");
        }
        windows_.resize(options.k2 / options.k1);
    }

    /// The outputs and the state of the next k1 steps xs (k1, B, D). Throws ShapeError for another number of steps, and
    /// for another B than before. What throws leaves the stream where it was.
    template <XtensorExpression X>
    Unrolled<Var<T>, State> window(Tape<T>& tape, const X& xs) {
        const Shape shape(xs.shape());
        if (shape.size() < 2 || shape[0] != options_.k1) {
            throw ShapeError("[TruncatedBPTT] a window of shape " + to_string(shape) + ": expected (" +
                             std::to_string(options_.k1) + ", B, ...)");
        }
        if (used_ > 0 && windows_[latest()].xs.shape() != shape) {
            throw ShapeError("[TruncatedBPTT] a window of shape " + to_string(shape) +
                             " after one of shape " + to_string(windows_[latest()].xs.shape()) +
                             ": expected the same, or forget() first");
        }
        newest_.xs = xs;
        newest_.start = next_start_;
        // The oldest window makes room, but only once this one has gone well.
        const bool full = used_ == windows_.size();
        std::size_t at = full ? (first_ + 1) % windows_.size() : first_;
        const std::size_t before = full ? used_ - 1 : used_;
        const CarriedState<State>& start = before > 0 ? windows_[at].start : newest_.start;
        State state = start.empty() ? State(cell_.initial_state(tape, shape[1])) : start.on(tape);
        for (std::size_t k = 0; k < before; ++k) {
            state = unroll(cell_, tape.constant(windows_[at].xs), state).state;
            at = (at + 1) % windows_.size();
            (k + 1 < before ? windows_[at] : newest_).start.keep(state);
        }
        const auto result = unroll(cell_, tape.constant(newest_.xs), state);
        next_start_.keep(result.state);
        if (full)
            first_ = (first_ + 1) % windows_.size();
        else
            ++used_;
        std::swap(windows_[latest()], newest_);
        return result;
    }

    /// The next window starts from the cell's initial state.
    void forget() {
        used_ = first_ = 0;
        next_start_.forget();
    }

private:
    struct Window {
        Array<T> xs;
        CarriedState<State> start;
    };

    std::size_t latest() const { return (first_ + used_ - 1) % windows_.size(); }

    const Cell& cell_;
    Options options_;
    std::vector<Window> windows_;  // a ring of the last k2 / k1 windows
    std::size_t first_ = 0, used_ = 0;
    Window newest_;  // until it has gone well
    CarriedState<State> next_start_;
};

template <class Cell>
TruncatedBPTT(const Cell&, typename TruncatedBPTT<module_value<Cell>, Cell>::Options)
    -> TruncatedBPTT<module_value<Cell>, Cell>;

}  // namespace xtape::nn
