#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace examples {

/// One column of a table of numbers. Columns may differ in length: missing cells, and NaN, are written as
/// empty.
struct Column {
    std::string name;
    std::vector<double> values;
};

/// The table as RFC 4180 text: names in the first row (quoted where they need it), numbers with the digits
/// that read back to the same double.
std::string csv(const std::vector<Column>& columns);

/// Saves csv(columns) under `target`. Throws FileError as write_file does.
void save_csv(const std::filesystem::path& target, const std::vector<Column>& columns);

}  // namespace examples
