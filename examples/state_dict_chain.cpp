#include "examples/state_dict_chain.hpp"

#include <algorithm>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include "nn/nn.hpp"
#include "nn/state_dict.hpp"

namespace examples {

namespace {

using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

using Run = std::function<Var<float>(const Var<float>&)>;

/// The entries of one layer: those whose names are its own, a dot, and a name without a dot.
class Entries {
public:
    Entries(const nn::SafetensorsFile& file, std::string layer) : file_(file), layer_(std::move(layer)) {}

    const std::string& layer() const { return layer_; }
    std::string prefix() const { return layer_.empty() ? "" : layer_ + "."; }
    bool has(const std::string& name) const { return file_.find(prefix() + name) != nullptr; }
    /// Throws std::runtime_error unless there is such a matrix.
    Shape matrix(const std::string& name) const {
        const auto& entry = file_.get(prefix() + name);
        if (entry.shape.size() == 2 && entry.shape[0] > 0 && entry.shape[1] > 0) return entry.shape;
        throw std::runtime_error(file_.name() + ": " + entry.name + " has the shape " +
                                 to_string(entry.shape) + ": expected a matrix");
    }
    std::size_t rank(const std::string& name) const { return file_.get(prefix() + name).shape.size(); }
    std::size_t extent(const std::string& name) const { return file_.get(prefix() + name).shape[0]; }

    /// Loads a layer, and runs it by run(layer, x).
    template <class M, class R>
    Run loaded(std::shared_ptr<M> layer, R run) const {
        nn::load_state_dict(*layer, file_, {.prefix = prefix()});
        return [layer, run](const Var<float>& x) { return run(*layer, x); };
    }

private:
    const nn::SafetensorsFile& file_;
    std::string layer_;
};

/// The layers of which a state dict has the entries; they are made when it is clear which is meant.
class Reader {
public:
    Reader(const Entries& entries, bool relu) : entries_(entries), relu_(relu) {}

    /// Nothing if these aren't the entries of a layer that is known. Two for a matrix alone: an embedding, or a linear
    /// layer without a bias.
    std::vector<ChainLayer> layers() const {
        if (entries_.has("weight_ih_l0") && entries_.has("weight_hh_l0")) return {recurrent("_l0")};
        if (entries_.has("weight_ih") && entries_.has("weight_hh")) return {recurrent("")};
        if (!entries_.has("weight")) return {};
        const bool bias = entries_.has("bias");
        if (entries_.rank("weight") == 1) return {layer_norm(bias)};
        if (entries_.rank("weight") != 2) return {};
        if (bias) return {linear(true)};
        return {embedding(), linear(false)};
    }

private:
    ChainLayer recurrent(const std::string& end) const {
        const Shape w = entries_.matrix("weight_ih" + end), u = entries_.matrix("weight_hh" + end);
        const bool projected = entries_.has("weight_hr" + end);
        const std::size_t hidden = projected ? entries_.matrix("weight_hr" + end)[1] : u[1];
        const std::size_t gates = u[0] == w[0] && w[0] % hidden == 0 ? w[0] / hidden : 0;
        nn::LSTMOptions options{.bidirectional = entries_.has("weight_ih" + end + "_reverse"),
                                .bias = entries_.has("bias_ih" + end),
                                .projection_size = projected ? u[1] : 0};
        const bool is_cell = end.empty();
        while (!is_cell && entries_.has("weight_ih_l" + std::to_string(options.layers))) {
            if (!(entries_.matrix("weight_hh_l" + std::to_string(options.layers)) == u))
                throw std::runtime_error("the layers of '" + entries_.layer() +
                                         "' differ in their hidden units");
            ++options.layers;
        }
        const std::string cell = is_cell ? "Cell" : "";
        switch (gates) {
            case 1:
                return is_cell ? cell_of<nn::RNNCell<float>>("RNNCell", w[1], hidden, options)
                               : layers_of<nn::RNN<float>, nn::RNNOptions>("RNN", w[1], hidden, options);
            case 3:
                return is_cell ? cell_of<nn::GRUCell<float>>("GRUCell", w[1], hidden, options)
                               : layers_of<nn::GRU<float>, nn::GRUOptions>("GRU", w[1], hidden, options);
            case 4:
                return is_cell ? cell_of<nn::LSTMCell<float>>("LSTMCell", w[1], hidden, options)
                               : layers_of<nn::LSTM<float>, nn::LSTMOptions>("LSTM", w[1], hidden, options);
            default: break;
        }
        throw std::runtime_error("the weights of '" + entries_.layer() + "', " + to_string(w) + " and " +
                                 to_string(u) + ", are those of no RNN, LSTM or GRU");
    }

