#include <algorithm>
#include <cstddef>
#include <memory>
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

/// A tape that is cleared for each step.
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
        const Var<T>& output = xtape::nn::output_of(after);
        std::copy_n(&output.value()(0, 0), output.size(), h);
    }

private:
    Cell cell_;
    Array<T> x_;
    Tape<T> tape_;
    xtape::nn::CarriedState<typename Cell::State> state_;
};

/// What nn has for it.
template <class T, class Cell>
class ByStream : public Streamer<T> {
public:
    ByStream(const Problem<T>& problem, Cell cell)
        : cell_(std::move(cell)), x_(Shape{1, problem.size.inputs}), stream_(tape_, cell_) {
        fill_cell(cell_, problem);
    }

    std::string name() const override { return "xtape, nn::Stream"; }
    void restart() override { stream_.reset(); }

    void step(const T* x, T* h) override {
        std::copy_n(x, x_.size(), x_.data());
        const auto output = stream_(x_.view());
        std::copy_n(&output(0, 0), output.size(), h);
    }

private:
    Cell cell_;
    Array<T> x_;
    Tape<T> tape_;
    xtape::nn::Stream<T, Cell> stream_;
};

template <class T, class Cell>
Streamers<T> both_ways(const Problem<T>& problem, const Cell& cell) {
    Streamers<T> result;
    result.push_back(std::make_unique<ByStream<T, Cell>>(problem, cell));
    result.push_back(std::make_unique<ClearedTape<T, Cell>>(problem, cell));
    return result;
}

}  // namespace

template <class T>
Streamers<T> xtape_streamers(const Problem<T>& problem) {
    using namespace xtape::nn;
    Engine engine(1);
    const std::size_t inputs = problem.size.inputs, hidden = problem.size.hidden;
    if (problem.cell == Cell::lstm) return both_ways(problem, LSTMCell<T>(inputs, hidden, engine));
    if (problem.cell == Cell::gru_reset_after) return both_ways(problem, GRUCell<T>(inputs, hidden, engine));
    return {};
}

template Streamers<float> xtape_streamers(const Problem<float>&);
template Streamers<double> xtape_streamers(const Problem<double>&);

}  // namespace bench
