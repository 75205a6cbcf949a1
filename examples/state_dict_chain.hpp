#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "autograd/autograd.hpp"
#include "nn/safetensors.hpp"

// Layers one after the other, as a state dict of PyTorch's describes them by its names and shapes.

namespace examples {

/// What goes into a chain: numbers (T, B, D) or (T, D), or ids (T, B) or (T).
using Sequence = std::variant<xt::xarray<float>, xt::xarray<std::int64_t>>;

struct ChainOptions {
    /// Names of the layers; if empty they are put so that sizes fit, as they come in the file if they do.
    std::vector<std::string> order;
    /// Of RNNs; else tanh.
    bool relu = false;
};

struct ChainLayer {
    std::string name;
    std::string kind;  ///< "LSTM, 2 layers, both ways"
    std::size_t inputs, outputs;
    bool reads_ids = false;
    /// Makes the layer and loads its parameters.
    std::function<std::function<xtape::Var<float>(const xtape::Var<float>&)>()> load;
};

/// Embedding, RNN, LSTM, GRU (layers, both ways, projected, with and without biases), their cells, LayerNorm and Linear. What
/// is between them and has no parameters isn't in a state dict, and so isn't in the chain.
class Chain {
public:
    /// Throws std::runtime_error that names them for entries that belong to no such layer, and if there is no order, or more
    /// than one, in which sizes fit; FileError as load_state_dict does.
    explicit Chain(const xtape::nn::SafetensorsFile& file, const ChainOptions& options = {});

    const std::vector<ChainLayer>& layers() const { return layers_; }
    bool reads_ids() const { return layers_.front().reads_ids; }

    /// What the last layer puts out. Throws ShapeError or IndexError for what doesn't fit the first one, std::bad_variant_access
    /// for ids where numbers are read, and the reverse.
    xtape::Var<float> operator()(xtape::Tape<float>& tape, const Sequence& sequence) const;

private:
    std::vector<ChainLayer> layers_;
    std::vector<std::function<xtape::Var<float>(const xtape::Var<float>&)>> runs_;
    std::function<xtape::Var<float>(xtape::Tape<float>&, const xt::xarray<std::int64_t>&)> look_up_;
};

}  // namespace examples
