#pragma once

#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "nn/module.hpp"
#include "nn/safetensors.hpp"
#include "nn/state_tensor.hpp"

// Parameters from PyTorch, and for it. A state dict is a file of tensors with PyTorch's names, shapes and order of gates:
//
//     safetensors.torch.save_file(model.state_dict(), "model.safetensors")   # or examples/convert_pytorch.py
//
//     nn::load_state_dict(model, "model.safetensors");
//
// RNN, LSTM, GRU, their cells, Linear, Embedding, LayerNorm, SelfAttention (as torch.nn.MultiheadAttention), Sequential, and
// structs of these with the same names, fit PyTorch's. What PyTorch hasn't goes by the names and in the layout of `visit`.

namespace xtape::nn {

struct StateDictEntry {
    std::string name;
    std::variant<StateTensor<float>, StateTensor<double>> tensor;
};
using StateDict = std::vector<StateDictEntry>;

namespace detail {

template <class M>
inline constexpr bool is_state_tensor = false;
template <class T>
inline constexpr bool is_state_tensor<StateTensor<T>> = true;

template <class M>
concept HasStateDict = requires(M& module, AnyVisitor f) {
    module.visit_state_dict(f);
};

template <class M>
void list_state(M& module, const Path& path, StateDict& list) {
    using Plain = std::remove_const_t<M>;
    const auto list_member = [&](std::string_view name, auto&& member) {
        list_state(member, Path(path, name), list);
    };
    if constexpr (is_state_tensor<Plain>) {
        list.push_back({path, module});
    } else if constexpr (is_parameter<Plain>) {
        list.push_back({path, StateTensor(module)});
    } else if constexpr (HasStateDict<Plain>) {
        module.visit_state_dict(list_member);
    } else if constexpr (HasVisit<Plain>) {
        module.visit(list_member);
    } else {
        static_assert(std::ranges::range<M>, "neither a Parameter nor a module: see nn/module.hpp");
        std::size_t position = 0;
        for (auto& member : module) list_state(member, Path(path, position++), list);
    }
}

}  // namespace detail

/// PyTorch's view of a module: `visit_state_dict` where a module has it, else `visit`. Tied parameters are met under each of
/// their names. Refers to the module.
template <Module M>
StateDict state_dict(M& module) {
    StateDict list;
    // Listing changes nothing, so one that isn't const will do for a const module.
    detail::list_state(const_cast<std::remove_const_t<M>&>(module), Path(), list);
    return list;
}

struct StateDictOptions {
    /// Before the names in the file: {.prefix = "encoder."} loads a part of a model. Others aren't looked at.
    std::string prefix = {};
    /// Whether the file has to have what the module has, and nothing else.
    bool strict = true;
};

/// Names that only the module has, and only the file.
struct Unmatched {
    std::vector<std::string> missing, unknown;
};

namespace detail {

Unmatched load(const StateDict& tensors, const SafetensorsFile& file, const StateDictOptions& options);
void save(const StateDict& tensors, const std::string& file);

}  // namespace detail

/// Assigns to each parameter what the file has for it, frozen ones included, with numbers converted as by
/// SafetensorsFile::read. PyTorch's second bias is added to the first, but for a GRU's candidate, which has both. Gradients,
/// and what optimizers remember, stay. Returns what didn't match; nothing if strict.
///
/// Throws FileError that lists all tensors that are missing or unknown (if strict) or of another shape, of each kind the
/// first fifty; also for numbers that can't be converted, and for tied parameters, which are in the file under each name,
/// unless they agree. Throws std::invalid_argument for a GRU that PyTorch hasn't, and for two parameters of one name. Nothing
/// has changed then.
template <Module M>
Unmatched load_state_dict(M& module, const SafetensorsFile& file, const StateDictOptions& options = {}) {
    return detail::load(state_dict(module), file, options);
}
template <Module M>
Unmatched load_state_dict(M& module, const std::string& file, const StateDictOptions& options = {}) {
    return load_state_dict(module, SafetensorsFile(file), options);
}

/// Writes what load_state_dict reads, and PyTorch by `model.load_state_dict(safetensors.torch.load_file(...))`. The second
/// bias is -0, so that every bit is the same when it is loaded again. Throws FileError if the file can't be written, and
/// std::invalid_argument as load_state_dict does.
template <Module M>
void save_state_dict(const M& module, const std::string& file) {
    detail::save(state_dict(module), file);
}

}  // namespace xtape::nn
