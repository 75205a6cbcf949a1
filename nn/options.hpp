#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace xtape::nn::detail {

inline void check_not_negative(const char* optimizer, const char* option, double value) {
    if (value >= 0) return;
    throw std::invalid_argument(std::string("[") + optimizer + "] " + option + " is " +
                                std::to_string(value) + ": expected a number that isn't negative");
}

inline void check_fraction(const char* optimizer, const char* option, double value) {
    if (value >= 0 && value < 1) return;
    throw std::invalid_argument(std::string("[") + optimizer + "] " + option + " is " +
                                std::to_string(value) + ": expected a number from 0 to below 1");
}

inline void check_probability(const char* module, const char* option, double value) {
    if (value >= 0 && value <= 1) return;
    throw std::invalid_argument(std::string("[") + module + "] " + option + " is " + std::to_string(value) +
                                ": expected a number from 0 to 1");
}

/// Of inputs, units or layers.
inline void check_positive(const char* module, const char* option, std::size_t value) {
    if (value > 0) return;
    throw std::invalid_argument(std::string("[") + module + "] " + option +
                                " is 0: expected a positive number");
}

}  // namespace xtape::nn::detail
