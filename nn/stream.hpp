#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "autograd/strided.hpp"
#include "nn/unroll.hpp"

namespace xtape::nn {

/// Runs a cell on inputs as they come, one step at a time, and computes nothing but values: inference on a stream.
///
///     Tape<float> tape;
///     nn::Stream stream(tape, cell);
///     while (...) {
///         const auto h = stream(x);  // from x (B, D) and what came before it, h (B, H)
///     }
///
/// A cell whose steps are alike (`every_step`) takes little more than its products and loops: a step is recorded twice and
/// then only done again. The tape is the stream's own as long as it lives, and so are the cell's parameters: call
/// refresh() after they have changed. Tape and cell must outlive the stream.
template <class T, class Cell>
class Stream {
public:
    using State = cell_state<Cell, T>;

    Stream(Tape<T>& tape, const Cell& cell) : tape_(tape), cell_(cell) {}
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// The output of one more step, valid until the next one. x is an xtensor expression of shape (B, D). Throws
    /// ShapeError, and stays where it was, if the cell doesn't take that shape or B isn't that of the state.
    template <XtensorExpression X>
    auto operator()(const X& x) {
        if (!ready_ || !std::ranges::equal(x.shape(), input_.shape())) {
            spare_input_ = x;  // it may be an output of this stream, which ends here
            begin(spare_input_.shape());
            std::copy_n(spare_input_.data(), spare_input_.size(), input_.data());
        } else {
            constexpr auto in_rows = xt::layout_type::row_major;
            std::copy(x.template begin<in_rows>(), x.template end<in_rows>(), input_.data());
        }
        advance();
        return output();
    }

    /// Forgets what came so far: the next step starts from the cell's initial state.
    void reset() {
        batch_.reset();
        refresh();
    }
    /// To be called when the cell's parameters have changed; the state stays.
    void refresh() { ready_ = false; }

private:
    using Step =
        decltype(detail::step_on(std::declval<const Cell&>(), std::declval<Tape<T>&>(), std::size_t{}));
    static constexpr bool alike = detail::is_every_step<std::remove_cvref_t<Step>>;
    /// What is done step by step fills the tape, which is cleared now and then: often enough to stay small, and
    /// seldom enough for weights to be worth packing.
    static constexpr std::size_t steps_per_life = 256;

    /// A life of the tape.
    void begin(const Shape& shape) {
        if (shape.empty()) throw ShapeError("[Stream] an input of shape (): expected (B, D)");
        if (batch_ && *batch_ != shape[0]) {
            throw ShapeError("[Stream] an input of shape " + to_string(shape) + " to a state of " +
                             std::to_string(*batch_) + " samples: expected as many, or reset() first");
        }
        ready_ = false;
        bring_back();
        replays_ = {};
        tape_.clear();
        const NoRecording values_only(tape_);
        step_.emplace(detail::step_on(cell_, tape_, shape[0]));
        if (!batch_) copy_state(cell_.initial_state(tape_, shape[0]));
        batch_ = shape[0];
        input_.resize(shape);
        x_ = changing(input_);
        state_ = state_of<State>([&](std::size_t k) { return changing(arrays_[k]); });
        for (output_ = 0; vars_of(*state_)[output_].index() != output_of(*state_).index();) ++output_;
        first_computed_ = static_cast<NodeIndex>(tape_.size());
        steps_ = 0;
        ready_ = true;
    }

    Var<T> changing(Array<T>& array) {
        const Var<T> leaf = tape_.borrow(array.shape(), array.data());
        tape_.node(leaf).may_change = true;
        return leaf;
    }

    void advance() {
        if (replays_[away_].is_complete()) {
            replays_[away_].run();
            if (alternates_)
                away_ = !away_;
            else
                keep_state();
            return;
        }
        if (steps_ == steps_per_life) begin(Shape(input_.shape()));
        ready_ = false;  // what throws leaves half a step
        // The first step packs no weights: it doesn't know that others follow.
        if (alike && steps_ == 1) {
            next_ = replays_[0].note(tape_, [&] { return (*step_)(x_, *state_); });
        } else {
            const NoRecording values_only(tape_);
            next_ = (*step_)(x_, *state_);
        }
        plan_moves();
        ++steps_;
        ready_ = true;
        keep_state();
        plan_way_back();
    }

