#include "examples/digit_strings.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace examples {

namespace {

/// 1 to `digits` digits, each length as likely.
std::string draw_digits(std::size_t digits, xtape::nn::Engine& engine) {
    std::string out(1 + engine() % digits, '0');
    for (char& c : out) c = static_cast<char>('0' + engine() % 10);
    return out;
}

std::string sum(const std::string& a, const std::string& b) {
    return std::to_string(std::stoull(a) + std::stoull(b));
}

std::string filled_in_front(const std::string& text, std::size_t length) {
    return std::string(length - text.size(), ' ') + text;
}

std::string ended(std::string text, std::size_t length) {
    text.resize(length, '.');
    return text;
}

}  // namespace

DigitTask::DigitTask(Kind kind, std::size_t digits) : kind_(kind), digits_(digits) {
    if (digits < 2 || digits > 18) {
        throw std::invalid_argument(
            "digit strings of " + std::to_string(digits) +
            " digits: expected 2 to 18, which are enough to hold some out and fit a number");
    }
}

Translation DigitTask::draw(xtape::nn::Engine& engine) const {
    const std::string a = draw_digits(digits_, engine);
    if (kind_ == Kind::reverse) {
        return {filled_in_front(a, read_length()), ended({a.rbegin(), a.rend()}, write_length())};
    }
    const std::string b = draw_digits(digits_, engine);
    return {filled_in_front(a, digits_) + "+" + filled_in_front(b, digits_),
            ended(sum(a, b), write_length())};
}

std::vector<Translation> DigitTask::draw(std::size_t count, bool held_out, xtape::nn::Engine& engine) const {
    std::vector<Translation> pairs;
    pairs.reserve(count);
    while (pairs.size() < count) {
        Translation pair = draw(engine);
        if (is_held_out(pair.reads) == held_out) pairs.push_back(std::move(pair));
    }
    return pairs;
}

bool is_held_out(std::string_view reads) {
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const char c : reads) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return (hash >> 32) % 10 == 0;
}

xt::xtensor<std::int32_t, 2> digit_symbols(const std::vector<std::string>& strings) {
    const std::size_t length = strings.empty() ? 0 : strings[0].size();
    xt::xtensor<std::int32_t, 2> symbols = xt::zeros<std::int32_t>({length, strings.size()});
    for (std::size_t b = 0; b < strings.size(); ++b) {
        if (strings[b].size() != length) {
            throw std::invalid_argument("digit strings: lengths " + std::to_string(length) + " and " +
                                        std::to_string(strings[b].size()) + ": expected equal ones");
        }
        for (std::size_t t = 0; t < length; ++t) {
            const std::size_t symbol = digit_alphabet.find(strings[b][t]);
            if (symbol == std::string_view::npos) {
                throw std::invalid_argument("digit strings: '" + strings[b] + "': expected only \"" +
                                            std::string(digit_alphabet) + "\"");
            }
            symbols(t, b) = static_cast<std::int32_t>(symbol);
        }
    }
    return symbols;
}

std::string majority_string(const std::vector<Translation>& pairs) {
    std::string out(pairs.empty() ? 0 : pairs[0].writes.size(), ' ');
    for (std::size_t t = 0; t < out.size(); ++t) {
        std::array<std::size_t, digit_alphabet.size()> counts{};
        for (const Translation& pair : pairs) ++counts[digit_alphabet.find(pair.writes[t])];
        out[t] = digit_alphabet[static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) -
                                                         counts.begin())];
    }
    return out;
}

std::string copied_string(const Translation& pair) {
    std::string out = pair.reads.substr(std::min(pair.reads.find_first_not_of(' '), pair.reads.size()));
    out.resize(pair.writes.size(), '.');
    return out;
}

Agreement agreement(const std::vector<Translation>& pairs, const std::vector<std::string>& written) {
    if (pairs.size() != written.size()) {
        throw std::invalid_argument("agreement: " + std::to_string(written.size()) + " strings for " +
                                    std::to_string(pairs.size()) + " pairs");
    }
    std::size_t strings = 0, right = 0, all = 0;
    for (std::size_t b = 0; b < pairs.size(); ++b) {
        const std::string& wanted = pairs[b].writes;
        strings += written[b] == wanted;
        for (std::size_t t = 0; t < wanted.size(); ++t)
            right += t < written[b].size() && written[b][t] == wanted[t];
        all += wanted.size();
    }
    const auto part = [](std::size_t some, std::size_t of) {
        return of == 0 ? 0 : static_cast<double>(some) / static_cast<double>(of);
    };
    return {part(strings, pairs.size()), part(right, all)};
}

}  // namespace examples
