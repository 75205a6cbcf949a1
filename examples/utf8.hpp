#pragma once

#include <string>
#include <string_view>

namespace examples {

/// The text as it may be shown: bytes that are not valid UTF-8 become '?', control characters become spaces
/// (with `lines`, line ends and tabs stay).
std::string printable(std::string_view text, bool lines = false);

}  // namespace examples
