#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// What the example programs are given in tests, and how what they write is read.

/// Some 40 kB of sentences that a model can learn something about.
inline std::string simple_text() {
    const char* words[] = {"the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "slept"};
    std::string text;
    unsigned random = 1;
    while (text.size() < 40000) {
        random = random * 1664525 + 1013904223;
        text += words[(random >> 16) % 10];
        text += (random >> 8) % 8 == 0 ? ".\n" : " ";
    }
    return text;
}

inline const std::vector<std::string> small_model = {
    "--text", "text",    "--hidden", "8",        "--embedding", "4",     "--batch", "4",      "--window",
    "8",      "--steps", "30",       "--sample", "50",          "--out", "out.svg", "--seed", "3"};

inline std::vector<std::string> with(std::vector<std::string> arguments,
                                     std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
    return arguments;
}

inline std::size_t lines(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// The last row of a CSV file of numbers; empty cells are NaN.
inline std::vector<double> last_row(const std::string& csv) {
    const std::size_t end = csv.size() - 1, start = csv.rfind('\n', end - 1) + 1;
    std::istringstream row(csv.substr(start, end - start));
    std::vector<double> numbers;
    for (std::string cell; std::getline(row, cell, ',');)
        numbers.push_back(cell.empty() ? std::nan("") : std::stod(cell));
    return numbers;
}

/// The cells of a row, without the quotes that they may have.
inline std::vector<std::string> cells(const std::string& row) {
    std::vector<std::string> all(1);
    bool quoted = false;
    for (const char c : row) {
        if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            all.emplace_back();
        else if (c != '\r')
            all.back() += c;
    }
    return all;
}

/// A column of a CSV file of numbers, as far as its cells are not empty.
inline std::vector<double> column(const std::string& csv, const std::string& name) {
    std::istringstream rows(csv);
    std::string row;
    std::getline(rows, row);
    const std::vector<std::string> names = cells(row);
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) throw std::runtime_error("no column " + name);
    std::vector<double> numbers;
    while (std::getline(rows, row)) {
        const std::string cell = cells(row)[static_cast<std::size_t>(place - names.begin())];
        if (!cell.empty()) numbers.push_back(std::stod(cell));
    }
    return numbers;
}
