#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// The text as it may be shown: bytes that are not valid UTF-8 become '?', control characters become spaces
/// (with `lines`, line ends and tabs stay).
std::string printable(std::string_view text, bool lines = false);

/// How many characters valid UTF-8 has.
std::size_t characters(std::string_view text);

/// The characters one by one, each as its bytes; a byte that is not valid UTF-8 is one by itself.
std::vector<std::string> characters_of(std::string_view text);

/// The number of the one character that the text is, or invalid_code_point.
char32_t code_point(std::string_view character);
inline constexpr char32_t invalid_code_point = 0xFFFFFFFF;

/// The text in lines of at most `width` characters, or one longer word; '\n' starts a paragraph.
std::vector<std::string> wrapped(const std::string& text, std::size_t width);

}  // namespace examples