    /// Where a step has left its state the next one may find it, and leave its own where that one found it. Then nothing has
    /// to be moved.
    void plan_way_back() {
        alternates_ = replays_[0].is_complete() && std::ranges::all_of(moves_, &Move::is_whole);
        for (std::size_t k = 0; k < moves_.size(); ++k)
            for (std::size_t j = 0; j < k; ++j) alternates_ &= moves_[k].from != moves_[j].from;
        if (!alternates_) return;
        replays_[1] = replays_[0];
        for (const Move& move : moves_) replays_[1].exchange(move.from, move.to, move.count);
    }
    void bring_back() {
        if (away_) keep_state();
        away_ = alternates_ = false;
    }

    /// What the last step has put out, where it lies.
    TensorView<const T> output() const {
        const Array<T>& array = arrays_[output_];
        return tensor_view<const T>(away_ ? moves_[output_].from : array.data(), array.shape());
    }

    void copy_state(const State& state) {
        const auto vars = vars_of(state);
        for (std::size_t k = 0; k < vars.size(); ++k) {
            arrays_[k].resize(vars[k].shape());
            copy(vars[k], arrays_[k].data());
        }
    }
    /// The state that a step has left becomes the one that the next step finds, in the same place.
    void keep_state() {
        for (std::size_t k = 0; k < moves_.size(); ++k) {
            if (moves_[k].from == nullptr) copy(vars_of(*next_)[k], spare_[k].data());
        }
        for (std::size_t k = 0; k < moves_.size(); ++k) {
            const auto [from, to, count, is_whole] = moves_[k];
            std::copy_n(from == nullptr ? spare_[k].data() : from, count, to);
        }
    }
    /// What a step hands on as it got it, or strided, takes a detour.
    void plan_moves() {
        const auto vars = vars_of(*next_);
        for (std::size_t k = 0; k < vars.size(); ++k) {
            const Node<T>& node = tape_.node(vars[k]);
            if (node.shape != arrays_[k].shape()) {
                throw ShapeError("[Stream] a state of shape " + to_string(arrays_[k].shape()) + " became " +
                                 to_string(node.shape) + ": expected the same shape from step to step");
            }
            const bool computed = node.owner >= first_computed_ && node.is_dense();
            spare_[k].resize(node.shape);
            moves_[k] = {computed ? node.value : nullptr, arrays_[k].data(), node.size(),
                         computed && !node.is_view && !node.shares_value};
        }
    }
    void copy(const Var<T>& var, T* to) const {
        const Node<T>& node = tape_.node(var);
        if (node.is_dense())
            std::copy_n(node.value, node.size(), to);
        else
            copy_strided<T>(node.shape, node.value, node.full_strides(), to, dense_strides(node.shape));
    }

    struct Move {
        T* from;  // or null
        T* to;
        std::size_t count;
        bool is_whole;  // all that was computed there is this
    };

    Tape<T>& tape_;
    const Cell& cell_;
    std::optional<Step> step_;
    Array<T> input_, spare_input_;
    std::optional<std::size_t> batch_;                 // of the state, if there is one
    std::array<Array<T>, var_count<State>()> arrays_;  // the state
    std::size_t output_ = 0;                           // which of them a step puts out
    std::array<Array<T>, var_count<State>()> spare_;
    std::array<Move, var_count<State>()> moves_;
    NodeIndex first_computed_ = 0;
    Var<T> x_;
    std::optional<State> state_, next_;
    std::array<Replay<T>, 2> replays_;  // of a step that finds the state in arrays_, and of one that doesn't
    bool alternates_ = false;           // these two kinds of steps
    bool away_ = false;                 // the state is where the last step has left it, not in arrays_
    std::size_t steps_ = 0;
    bool ready_ = false;
};

}  // namespace xtape::nn