    template <class L, class Options>
    ChainLayer layers_of(const std::string& name, std::size_t inputs, std::size_t hidden,
                         const nn::LSTMOptions& found) const {
        Options options{.layers = found.layers, .bidirectional = found.bidirectional, .bias = found.bias};
        std::string kind = name;
        if (found.layers > 1) kind += ", " + std::to_string(found.layers) + " layers";
        if (found.bidirectional) kind += ", both ways";
        std::size_t outputs = hidden;
        if constexpr (requires { options.projection_size; }) {
            options.projection_size = found.projection_size;
            if (found.projection_size > 0) {
                kind += ", projected from " + std::to_string(hidden);
                outputs = found.projection_size;
            }
        }
        if constexpr (requires { options.activation; }) {
            if (relu_) options.activation = nn::Activation::relu;
            kind += relu_ ? ", relu" : ", tanh";
        }
        return {entries_.layer(),
                kind,
                inputs,
                (found.bidirectional ? 2 : 1) * outputs,
                false,
                [entries = entries_, inputs, hidden, options] {
                    nn::Engine engine(0);
                    return entries.loaded(
                        std::make_shared<L>(inputs, hidden, engine, options),
                        [](const L& layer, const Var<float>& xs) { return layer(xs).outputs; });
                }};
    }

    template <class Cell>
    ChainLayer cell_of(const std::string& name, std::size_t inputs, std::size_t hidden,
                       const nn::LSTMOptions& found) const {
        return {entries_.layer(),
                name,
                inputs,
                hidden,
                false,
                [entries = entries_, inputs, hidden, bias = found.bias, relu = relu_] {
                    static_cast<void>(relu);  // only an RNN has it
                    nn::Engine engine(0);
                    const auto cell = [&] {
                        if constexpr (std::is_same_v<Cell, nn::RNNCell<float>>) {
                            const auto f = relu ? nn::Activation::relu : nn::Activation::tanh;
                            return std::make_shared<Cell>(inputs, hidden, engine,
                                                          nn::RNNCellOptions{.activation = f, .bias = bias});
                        } else if constexpr (std::is_same_v<Cell, nn::GRUCell<float>>) {
                            return std::make_shared<Cell>(inputs, hidden, engine,
                                                          nn::GRUCellOptions{.bias = bias});
                        } else {
                            return std::make_shared<Cell>(inputs, hidden, engine,
                                                          nn::LSTMCellOptions{.bias = bias});
                        }
                    }();
                    return entries.loaded(cell, [](const Cell& read, const Var<float>& xs) {
                        const bool one = xs.rank() == 2;
                        const Var<float> batch = one ? unsqueeze(xs, 1) : xs;
                        const Var<float> outputs =
                            nn::unroll(read, batch, read.initial_state(xs.tape(), batch.shape()[1])).outputs;
                        return one ? select(outputs, 1, 0) : outputs;
                    });
                }};
    }

    ChainLayer layer_norm(bool bias) const {
        const std::size_t size = entries_.extent("weight");
        return {entries_.layer(), "LayerNorm", size, size, false, [entries = entries_, size, bias] {
                    return entries.loaded(
                        std::make_shared<nn::LayerNorm<float>>(size, nn::LayerNormOptions{.bias = bias}),
                        [](const nn::LayerNorm<float>& layer, const Var<float>& x) { return layer(x); });
                }};
    }

    ChainLayer linear(bool bias) const {
        const Shape w = entries_.matrix("weight");
        return {
            entries_.layer(),
            bias ? "Linear" : "Linear, no bias",
            w[1],
            w[0],
            false,
            [entries = entries_, w, bias] {
                nn::Engine engine(0);
                return entries.loaded(
                    std::make_shared<nn::Linear<float>>(w[1], w[0], engine, nn::LinearOptions{.bias = bias}),
                    [](const nn::Linear<float>& layer, const Var<float>& x) { return layer(x); });
            }};
    }

    ChainLayer embedding() const {
        const Shape w = entries_.matrix("weight");
        return {entries_.layer(), "Embedding", w[0], w[1], true, {}};
    }

