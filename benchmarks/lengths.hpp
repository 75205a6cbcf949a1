#pragma once

#include <cstddef>
#include <vector>

#include "benchmarks/contender.hpp"
#include "benchmarks/turns.hpp"

namespace bench {

/// A batch of sequences of different lengths, and the gradient of the outputs: (T, B, H), zeros behind the ends.
struct LengthsProblem {
    Problem<float> problem;
    std::vector<std::size_t> lengths;
    Buffer<float> seed;
};

/// libtorch's LSTM over the padded batch and over the packed one, forward and backward; nothing if it isn't there.
std::vector<Work> libtorch_lengths(const LengthsProblem& problem);

}  // namespace bench
