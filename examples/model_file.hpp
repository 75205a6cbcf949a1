#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "nn/safetensors.hpp"
#include "nn/state_file.hpp"

// Models that write text, in files of their own: what a model is to be made of, and its parameters.

namespace examples {

/// A text in a file. Throws FileError if there is none of that name.
std::string text_in(const xtape::nn::SafetensorsFile& file, std::string_view name);

/// Throws FileError, with what the program calls the file, unless that is the name of a cell.
void check_cell(const std::string& op, const std::string& file, const std::string& cell);

/// The parts of such a file, as save and load want them.
template <class Model>
struct ModelParts {
    std::string cell;        ///< lstm, gru or rnn
    std::string characters;  ///< of its alphabet, one after the other
    Model& model;

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("characters", characters);
        f("model", model);
    }
};

/// Throws FileError as nn::save does.
template <class Model>
void save_model(const std::string& file, const std::string& cell, const std::string& characters,
                Model& model) {
    xtape::nn::save(ModelParts<Model>{cell, characters, model}, file);
}

class ModelFile {
public:
    /// Throws FileError unless the file holds a cell and characters.
    explicit ModelFile(const std::string& file);

    const std::string& cell() const { return cell_; }
    const std::string& characters() const { return characters_; }
    /// The columns of one of the model's matrices. Throws FileError if there is no such matrix, or if the file has fewer numbers
    /// than the weight of a cell with as many hidden units.
    std::size_t columns(std::string_view matrix) const;

    /// Throws FileError, before anything is changed, if the parameters have other names or shapes.
    template <class Model>
    void load(Model& model) const {
        ModelParts<Model> parts{cell_, characters_, model};
        xtape::nn::load(parts, file_.name());
    }

private:
    xtape::nn::SafetensorsFile file_;
    std::string cell_, characters_;
};

}  // namespace examples
