#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "examples/text.hpp"

// What the gates of an LSTM did while it read text, in figures.

namespace examples {

enum Gate : std::size_t { input_gate, forget_gate, output_gate };  // in the order of the cell's rows
inline constexpr std::array<Gate, 3> all_gates{forget_gate, input_gate, output_gate};
inline constexpr const char* gate_names[] = {"input", "forget", "output"};

/// The gates of all units while the model reads some pieces of text side by side.
struct GateRecording {
    std::size_t pieces = 1, hidden = 0;
    std::vector<Symbol> symbols;  ///< (t, piece), time-major
    std::vector<float> gates;     ///< (t, piece, gate, unit)
    double bits = 0;              ///< per symbol, on the prediction of the next one

    std::size_t steps() const { return symbols.size() / pieces; }
    double operator()(Gate gate, std::size_t unit, std::size_t t, std::size_t piece) const {
        return gates[((t * pieces + piece) * 3 + gate) * hidden + unit];
    }
};

/// How a gate is used, over all units and symbols.
struct GateUse {
    double mean = 0;
    double open = 0, closed = 0;  ///< the shares above 0.9 and below 0.1
};
GateUse use_of(const GateRecording& recording, Gate gate);

/// The geometric mean of each unit's forget gate: what a memory that isn't written to is multiplied by at each step.
std::vector<double> kept_per_step(const GateRecording& recording);

/// A gate of a unit that one class of symbols sets apart.
struct Specialist {
    Gate gate;
    std::size_t unit;
    std::string symbols;     ///< the class: "spaces", "vowels", ...
    double inside, outside;  ///< the mean gate when one of these is read, and otherwise
    double explained;        ///< the part of the gate's variance that lies between the two
};

/// For every gate of every unit the class of symbols that explains most of it; the best first. A gate that never
/// moves isn't there.
std::vector<Specialist> specialists(const GateRecording& recording, const Vocabulary& vocabulary);

}  // namespace examples
