#include "examples/word_lists.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

namespace examples {

WordList read_words(const std::string& language, const std::filesystem::path& file) {
    constexpr std::size_t shortest = 3, longest = 20;
    errno = 0;
    std::ifstream in(file);
    std::set<std::string> words;
    for (std::string line; std::getline(in, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        for (char& c : line)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        const bool plain = std::all_of(line.begin(), line.end(), [](char c) { return c >= 'a' && c <= 'z'; });
        if (plain && line.size() >= shortest && line.size() <= longest) words.insert(line);
    }
    if (!in.eof()) {
        throw std::runtime_error("words: cannot read " + file.string() + ": " +
                                 std::strerror(errno != 0 ? errno : EISDIR));
    }
    if (words.empty())
        throw std::runtime_error("words: " + file.string() + " holds no word of 3 to 20 letters");
    return {language, {words.begin(), words.end()}};
}

LabelledWords label_words(const std::vector<WordList>& lists, std::size_t most_of_each, std::uint64_t seed) {
    std::map<std::string_view, std::size_t> lists_with;
    for (const WordList& list : lists)
        for (const std::string& word : list.words) ++lists_with[word];

    std::mt19937_64 random(seed);
    std::vector<std::vector<std::string>> own(lists.size());
    std::size_t count = most_of_each;
    for (std::size_t k = 0; k < lists.size(); ++k) {
        for (const std::string& word : lists[k].words)
            if (lists_with[word] == 1) own[k].push_back(word);
        if (own[k].size() < 10) {
            throw std::runtime_error("words: " + std::to_string(own[k].size()) +
                                     " words are in the list of " + lists[k].language +
                                     " alone: expected at least 10");
        }
        std::shuffle(own[k].begin(), own[k].end(), random);
        count = std::min(count, own[k].size());
    }
    LabelledWords out;
    for (std::size_t k = 0; k < lists.size(); ++k) {
        for (std::size_t i = 0; i < count; ++i)
            (i < count / 10 ? out.test : out.training).push_back({own[k][i], static_cast<std::int32_t>(k)});
    }
    std::shuffle(out.training.begin(), out.training.end(), random);
    std::shuffle(out.test.begin(), out.test.end(), random);
    return out;
}

Symbol letter(char c) {
    if (c < 'a' || c > 'z') {
        throw std::invalid_argument("words: '" + std::string(1, c) + "' is no letter: expected a to z");
    }
    return c - 'a' + 1;
}

BigramClassifier::BigramClassifier(const std::vector<LabelledWord>& training, std::size_t languages) {
    for (std::size_t k = 0; k < languages; ++k) {
        std::vector<Symbol> text{0};
        for (const auto& [word, language] : training) {
            if (language != static_cast<std::int32_t>(k)) continue;
            for (const char c : word) text.push_back(letter(c));
            text.push_back(0);
        }
        models_.emplace_back(text, letters);
    }
}

std::int32_t BigramClassifier::operator()(std::string_view word) const {
    std::vector<double> log_probability;
    for (const Bigram& model : models_) {
        double sum = 0;
        Symbol before = 0;
        for (const char c : word) {
            sum += std::log(model.probability(before, letter(c)));
            before = letter(c);
        }
        log_probability.push_back(sum + std::log(model.probability(before, 0)));
    }
    return static_cast<std::int32_t>(std::max_element(log_probability.begin(), log_probability.end()) -
                                     log_probability.begin());
}

}  // namespace examples
