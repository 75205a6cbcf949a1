#include "examples/gate_recording.hpp"

#include <algorithm>
#include <cmath>

namespace examples {

namespace {

constexpr double nearly_open = 0.9, nearly_closed = 0.1;

constexpr bool is_lower(unsigned char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_upper(unsigned char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
constexpr bool is_vowel(unsigned char c) {
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

struct SymbolClass {
    const char* name;
    bool (*holds)(unsigned char byte);
};
constexpr SymbolClass symbol_classes[] = {
    {"line ends", [](unsigned char c) { return c == '\n'; }},
    {"spaces", [](unsigned char c) { return c == ' ' || c == '\t'; }},
    {"vowels", is_vowel},
    {"consonants", [](unsigned char c) { return is_lower(c) && !is_vowel(c); }},
    {"capitals", is_upper},
    {"digits", is_digit},
    {"punctuation",
     [](unsigned char c) { return c > ' ' && c < 0x7F && !is_lower(c) && !is_upper(c) && !is_digit(c); }},
};

/// Calls f(value, k) with the value of a gate at the k-th symbol.
template <class F>
void for_each_value(const GateRecording& r, Gate gate, std::size_t unit, F f) {
    for (std::size_t t = 0; t < r.steps(); ++t) {
        for (std::size_t piece = 0; piece < r.pieces; ++piece)
            f(r(gate, unit, t, piece), t * r.pieces + piece);
    }
}

}  // namespace

GateUse use_of(const GateRecording& r, Gate gate) {
    GateUse use;
    const double count = static_cast<double>(r.symbols.size() * r.hidden);
    for (std::size_t unit = 0; unit < r.hidden; ++unit) {
        for_each_value(r, gate, unit, [&](double value, std::size_t) {
            use.mean += value / count;
            use.open += (value > nearly_open) / count;
            use.closed += (value < nearly_closed) / count;
        });
    }
    return use;
}

std::vector<double> kept_per_step(const GateRecording& r) {
    constexpr double smallest = 1e-30;  // a gate may round to 0
    std::vector<double> kept(r.hidden);
    for (std::size_t unit = 0; unit < r.hidden; ++unit) {
        double sum = 0;
        for_each_value(r, forget_gate, unit,
                       [&](double value, std::size_t) { sum += std::log(std::max(value, smallest)); });
        kept[unit] = std::exp(sum / static_cast<double>(r.symbols.size()));
    }
    return kept;
}

std::vector<Specialist> specialists(const GateRecording& r, const Vocabulary& vocabulary) {
    constexpr double still = 1e-6;  // what moves less is rounding
    const double count = static_cast<double>(r.symbols.size());
    std::vector<Specialist> found;
    for (const Gate gate : all_gates) {
        for (std::size_t unit = 0; unit < r.hidden; ++unit) {
            double mean = 0, variance = 0;
            for_each_value(r, gate, unit, [&](double value, std::size_t) { mean += value / count; });
            for_each_value(r, gate, unit, [&](double value, std::size_t) {
                variance += (value - mean) * (value - mean) / count;
            });
            if (variance < still * still) continue;
            Specialist best{gate, unit, "", 0, 0, -1};
            for (const SymbolClass& symbols : symbol_classes) {
                double sum = 0, members = 0;
                for_each_value(r, gate, unit, [&](double value, std::size_t k) {
                    if (!symbols.holds(static_cast<unsigned char>(vocabulary.byte(r.symbols[k])))) return;
                    sum += value;
                    ++members;
                });
                if (members == 0 || members == count) continue;
                const double inside = sum / members, outside = (mean * count - sum) / (count - members);
                const double share = members / count;
                const double explained =
                    share * (1 - share) * (inside - outside) * (inside - outside) / variance;
                if (explained > best.explained) best = {gate, unit, symbols.name, inside, outside, explained};
            }
            if (best.explained >= 0) found.push_back(best);
        }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Specialist& a, const Specialist& b) { return a.explained > b.explained; });
    return found;
}

}  // namespace examples
