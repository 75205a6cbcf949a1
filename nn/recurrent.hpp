#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nn/gru_cell.hpp"
#include "nn/layers.hpp"
#include "nn/lstm_cell.hpp"
#include "nn/rnn_cell.hpp"

// PyTorch's recurrent layers: cells, stacked, in one direction or in both.
//
//     const nn::LSTM<float> lstm(D, H, engine, {.layers = 2, .bidirectional = true});
//     const auto [outputs, last] = lstm(xs);

namespace xtape::nn {

/// Dropout acts between layers, so that one layer has none. With batch_first sequences are (B, T, D).
struct RNNOptions {
    std::size_t layers = 1;
    bool bidirectional = false;
    double dropout = 0;
    bool bias = true;
    bool batch_first = false;
    Activation activation = Activation::tanh;
};

struct LSTMOptions {
    std::size_t layers = 1;
    bool bidirectional = false;
    double dropout = 0;
    bool bias = true;
    bool batch_first = false;
    std::size_t projection_size = 0;  // of h; 0: it isn't projected
};

struct GRUOptions {
    std::size_t layers = 1;
    bool bidirectional = false;
    double dropout = 0;
    bool bias = true;
    bool batch_first = false;
    Reset reset = Reset::after_product;
};

/// What RNN, LSTM and GRU have in common: layers of one kind of cell over whole sequences, with states as PyTorch gives them.
///
/// xs is (T, B, D), with batch_first (B, T, D), and one sequence by itself (T, D). The outputs are alike, with the H (or P) of
/// the highest layer, forwards and backwards side by side, in place of D. A state is the cell's, but each Var of it has the
/// layers in front, (layers · directions, B, H), from the lowest one on and forwards before backwards; without B for one
/// sequence. Packed sequences are packed, and their states as ever. Throws ShapeError for other shapes.
template <class Cell>
class Recurrent {
public:
    static constexpr bool is_layer = true;
    using value_type = module_value<Cell>;
    using State = typename Cell::State;

    std::size_t input_size() const { return cell(0, 0).input_size(); }
    std::size_t hidden_size() const { return cell(0, 0).hidden_size(); }
    std::size_t layers() const {
        return std::visit([](const auto& stacked) { return stacked.layers.size(); }, stacked_);
    }
    std::size_t directions() const { return stacked_.index() + 1; }
    bool batch_first() const { return batch_first_; }

    /// The cell of a layer that reads forwards (0) or backwards (1).
    Cell& cell(std::size_t layer, std::size_t direction) {
        return const_cast<Cell&>(std::as_const(*this).cell(layer, direction));
    }
    const Cell& cell(std::size_t layer, std::size_t direction) const {
        if (const auto* both = std::get_if<Stacked<Bidirectional<Cell>>>(&stacked_))
            return direction == 0 ? both->layers[layer].forwards : both->layers[layer].backwards;
        return std::get<Stacked<Cell>>(stacked_).layers[layer];
    }

    /// From zeros: outputs and state.
    template <class Sequence>
    auto operator()(const Sequence& xs) const {
        auto& tape = elements_of(xs).tape();
        if constexpr (is_var<Sequence>) {
            check_input(xs);
            if (xs.rank() == 2)
                return unroll(xs,
                              of_each(initial_state(tape, 1), [](const auto& h) { return select(h, 1, 0); }));
            if (batch_first_) return unroll(xs, initial_state(tape, xs.shape()[0]));
        }
        return unroll(xs, initial_state(tape, batch_of(xs)));
    }
    template <class Sequence>
    auto operator()(const Sequence& xs, const State& initial) const {
        return unroll(xs, initial);
    }
    /// From the state that was carried here, and carries the last one on: a window of truncated BPTT.
    template <class Sequence>
    auto operator()(const Sequence& xs, CarriedState<State>& carried) const {
        const auto result = carried.empty() ? (*this)(xs) : unroll(xs, carried.on(elements_of(xs).tape()));
        carried.keep(result.state);
        return result;
    }

