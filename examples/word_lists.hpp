#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "examples/bigram.hpp"

// Words of several languages, and telling these apart by counting letters.

namespace examples {

struct WordList {
    std::string language;
    std::vector<std::string> words;
};

/// The words of a file, one a line, that consist of 3 to 20 letters from a to z (which are not what a language has of its
/// own), in lower case, each once. Throws std::runtime_error if the file can't be read or holds no such word.
WordList read_words(const std::string& language, const std::filesystem::path& file);

struct LabelledWord {
    std::string word;
    std::int32_t language;
};

/// Words to learn from and words to be tested with, mixed.
struct LabelledWords {
    std::vector<LabelledWord> training, test;
};

/// As many words of each list, drawn from those that no other list has; a tenth of them for the test. Throws
/// std::runtime_error if a list has less than ten words of its own.
LabelledWords label_words(const std::vector<WordList>& lists, std::size_t most_of_each, std::uint64_t seed);

/// Numbers 1 to 26 for letters. Throws std::invalid_argument for any other character.
Symbol letter(char c);
inline constexpr std::size_t letters = 27;  ///< 0 stands for the space around a word

/// The language of which a word is most probable, P(word | language) = Π P(letter | letter before) from the space before it
/// to the space behind it, all languages being as likely beforehand.
class BigramClassifier {
public:
    BigramClassifier(const std::vector<LabelledWord>& training, std::size_t languages);
    std::int32_t operator()(std::string_view word) const;

private:
    std::vector<Bigram> models_;
};

}  // namespace examples
