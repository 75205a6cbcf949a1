#pragma once

#include <utility>

#include "autograd/call_log.hpp"
#include "autograd/tape.hpp"

namespace xtape {

/// A computation that can be done again on new numbers in the same places, at the speed of its loops: nothing is looked
/// up, checked or recorded any more.
///
///     Replay<float> replay;
///     const Var<float> y = replay.note(tape, [&] { return tanh(matmul(x, w)); });
///     // write new numbers to where x lies
///     replay.run();  // and y has changed
///
/// It works on the tape's memory: it ends with the tape's life, or with a rewind to before the computation, and so do its
/// results. Parameters are taken to stay as they are, and may have been packed. What the computation made of other things
/// than values on the tape, such as the number in `2 * x`, stays as it was.
template <class T>
class Replay {
public:
    /// Runs the computation on the tape, with nothing recorded, and returns its result.
    template <class F>
    auto note(Tape<T>& tape, F&& computation) {
        tape_ = nullptr;
        const NoRecording values_only(tape);
        log_.clear();
        const LogInto<T> noting(tape, &log_);
        auto result = std::forward<F>(computation)();
        tape_ = &tape;
        return result;
    }

    /// Whether run() can do all of it. Not if the computation threw, unrolled a sequence, or used an op that isn't one of:
    /// statements, views, sums and means, and products and concatenations of contiguous rows.
    bool is_complete() const { return tape_ != nullptr && log_.is_complete(); }

    /// From now on it finds at b what it found at a, and the other way round. Both have `count` elements and room for a vector
    /// behind them, and are all of what a Var that is no view holds, or an Array.
    void exchange(T* a, T* b, std::size_t count) { log_.exchange(a, b, count); }

    /// Does it again. To be called only if it is complete.
    void run() const { log_.do_again(tape_->team()); }

private:
    Tape<T>* tape_ = nullptr;
    CallLog<T> log_;
};

}  // namespace xtape
