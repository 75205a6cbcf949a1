#pragma once

#include <string>
#include <vector>

#include "autograd/tape.hpp"

// Which op is to blame for a wrong gradient: each rule on a tape is tested by itself.

namespace xtape {

/// The values on a tape at one moment: of each node, and of each op inside of a statement.
class Snapshot {
public:
    explicit Snapshot(Tape<double>& tape);

    std::vector<Array<double>> nodes;
    std::vector<std::vector<Array<double>>> steps;  // of each node; empty unless it is a statement
};

/// The name of the op whose rule is wrong, "" if none is. `before` and `after` are snapshots of two runs of the same
/// function, which differ from the one on the tape by a small step of the inputs to either side. From before to after a
/// node's value must change by what its rule says of the changes of its inputs.
std::string find_wrong_rule(Tape<double>& tape, const Snapshot& before, const Snapshot& after);

}  // namespace xtape
