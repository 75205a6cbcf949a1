#pragma once

#include <random>

namespace xtape::nn {

/// What random numbers are drawn from. Nothing in xtape has one of its own: whoever draws is given an engine.
using Engine = std::mt19937_64;

}  // namespace xtape::nn
