#include "examples/name_list.hpp"

#include <locale.h>
#include <cerrno>
#include <clocale>
#include <cstring>
#include <cwctype>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <type_traits>

#include "examples/utf8.hpp"

namespace examples {

namespace {

/// What the letters of all languages are.
class Letters {
public:
    Letters() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr), ::freelocale) {
        if (!locale_) throw std::runtime_error("names: the system has no locale C.UTF-8");
    }
    bool is_letter(char32_t c) const { return ::iswalpha_l(static_cast<wint_t>(c), locale_.get()) != 0; }
    bool is_capital(char32_t c) const { return ::iswupper_l(static_cast<wint_t>(c), locale_.get()) != 0; }

private:
    std::unique_ptr<std::remove_pointer_t<locale_t>, decltype(&::freelocale)> locale_;
};

}  // namespace

std::vector<std::string> read_names(const std::filesystem::path& file, Keep keep) {
    constexpr std::size_t shortest = 2, longest = 24, fewest = 100;
    const Letters letters;
    errno = 0;
    std::ifstream in(file);
    std::vector<std::string> names;
    std::set<std::string> seen;
    std::size_t line_number = 0;
    for (std::string line; std::getline(in, line);) {
        ++line_number;
        if (!line.empty() && line.back() == '\r') line.pop_back();
        std::size_t count = 0;
        bool fits = !line.empty();
        for (const std::string& character : characters_of(line)) {
            const char32_t c = code_point(character);
            if (c == invalid_code_point) {
                throw std::runtime_error("names: line " + std::to_string(line_number) + " of " +
                                         file.string() + " is not UTF-8");
            }
            if (count == 0 && keep != Keep::all) fits = letters.is_capital(c) == (keep == Keep::names);
            fits = fits && (letters.is_letter(c) || (count > 0 && (c == '-' || c == '.' || c == ' ')));
            ++count;
        }
        if (fits && count >= shortest && count <= longest && seen.insert(line).second) names.push_back(line);
    }
    if (!in.eof()) {
        throw std::runtime_error("names: cannot read " + file.string() + ": " +
                                 std::strerror(errno != 0 ? errno : EISDIR));
    }
    if (names.size() < fewest) {
        const char* const wanted = keep == Keep::names   ? "names, which begin with a capital letter"
                                   : keep == Keep::words ? "words, which don't begin with a capital letter"
                                                         : "names or words";
        throw std::runtime_error("names: " + file.string() + " holds " + std::to_string(names.size()) + " " +
                                 wanted + ": expected at least " + std::to_string(fewest));
    }
    return names;
}

Alphabet::Alphabet(const std::vector<std::string>& names) {
    for (const std::string& name : names)
        for (const std::string& character : characters_of(name)) symbols_.emplace(character, 0);
    for (auto& [character, symbol] : symbols_) {  // UTF-8 sorts as code points do
        characters_.push_back(character);
        symbol = static_cast<Symbol>(characters_.size());
    }
}

std::string Alphabet::text() const {
    std::string text;
    for (const std::string& character : characters_) text += character;
    return text;
}

std::vector<Symbol> Alphabet::symbols(const std::string& name) const {
    std::vector<Symbol> symbols;
    for (const std::string& character : characters_of(name)) {
        const auto found = symbols_.find(character);
        if (found == symbols_.end()) {
            throw std::invalid_argument("names: '" + printable(character) + "' is not in the alphabet " +
                                        printable(text()));
        }
        symbols.push_back(found->second);
    }
    return symbols;
}

std::vector<Symbol> Alphabet::symbols_and_ends(const std::string& name) const {
    std::vector<Symbol> all = symbols(name);
    all.insert(all.begin(), 0);
    all.push_back(0);
    return all;
}

}  // namespace examples
