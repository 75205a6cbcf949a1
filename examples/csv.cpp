#include "examples/csv.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstring>
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

CsvLog::CsvLog(const std::filesystem::path& target, const std::vector<std::string>& names) : target_(target) {
    std::error_code error;  // where there can be no directory there can be no file
    if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
    errno = 0;
    out_.open(target, std::ios::binary | std::ios::trunc);
    std::string row;
    for (const std::string& name : names) row += (row.empty() ? "" : ",") + field(name);
    write(row);
}

void CsvLog::add(const std::vector<double>& numbers) {
    std::string row;
    for (const double& number : numbers) {
        if (&number != numbers.data()) row += ',';
        append_number(row, number);
    }
    write(row);
}

void CsvLog::add(const std::string& first, const std::vector<double>& numbers) {
    std::string row = field(first);
    for (const double number : numbers) append_number(row += ',', number);
    write(row);
}

void CsvLog::write(const std::string& row) {
    out_ << row << '\n' << std::flush;
    if (!out_)
        throw xtape::nn::FileError("csv log", target_.string(),
                                   std::string("cannot be written: ") + std::strerror(errno));
}

}  // namespace examples
