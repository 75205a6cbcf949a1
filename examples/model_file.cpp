#include "examples/model_file.hpp"

#include <algorithm>
#include <cstdint>

namespace examples {

std::string text_in(const xtape::nn::SafetensorsFile& file, std::string_view name) {
    std::string text;
    for (const std::uint8_t byte : file.read<std::uint8_t>(name)) text += static_cast<char>(byte);
    return text;
}

void check_cell(const std::string& op, const std::string& file, const std::string& cell) {
    if (cell == "lstm" || cell == "gru" || cell == "rnn") return;
    throw xtape::nn::FileError(op, file, "its cell is none: expected lstm, gru or rnn");
}

ModelFile::ModelFile(const std::string& file) : file_(file) {
    if (file_.find("cell") == nullptr || file_.find("characters") == nullptr)
        throw xtape::nn::FileError("model", file,
                                   "it holds no cell and no characters: expected a model that writes text");
    cell_ = text_in(file_, "cell");
    characters_ = text_in(file_, "characters");
    check_cell("model", file, cell_);
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
