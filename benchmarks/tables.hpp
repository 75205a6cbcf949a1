#pragma once

#include <vector>

#include "benchmarks/contender.hpp"

namespace bench {

struct Settings {
    std::vector<Cell> cells;
    std::vector<Size> sizes;
    double seconds;  // for each row
    bool quick;      // the rows that take long are left out
};

// Each prints a table and returns whether all contenders agreed. A row ends with "ok" or with the targets that it missed.

/// RNN, LSTM, GRU and the minimal gated unit, forward and backward, beside all peers.
bool layers_table(const Settings& settings);
/// The same in double, and how much longer it takes than float.
bool double_table(const Settings& settings);
/// T = 1000 and 10 000, beside the hand-written code.
bool long_table(const Settings& settings);
/// What one training step asks of the allocator.
bool memory_table(const Settings& settings);
/// One step at a time at batch 1, without recording.
bool streaming_table(const Settings& settings);
/// Sequences of different lengths, packed beside padded.
bool lengths_table(const Settings& settings);
/// T = 10 000 with checkpoints, beside keeping all steps.
bool checkpoints_table(const Settings& settings);
/// What a statement on eight numbers costs beside the same by hand.
bool overhead_table(const Settings& settings);
/// Two threads beside one.
bool threads_table(const Settings& settings);

}  // namespace bench
