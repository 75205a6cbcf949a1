#pragma once

#include <stdexcept>

namespace xtape {

/// Shapes, axes or sizes that don't fit together. The message names the op and gives every shape involved.
struct ShapeError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

/// An index or a slice outside of its axis.
struct IndexError : std::out_of_range {
    using std::out_of_range::out_of_range;
};

/// A handle that no longer means anything: its tape was cleared or rewound, or it belongs to another tape.
struct TapeError : std::logic_error {
    using std::logic_error::logic_error;
};

/// A gradient that can't be computed: no seed for a non-scalar, values already released, nothing recorded.
struct GradientError : std::logic_error {
    using std::logic_error::logic_error;
};

}  // namespace xtape