    template <class Sequence, class... Options>
    Unrolled<Sequence, State> unroll(const Sequence& xs, const State& initial,
                                     const Options&... options) const {
        if constexpr (is_var<Sequence>) {
            check_input(xs);
            if (xs.rank() == 2) {
                const auto add = [](const auto& h) { return unsqueeze(h, 1); };
                const auto drop = [](const auto& h) { return select(h, 1, 0); };
                check_state(initial, 2, 0);
                const auto [outputs, last] = run(unsqueeze(xs, 1), of_each(initial, add), options...);
                return {drop(outputs), of_each(last, drop)};
            }
            check_state(initial, 3, xs.shape()[batch_first_ ? 0 : 1]);
            if (!batch_first_) return run(xs, initial, options...);
            const Axes swapped{1, 0, 2};
            const auto [outputs, last] = run(contiguous(transpose(xs, swapped)), initial, options...);
            return {transpose(outputs, swapped), last};
        } else {
            check_state(initial, 3, batch_of(xs));
            return run(xs, initial, options...);
        }
    }

    State initial_state(Tape<value_type>& tape, std::size_t batch) const {
        return of_each(cell(0, 0).initial_state(tape, batch), [&](const auto& h) {
            Shape shape = h.shape();
            shape.insert(0, layers() * directions());
            return zeros(tape, shape);
        });
    }

    template <class F>
    void visit(F&& f) {
        std::visit([&](auto& stacked) { stacked.visit(f); }, stacked_);
    }
    /// As PyTorch has them: "weight_ih_l0", "weight_ih_l0_reverse", ...
    template <class F>
    requires requires(Cell& c, F f) { c.visit_state_dict(f); }
    void visit_state_dict(F&& f) {
        for (std::size_t layer = 0; layer < layers(); ++layer) {
            for (std::size_t direction = 0; direction < directions(); ++direction) {
                const std::string end = "_l" + std::to_string(layer) + (direction == 0 ? "" : "_reverse");
                cell(layer, direction).visit_state_dict([&](std::string_view name, auto&& tensor) {
                    f(std::string(name) + end, tensor);
                });
            }
        }
    }

protected:
    /// `make(inputs)` makes a cell for so many inputs. Throws std::invalid_argument for options out of range.
    template <class Options, class Make>
    Recurrent(const char* name, std::size_t input_size, std::size_t hidden_size, std::size_t output_size,
              Engine& engine, const Options& options, Make make)
        : name_(name),
          batch_first_(options.batch_first),
          stacked_(stack_of(name, input_size, hidden_size, output_size, engine, options, make)) {}

private:
    using Either = std::variant<Stacked<Cell>, Stacked<Bidirectional<Cell>>>;

    template <class Options, class Make>
    static Either stack_of(const char* name, std::size_t input_size, std::size_t hidden_size,
                           std::size_t output_size, Engine& engine, const Options& options, Make& make) {
        detail::check_positive(name, "input_size", input_size);
        detail::check_positive(name, "hidden_size", hidden_size);
        detail::check_positive(name, "layers", options.layers);
        detail::check_probability(name, "dropout", options.dropout);
        std::optional<Dropout> between;
        if (options.dropout > 0) between.emplace(options.dropout, engine);
        if (!options.bidirectional) {
            std::vector<Cell> cells;
            for (std::size_t k = 0; k < options.layers; ++k)
                cells.push_back(make(k == 0 ? input_size : output_size));
            return Stacked<Cell>(std::move(cells), between);
        }
        std::vector<Bidirectional<Cell>> pairs;
        for (std::size_t k = 0; k < options.layers; ++k) {
            const std::size_t inputs = k == 0 ? input_size : 2 * output_size;
            Cell forwards = make(inputs);  // before the other one, whatever the order of arguments
            pairs.emplace_back(std::move(forwards), make(inputs));
        }
        return Stacked<Bidirectional<Cell>>(std::move(pairs), between);
    }

    template <class F>
    static State of_each(const State& state, F change) {
        const auto vars = vars_of(state);
        return state_of<State>([&](std::size_t k) { return change(vars[k]); });
    }

