#pragma once

#include <filesystem>
#include <string_view>

namespace examples {

/// Writes `contents` to a new file beside `target` and renames it, so that `target` is either the old file or
/// the whole new one. Makes the directory if it isn't there. Throws std::runtime_error with the path and the
/// system's reason.
void save(const std::filesystem::path& target, std::string_view contents);

/// A name in the directory of `target` that this process may write to before it renames it to `target`;
/// keeps the suffix (`chart.svg` -> `.chart.1234.svg`).
std::filesystem::path beside(const std::filesystem::path& target);

}  // namespace examples
