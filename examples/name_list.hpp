#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "examples/text.hpp"

// Names or words to learn to write from, one a line, in UTF-8.

namespace examples {

/// Which lines of a list count: those that begin with a capital letter, those that don't, or both.
enum class Keep { names, words, all };

/// The lines of 2 to 24 letters, hyphens, dots and spaces, each once, in the order of the file; "Aaron's" is none. Throws
/// std::runtime_error if the file can't be read, isn't UTF-8 (it names the line), or holds fewer than 100 of them.
std::vector<std::string> read_names(const std::filesystem::path& file, Keep keep);

/// Numbers for characters: 1.. for those of the names it was made from, in the order of their code points; 0 for what stands
/// before and after a name.
class Alphabet {
public:
    Alphabet() = default;
    explicit Alphabet(const std::vector<std::string>& names);
    /// Of all characters, as text() gives them.
    explicit Alphabet(const std::string& characters) : Alphabet(std::vector{characters}) {}

    /// With the 0.
    std::size_t size() const { return characters_.size() + 1; }
    /// All characters, one after the other.
    std::string text() const;
    const std::string& character(Symbol symbol) const {
        return characters_[static_cast<std::size_t>(symbol) - 1];
    }
    /// The symbols of a name, without its ends. Throws std::invalid_argument for a character that isn't in the alphabet.
    std::vector<Symbol> symbols(const std::string& name) const;
    /// With them.
    std::vector<Symbol> symbols_and_ends(const std::string& name) const;

private:
    std::vector<std::string> characters_;
    std::map<std::string, Symbol> symbols_;
};

}  // namespace examples
