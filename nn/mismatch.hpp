#pragma once

#include <string>
#include <vector>

namespace xtape::nn::detail {

/// How the tensors of a file differ from those that are expected of it: "head.bias (7,)" or "head.weight (7, 5), expected
/// (5, 7)" for each.
struct Mismatch {
    std::vector<std::string> missing, unknown, misshaped;

    /// "missing: a (3,), b (4,); unknown: c (5,); misshaped: d (3, 4), expected (4, 3)"; of each kind the first fifty.
    std::string text() const;
};

/// A name from a file for an error message: without control characters, and not longer than a line.
std::string printable(const std::string& name);

}  // namespace xtape::nn::detail
