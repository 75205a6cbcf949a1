#include "examples/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <ostream>

#include "nn/file.hpp"

namespace examples {

namespace {

std::string field(const std::string& name) {
    if (name.find_first_of(",\"\r\n") == std::string::npos) return name;
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

void append_number(std::string& out, double value) {
    if (std::isnan(value)) return;
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, end);
}

}  // namespace

std::string csv(const std::vector<Column>& columns) {
    std::string out;
    std::size_t rows = 0;
    for (std::size_t j = 0; j < columns.size(); ++j) {
        if (j > 0) out += ',';
        out += field(columns[j].name);
        rows = std::max(rows, columns[j].values.size());
    }
    out += '\n';
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < columns.size(); ++j) {
            if (j > 0) out += ',';
            if (i < columns[j].values.size()) append_number(out, columns[j].values[i]);
        }
        out += '\n';
    }
    return out;
}

void save_csv(const std::filesystem::path& target, const std::vector<Column>& columns) {
    xtape::nn::write_file(target, [&](std::ostream& out) { out << csv(columns); });
}

}  // namespace examples
