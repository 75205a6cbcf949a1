#include "examples/model_file.hpp"

#include <algorithm>
#include <cstdint>

namespace examples {

namespace {

std::string text(const xtape::nn::SafetensorsFile& file, std::string_view name) {
    std::string text;
    for (const std::uint8_t byte : file.read<std::uint8_t>(name)) text += static_cast<char>(byte);
    return text;
}

}  // namespace

ModelFile::ModelFile(const std::string& file) : file_(file) {
    if (file_.find("cell") == nullptr || file_.find("characters") == nullptr)
        throw xtape::nn::FileError("model", file,
                                   "it holds no cell and no characters: expected a model that writes text");
    cell_ = text(file_, "cell");
    characters_ = text(file_, "characters");
    if (cell_ != "lstm" && cell_ != "gru" && cell_ != "rnn")
        throw xtape::nn::FileError("model", file, "its cell is none: expected lstm, gru or rnn");
}

std::size_t ModelFile::columns(std::string_view matrix) const {
    const std::string name = "model." + std::string(matrix);
    const auto& shape = file_.get(name).shape;
    if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0)
        throw xtape::nn::FileError("model", file_.name(),
                                   name + " has the shape " + to_string(shape) + ": expected a matrix");
    std::uint64_t bytes = 0;
    for (const auto& tensor : file_.tensors()) bytes = std::max(bytes, tensor.end);
    if (shape[1] > bytes / shape[1])
        throw xtape::nn::FileError("model", file_.name(), name + " is too wide for the rest of the file");
    return shape[1];
}

}  // namespace examples
