#include "examples/text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <stdexcept>

namespace examples {

namespace fs = std::filesystem;

namespace {

std::string read_file(const fs::path& file) {
    errno = 0;
    std::ifstream in(file, std::ios::binary);
    std::string bytes;
    char buffer[65536];
    while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
        bytes.append(buffer, static_cast<std::size_t>(in.gcount()));
    }
    if (!in.eof() || in.bad()) {
        throw std::runtime_error("text: cannot read " + file.string() + ": " + std::strerror(errno));
    }
    return bytes;
}

std::string read_directory(const fs::path& directory) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
        const bool hidden = entry.path().filename().string().starts_with('.');
        if (!hidden && entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::string text;
    std::set<fs::path> seen;
    for (const fs::path& file : files) {
        if (!seen.insert(fs::canonical(file)).second) continue;
        const std::string bytes = read_file(file);
        if (bytes.find('\0') == std::string::npos) text += bytes;
    }
    if (text.empty()) throw std::runtime_error("text: there is no text file in " + directory.string());
    return text;
}

}  // namespace

std::string read_text(const fs::path& source) {
    try {
        if (fs::is_directory(source)) return read_directory(source);
    } catch (const fs::filesystem_error& error) {
        throw std::runtime_error("text: cannot read " + source.string() + ": " + error.code().message());
    }
    std::string text = read_file(source);
    if (text.empty()) throw std::runtime_error("text: " + source.string() + " is empty");
    return text;
}

Corpus hold_out(std::string_view text) {
    constexpr std::size_t longest_block = 4096, fewest_pieces = 4, most_pieces = 64;
    if (text.size() < smallest_text) {
        throw std::runtime_error("text: " + std::to_string(text.size()) +
                                 " bytes are too few to learn from; give at least " +
                                 std::to_string(smallest_text));
    }
    const std::size_t block = std::min(longest_block, text.size() / (20 * fewest_pieces));
    const std::size_t every = std::max<std::size_t>(20, text.size() / block / most_pieces);
    Corpus corpus;
    for (std::size_t k = 0; k * block < text.size(); ++k) {
        const std::string_view piece = text.substr(k * block, block);
        if (k % every == every / 2 && piece.size() == block) {
            corpus.held_out.emplace_back(piece);
        } else {
            corpus.train += piece;
        }
    }
    return corpus;
}

Vocabulary::Vocabulary(std::string_view text) : bytes_("?") {
    for (const char c : text) symbols_[static_cast<unsigned char>(c)] = 1;
    for (std::size_t byte = 0; byte < symbols_.size(); ++byte) {
        if (symbols_[byte] == 0) continue;
        symbols_[byte] = static_cast<Symbol>(bytes_.size());
        bytes_ += static_cast<char>(byte);
    }
}

std::vector<Symbol> Vocabulary::symbols(std::string_view text) const {
    std::vector<Symbol> out(text.size());
    std::transform(text.begin(), text.end(), out.begin(), [this](char c) { return symbol(c); });
    return out;
}

}  // namespace examples