    void check_input(const Var<value_type>& xs) const {
        const std::size_t rank = xs.rank();
        if ((rank == 2 || rank == 3) && xs.shape()[rank - 1] == input_size()) return;
        const std::string D = std::to_string(input_size());
        throw ShapeError("[" + name_ + "] a sequence of shape " + to_string(xs.shape()) + ": expected " +
                         (batch_first_ ? "(B, T, " : "(T, B, ") + D + ") or (T, " + D + ")");
    }
    /// The cells see to the last axis.
    void check_state(const State& state, std::size_t rank, std::size_t batch) const {
        for (const auto& h : vars_of(state)) {
            const Shape& shape = h.shape();
            if (shape.size() == rank && shape[0] == layers() * directions() &&
                (rank == 2 || shape[1] == batch))
                continue;
            throw ShapeError("[" + name_ + "] a state of shape " + to_string(shape) + ": expected (" +
                             std::to_string(layers() * directions()) + ", " +
                             (rank == 2 ? "" : std::to_string(batch) + ", ") + "H), " +
                             std::to_string(layers()) + " layers in " + std::to_string(directions()) +
                             (directions() == 1 ? " direction" : " directions"));
        }
    }

    /// Of (T, B, D) and states (layers · directions, B, H).
    template <class Sequence, class... Options>
    Unrolled<Sequence, State> run(const Sequence& xs, const State& initial, const Options&... options) const {
        const auto at = [&](std::size_t row) {
            return of_each(initial, [&](const auto& h) { return h[static_cast<std::ptrdiff_t>(row)]; });
        };
        std::vector<State> last;
        Sequence outputs = xs;
        if (const auto* one_way = std::get_if<Stacked<Cell>>(&stacked_)) {
            std::vector<State> states;
            for (std::size_t k = 0; k < layers(); ++k) states.push_back(at(k));
            const auto result = one_way->unroll(xs, states, options...);
            outputs = result.outputs;
            last = result.state;
        } else {
            std::vector<BothWays<State>> states;
            for (std::size_t k = 0; k < layers(); ++k) states.push_back({at(2 * k), at(2 * k + 1)});
            const auto result =
                std::get<Stacked<Bidirectional<Cell>>>(stacked_).unroll(xs, states, options...);
            outputs = result.outputs;
            for (const auto& [forwards, backwards] : result.state)
                last.insert(last.end(), {forwards, backwards});
        }
        return {outputs, state_of<State>([&](std::size_t k) {
                    std::vector<Var<value_type>> rows;
                    for (const State& state : last) rows.push_back(vars_of(state)[k]);
                    return stack(rows);
                })};
    }

    std::string name_;
    bool batch_first_;
    Either stacked_;
};

/// Layers of RNNCell. Their names are "layers.0.w_xh", ..., or "layers.0.forwards.w_xh" in two directions. Refers to the engine
/// if there is dropout. Throws std::invalid_argument for sizes of 0 and other options out of range.
template <class T>
class RNN : public Recurrent<RNNCell<T>> {
public:
    RNN(std::size_t input_size, std::size_t hidden_size, Engine& engine, RNNOptions options = {})
        : Recurrent<RNNCell<T>>(
              "RNN", input_size, hidden_size, hidden_size, engine, options, [&](std::size_t inputs) {
                  return RNNCell<T>(inputs, hidden_size, engine,
                                    RNNCellOptions{.activation = options.activation, .bias = options.bias});
              }) {}
};

/// Layers of LSTMCell.
template <class T>
class LSTM : public Recurrent<LSTMCell<T>> {
public:
    LSTM(std::size_t input_size, std::size_t hidden_size, Engine& engine, LSTMOptions options = {})
        : Recurrent<LSTMCell<T>>("LSTM", input_size, hidden_size,
                                 options.projection_size > 0 ? options.projection_size : hidden_size, engine,
                                 options, [&](std::size_t inputs) {
                                     return LSTMCell<T>(
                                         inputs, hidden_size, engine,
                                         {.bias = options.bias, .projection_size = options.projection_size});
                                 }) {}
};

/// Layers of GRUCell.
template <class T>
class GRU : public Recurrent<GRUCell<T>> {
public:
    GRU(std::size_t input_size, std::size_t hidden_size, Engine& engine, GRUOptions options = {})
        : Recurrent<GRUCell<T>>(
              "GRU", input_size, hidden_size, hidden_size, engine, options, [&](std::size_t inputs) {
                  return GRUCell<T>(inputs, hidden_size, engine,
                                    GRUCellOptions{.reset = options.reset, .bias = options.bias});
              }) {}
};

}  // namespace xtape::nn
