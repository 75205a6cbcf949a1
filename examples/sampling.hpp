#pragma once

#include <cstddef>
#include <random>
#include <span>

#include "examples/text.hpp"

namespace examples {

/// A class drawn from softmax(scores / temperature), from class `first` on. The lower the temperature, the more often it is the
/// most probable one.
Symbol draw(std::span<const float> scores, double temperature, std::mt19937_64& random,
            std::size_t first = 0);

}  // namespace examples
