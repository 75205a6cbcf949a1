#pragma once

#include <filesystem>
#include <fstream>
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

/// A table that is written row by row, and is there as far as it goes even if the program is killed.
class CsvLog {
public:
    /// Begins the file, and makes its directory if there is none. Throws FileError if it can't be written.
    CsvLog(const std::filesystem::path& target, const std::vector<std::string>& names);

    /// A row. Throws FileError if it can't be written.
    void add(const std::vector<double>& numbers);
    void add(const std::string& first, const std::vector<double>& numbers);

private:
    void write(const std::string& row);

    std::filesystem::path target_;
    std::ofstream out_;
};

}  // namespace examples
