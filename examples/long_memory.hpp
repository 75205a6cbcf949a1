#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>

#include "nn/nn.hpp"

namespace examples {

/// Starts the gates such that the units remember for 1 to `longest` steps, each for another time: the bias of the gate
/// that keeps, b = log u with u uniform in [1, longest - 1], and -b for the gate that lets in. A plain RNN has no such
/// gate. (Tallec & Ollivier, 2018, "Can recurrent neural networks warp time?", section 2)
template <class T>
void remember_for(std::size_t longest, xtape::nn::LSTMCell<T>& cell, xtape::nn::Engine& engine) {
    const std::size_t H = cell.hidden_size();
    std::uniform_real_distribution<double> time(1,
                                                static_cast<double>(std::max<std::size_t>(longest, 3)) - 1);
    T* const bias = cell.bias.data();  // rows i, f, o, g
    for (std::size_t k = 0; k < H; ++k) {
        bias[H + k] = static_cast<T>(std::log(time(engine)));
        bias[k] = -bias[H + k];
    }
}
template <class T>
void remember_for(std::size_t longest, xtape::nn::GRUCell<T>& cell, xtape::nn::Engine& engine) {
    const std::size_t H = cell.hidden_size();
    std::uniform_real_distribution<double> time(1,
                                                static_cast<double>(std::max<std::size_t>(longest, 3)) - 1);
    T* const keep = cell.bias.data() + H;  // rows r, z, n
    for (std::size_t k = 0; k < H; ++k) keep[k] = static_cast<T>(std::log(time(engine)));
}
template <class T>
void remember_for(std::size_t, xtape::nn::RNNCell<T>&, xtape::nn::Engine&) {}

}  // namespace examples
