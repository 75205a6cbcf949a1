#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/nn.hpp"

// What the sequence-to-sequence example learns: from one string of digits to another.

namespace examples {

/// A string to read and the one to write, each of fixed length.
struct Translation {
    std::string reads, writes;
    friend bool operator==(const Translation&, const Translation&) = default;
};

/// Tasks on strings of up to `digits` digits, each length as likely:
///     reverse: "  40971" -> "17904."
///     add:     " 47+  8" -> "55."
/// A number may begin with zeros, as a string of digits: 047 and 47 are different strings.
/// What is read is filled up with blanks in front, what is written with full stops behind it.
class DigitTask {
public:
    enum class Kind { reverse, add };
    /// Throws std::invalid_argument unless there are 2 to 18 digits.
    DigitTask(Kind kind, std::size_t digits);

    Translation draw(xtape::nn::Engine& engine) const;
    /// As many pairs, all held out or none: a tenth of the strings is, chosen by a hash, so that a string held out
    /// is never trained on. Each pair is drawn anew.
    std::vector<Translation> draw(std::size_t count, bool held_out, xtape::nn::Engine& engine) const;

    std::size_t read_length() const { return kind_ == Kind::add ? 2 * digits_ + 1 : digits_; }
    std::size_t write_length() const { return digits_ + (kind_ == Kind::add ? 2 : 1); }

private:
    Kind kind_;
    std::size_t digits_;
};

/// Whether a string is kept for tests.
bool is_held_out(std::string_view reads);

/// The characters that occur: digits, then ' ', '+' and '.'.
inline constexpr std::string_view digit_alphabet = "0123456789 +.";

/// Their numbers, (length, count), of strings of equal length. Throws std::invalid_argument for another character, or
/// strings that differ in length.
xt::xtensor<std::int32_t, 2> digit_symbols(const std::vector<std::string>& strings);

/// What a writer writes who looks at nothing: at each place the character that is most often there.
std::string majority_string(const std::vector<Translation>& pairs);
/// What a writer writes who copies, as far as there is room.
std::string copied_string(const Translation& pair);

/// The part that is right, of whole strings and of single characters.
struct Agreement {
    double strings = 0, characters = 0;
};
/// Throws std::invalid_argument unless there are as many strings as pairs.
Agreement agreement(const std::vector<Translation>& pairs, const std::vector<std::string>& written);

}  // namespace examples
