#pragma once

#include <string>

namespace examples {

/// The text that printf would print, however long.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

}  // namespace examples
