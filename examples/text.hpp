#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// From text files to what a character model is trained on: bytes, symbols, a part held out.

namespace examples {

/// The bytes of a file, or of the text files of a directory one after the other, sorted by name. Of a
/// directory, hidden files, sub-directories and files with zero bytes in them (indices, archives) are passed
/// over, and a file that links show again counts once.
/// Throws std::runtime_error if there is nothing of that name, it cannot be read, or it holds no text.
std::string read_text(const std::filesystem::path& source);

/// A text cut into blocks, every twentieth of which is held out: so the held-out part resembles the rest even
/// if the text is many small works in a row, and is still made of long pieces.
struct Corpus {
    std::string train;                  ///< the other blocks, joined
    std::vector<std::string> held_out;  ///< pieces of equal length
};

/// Blocks have 4096 bytes; fewer if the text is short, so that at least four are held out. Of a text of more
/// than 5 MB a smaller part is held out, about 64 blocks.
/// Throws std::runtime_error for a text of less than `smallest_text` bytes.
Corpus hold_out(std::string_view text);
inline constexpr std::size_t smallest_text = 10000;

using Symbol = std::int32_t;

/// Numbers for bytes: 1.. for those that occur in the text it was made from, in their order; 0 for every
/// other byte.
class Vocabulary {
public:
    explicit Vocabulary(std::string_view text);

    std::size_t size() const { return bytes_.size(); }
    Symbol symbol(char byte) const { return symbols_[static_cast<unsigned char>(byte)]; }
    std::vector<Symbol> symbols(std::string_view text) const;
    /// All bytes that have a number, in their order.
    std::string bytes() const { return bytes_.substr(1); }
    /// The byte of a symbol; '?' for 0.
    char byte(Symbol symbol) const { return bytes_[static_cast<std::size_t>(symbol)]; }

private:
    std::array<Symbol, 256> symbols_{};
    std::string bytes_;
};

}  // namespace examples
