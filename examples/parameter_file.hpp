#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "nn/module.hpp"

// The parameters of a model in a file that Python reads too (safetensors.numpy.load_file).

namespace examples {

/// A parameter as a file holds it.
struct NamedTensor {
    std::string name;
    xtape::Shape shape;
    std::span<float> values;
};

/// Writes a safetensors file: the length of the header (8 bytes), the header as JSON, all numbers. `model` is kept
/// with them. Throws std::runtime_error if it can't be written, and then an old file is as it was.
void save_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                  const std::string& model);

/// Reads back what save_tensors wrote for the same model, names and shapes. Throws std::runtime_error for any
/// other file, before a value is changed.
void load_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                  const std::string& model);

template <class M>
std::vector<NamedTensor> named_tensors(M& module) {
    std::vector<NamedTensor> tensors;
    xtape::nn::for_each_parameter(module, [&](const std::string& name, xtape::Parameter<float>& parameter) {
        tensors.push_back({name, parameter.shape(), {parameter.data(), parameter.size()}});
    });
    return tensors;
}

template <class M>
void save_parameters(const std::filesystem::path& file, M& module, const std::string& model) {
    save_tensors(file, named_tensors(module), model);
}
template <class M>
void load_parameters(const std::filesystem::path& file, M& module, const std::string& model) {
    load_tensors(file, named_tensors(module), model);
}

}  // namespace examples
