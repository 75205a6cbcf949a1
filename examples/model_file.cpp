#include "examples/model_file.hpp"

#include <cstdint>

namespace examples {

namespace {

std::string text(const xtape::nn::SafetensorsFile& file, std::string_view name) {
    std::string text;
    for (const std::uint8_t byte : file.read<std::uint8_t>(name)) text += static_cast<char>(byte);
    return text;
}

}  // namespace

ModelFile::ModelFile(const std::string& file)
    : file_(file), cell_(text(file_, "cell")), characters_(text(file_, "characters")) {
    if (cell_ != "lstm" && cell_ != "gru" && cell_ != "rnn")
        throw xtape::nn::FileError("model", file, "its cell is none: expected lstm, gru or rnn");
}

std::size_t ModelFile::extent(std::string_view parameter, std::size_t axis) const {
    const std::string name = "model." + std::string(parameter);
    const auto& shape = file_.get(name).shape;
    if (axis < shape.size() && shape[axis] > 0) return shape[axis];
    throw xtape::nn::FileError("model", file_.name(), name + " has the shape " + to_string(shape));
}

}  // namespace examples
