#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "nn/nn.hpp"

namespace examples {

/// The copying problem: what is read is ten symbols out of eight, T - 1 blanks, a mark and ten blanks; what is to be said
/// is T + 10 blanks and then the ten symbols, in their order. (Hochreiter & Schmidhuber, 1997, in the form of Arjovsky,
/// Shah & Bengio, 2016.)
///
///     reads:  3 1 4 1 5 2 6 5 3 5 · · · · · ! · · · · · · · · · ·
///     says:   · · · · · · · · · · · · · · · · 3 1 4 1 5 2 6 5 3 5
struct CopyingSequences {
    static constexpr std::size_t copied = 10, symbols = 8;
    static constexpr std::int32_t blank = symbols, mark = blank + 1;
    static constexpr std::size_t inputs = symbols + 2;   ///< different symbols that are read
    static constexpr std::size_t outputs = symbols + 1;  ///< different symbols to say

    /// B sequences of T + 20 steps. Throws std::invalid_argument if there is no room for the mark.
    CopyingSequences(std::size_t T, std::size_t B, xtape::nn::Engine& engine);

    xt::xtensor<std::int32_t, 2> reads, says;  ///< (T + 20, B)

    /// The cross-entropy, in nats per step, of a model that knows when to say something, and guesses what:
    /// 10 ln 8 / (T + 20).
    static double baseline(std::size_t T) {
        return copied * std::log(double(symbols)) / static_cast<double>(T + 2 * copied);
    }
};

}  // namespace examples
