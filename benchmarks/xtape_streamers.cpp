#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "autograd/autograd.hpp"
#include "benchmarks/nn_cells.hpp"
#include "benchmarks/streaming.hpp"
#include "nn/nn.hpp"

namespace bench {
namespace {

using xtape::Array;
using xtape::NoRecording;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

/// The elements of a (1, H) output, which lie side by side.
template <class T>
void copy_out(const Var<T>& h, T* to) {
    std::copy_n(&h.value()(0, 0), h.size(), to);
}

/// The simplest way: a tape that is cleared for each step.
template <class T, class Cell>
class ClearedTape : public Streamer<T> {
public:
    ClearedTape(const Problem<T>& problem, Cell cell)
        : cell_(std::move(cell)), x_(Shape{1, problem.size.inputs}) {
        fill_cell(cell_, problem);
    }

    std::string name() const override { return "xtape, cleared"; }
    void restart() override { state_.forget(); }

    void step(const T* x, T* h) override {
        tape_.clear();
        const NoRecording inference(tape_);
        std::copy_n(x, x_.size(), x_.data());
        const auto before = state_.empty() ? cell_.initial_state(tape_, 1) : state_.on(tape_);
        const auto after = cell_(tape_.constant(x_), before);
        state_.keep(after);
        copy_out(xtape::nn::output_of(after), h);
    }

private:
    Cell cell_;
    Array<T> x_;
    Tape<T> tape_;
    xtape::nn::CarriedState<typename Cell::State> state_;
};

/// The parameters stay watched: the tape goes back to where they were.
template <class T, class Cell>
class RewoundTape : public Streamer<T> {
public:
    RewoundTape(const Problem<T>& problem, Cell cell)
        : cell_(std::move(cell)),
          x_(Shape{1, problem.size.inputs}),
          inference_(tape_),
          step_(cell_.on(tape_)),
          start_(tape_.mark()) {
        fill_cell(cell_, problem);
    }

    std::string name() const override { return "xtape, rewound"; }
    void restart() override { state_.forget(); }

    void step(const T* x, T* h) override {
        std::copy_n(x, x_.size(), x_.data());
        const auto before = state_.empty() ? cell_.initial_state(tape_, 1) : state_.on(tape_);
        const auto after = step_(tape_.constant(x_), before);
        state_.keep(after);
        copy_out(xtape::nn::output_of(after), h);
        tape_.rewind(start_);
    }

private:
    using Step = decltype(std::declval<Cell&>().on(std::declval<Tape<T>&>()));

    Cell cell_;
    Array<T> x_;
    Tape<T> tape_;
    NoRecording inference_;
    Step step_;
    typename Tape<T>::Mark start_;
    xtape::nn::CarriedState<typename Cell::State> state_;
};

/// The state stays on the tape for many steps, and is carried by value only from one life of the tape to the next:
/// weights are packed once a life.
template <class T, class Cell>
class WindowedTape : public Streamer<T> {
public:
    WindowedTape(const Problem<T>& problem, Cell cell)
        : cell_(std::move(cell)), x_(Shape{1, problem.size.inputs}), inference_(tape_) {
        fill_cell(cell_, problem);
    }

    std::string name() const override { return "xtape, window of 256"; }
    void restart() override {
        carried_.forget();
        begin_window();
    }

    void step(const T* x, T* h) override {
        if (steps_ == 256) {
            carried_.keep(state_);
            begin_window();
        }
        ++steps_;
        std::copy_n(x, x_.size(), x_.data());
        state_ = (*step_)(tape_.constant(x_), state_);
        copy_out(xtape::nn::output_of(state_), h);
    }

private:
    using Step = decltype(std::declval<Cell&>().on(std::declval<Tape<T>&>()));

    void begin_window() {
        tape_.clear();
        step_.emplace(cell_.on(tape_));
        state_ = carried_.empty() ? cell_.initial_state(tape_, 1) : carried_.on(tape_);
        steps_ = 0;
    }

    Cell cell_;
    Array<T> x_;
    Tape<T> tape_;
    NoRecording inference_;
    std::optional<Step> step_;
    typename Cell::State state_;
    xtape::nn::CarriedState<typename Cell::State> carried_;
    std::size_t steps_ = 0;
};

template <class T, class Cell>
Streamers<T> all_ways(const Problem<T>& problem, const Cell& cell) {
    Streamers<T> result;
    result.push_back(std::make_unique<ClearedTape<T, Cell>>(problem, cell));
    result.push_back(std::make_unique<RewoundTape<T, Cell>>(problem, cell));
    result.push_back(std::make_unique<WindowedTape<T, Cell>>(problem, cell));
    return result;
}

}  // namespace

template <class T>
Streamers<T> xtape_streamers(const Problem<T>& problem) {
    using namespace xtape::nn;
    Engine engine(1);
    const std::size_t inputs = problem.size.inputs, hidden = problem.size.hidden;
    if (problem.cell == Cell::lstm) return all_ways(problem, LSTMCell<T>(inputs, hidden, engine));
    if (problem.cell == Cell::gru_reset_after) return all_ways(problem, GRUCell<T>(inputs, hidden, engine));
    return {};
}

template Streamers<float> xtape_streamers(const Problem<float>&);
template Streamers<double> xtape_streamers(const Problem<double>&);

}  // namespace bench