    Entries entries_;
    bool relu_;
};

/// Whether layers in this order fit together; only the first one reads ids.
bool fits(const ChainLayer* before, const ChainLayer& next) {
    return before == nullptr ? true : !next.reads_ids && before->outputs == next.inputs;
}

using Choice = std::vector<ChainLayer>;  // what one group of entries may be

/// All orders in which sizes fit, two at most. Gives up, and says so, after so many attempts.
bool find_orders(std::vector<const Choice*>& left, std::vector<ChainLayer>& chain,
                 std::vector<std::vector<ChainLayer>>& found, std::size_t& attempts) {
    if (attempts == 0) return false;
    --attempts;
    if (left.empty()) found.push_back(chain);
    for (std::size_t k = 0; k < left.size() && found.size() < 2; ++k) {
        const Choice* const choice = left[k];
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(k));
        for (const ChainLayer& layer : *choice) {
            if (!fits(chain.empty() ? nullptr : &chain.back(), layer)) continue;
            chain.push_back(layer);
            if (!find_orders(left, chain, found, attempts)) return false;
            chain.pop_back();
        }
        left.insert(left.begin() + static_cast<std::ptrdiff_t>(k), choice);
    }
    return true;
}

/// The layers in the order of the list if their sizes fit.
bool in_this_order(const std::vector<Choice>& choices, std::vector<ChainLayer>& chain) {
    chain.clear();
    for (const Choice& choice : choices) {
        const auto next = std::find_if(choice.begin(), choice.end(), [&](const ChainLayer& layer) {
            return fits(chain.empty() ? nullptr : &chain.back(), layer);
        });
        if (next == choice.end()) return false;
        chain.push_back(*next);
    }
    return true;
}

std::string sizes(const std::vector<Choice>& choices) {
    std::string text;
    for (const Choice& choice : choices) {
        const ChainLayer& layer = choice.front();
        text += (text.empty() ? "" : ", ") + layer.name + " (" + layer.kind + ", " +
                std::to_string(layer.inputs) + " -> " + std::to_string(layer.outputs) + ")";
    }
    return text;
}

}  // namespace

Chain::Chain(const nn::SafetensorsFile& file, const ChainOptions& options) {
    std::vector<std::string> names;
    std::set<std::string> seen;
    for (const nn::TensorEntry& entry : file.tensors()) {
        const std::size_t dot = entry.name.rfind('.');
        const std::string layer = dot == std::string::npos ? "" : entry.name.substr(0, dot);
        if (seen.insert(layer).second) names.push_back(layer);
    }
    if (names.empty()) throw std::runtime_error(file.name() + " holds no tensor");
    for (const std::string& name : options.order) {
        if (!seen.contains(name)) throw std::runtime_error(file.name() + " has no layer '" + name + "'");
    }
    if (!options.order.empty()) names = options.order;

    std::vector<Choice> choices;
    std::string unknown;
    for (const std::string& name : names) {
        choices.push_back(Reader(Entries(file, name), options.relu).layers());
        if (choices.back().empty()) unknown += (unknown.empty() ? "'" : ", '") + name + "'";
    }
    if (!unknown.empty()) {
        throw std::runtime_error(
            file.name() + ": " + unknown + (unknown.find(',') == std::string::npos ? " is" : " are") +
            " no Embedding, RNN, LSTM, GRU, LayerNorm or Linear: expected a chain of these");
    }
    if (!in_this_order(choices, layers_)) {
        if (!options.order.empty())
            throw std::runtime_error("in this order sizes don't fit: " + sizes(choices));
        std::vector<const Choice*> left;
        for (const Choice& choice : choices) left.push_back(&choice);
        std::vector<ChainLayer> chain;
        std::vector<std::vector<ChainLayer>> found;
        std::size_t attempts = 100'000;
        const bool all_tried = find_orders(left, chain, found, attempts);
        if (!all_tried && found.size() < 2) {
            throw std::runtime_error(file.name() +
                                     ": too many orders to try, so --layers is needed: " + sizes(choices));
        }
        if (found.empty())
            throw std::runtime_error(file.name() + ": sizes fit in no order: " + sizes(choices));
        if (found.size() > 1) {
            throw std::runtime_error(
                file.name() + ": sizes fit in more than one order, so --layers is needed: " + sizes(choices));
        }
        layers_ = found.front();
    }

    for (const ChainLayer& layer : layers_) {
        if (!layer.reads_ids) {
            runs_.push_back(layer.load());
            continue;
        }
        nn::Engine engine(0);
        const auto table = std::make_shared<nn::Embedding<float>>(layer.inputs, layer.outputs, engine);
        nn::load_state_dict(*table, file, {.prefix = Entries(file, layer.name).prefix()});
        look_up_ = [table](Tape<float>& tape, const xt::xarray<std::int64_t>& ids) {
            return (*table)(tape, ids);
        };
    }
}

Var<float> Chain::operator()(Tape<float>& tape, const Sequence& sequence) const {
    Var<float> y = look_up_ ? look_up_(tape, std::get<1>(sequence)) : tape.constant(std::get<0>(sequence));
    for (const auto& run : runs_) y = run(y);
    return y;
}

}  // namespace examples
