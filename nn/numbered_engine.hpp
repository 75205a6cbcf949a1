#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

#include "nn/engine.hpp"

namespace xtape::nn::detail {

/// The engine of that number, of as many as are wanted from one seed: what is drawn anew from it again and again needs no state
/// but the number.
inline Engine numbered_engine(std::uint64_t seed, std::size_t number) {
    const auto low = [](std::uint64_t bits) { return static_cast<std::uint32_t>(bits); };
    const std::uint64_t wide = number;
    std::seed_seq seeds{low(seed), low(seed >> 32), low(wide), low(wide >> 32)};
    return Engine(seeds);
}

}  // namespace xtape::nn::detail
