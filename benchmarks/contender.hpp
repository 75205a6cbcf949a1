#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/buffer.hpp"

/// The work that is compared, and what every contender must look like: one layer unrolled over T steps from a zero
/// state, forward, then backward from the gradients of all outputs to x, both weights and the biases.
namespace bench {

enum class Cell { rnn, lstm, gru, gru_reset_after };

struct Size {
    std::size_t batch, steps, inputs, hidden;
};

/// Blocks of H rows in a weight. Their order: i, f, o, g for the LSTM, r, z, n for both GRUs.
constexpr std::size_t gate_count(Cell cell) { return cell == Cell::rnn ? 1 : cell == Cell::lstm ? 4 : 3; }

/// G = gate_count(cell). Everything is row-major.
template <class T>
struct Problem {
    Cell cell;
    Size size;
    Buffer<T> x;       // (T, B, D)
    Buffer<T> w_x;     // (G H, D)
    Buffer<T> w_h;     // (G H, H)
    Buffer<T> bias;    // (G H)
    Buffer<T> bias_n;  // (H), beside U_n h, for the GRU that resets after the product; else empty
    Buffer<T> dh;      // (T, B, H), the gradient of every output
};

template <class T>
struct Results {
    Buffer<T> h;                               // (T, B, H)
    Buffer<T> dx, dw_x, dw_h, dbias, dbias_n;  // shaped as in Problem
};

template <class T>
class Contender {
public:
    virtual ~Contender() = default;
    virtual std::string name() const = 0;
    /// Forward and backward, from plain row-major weights to all gradients. This is what is timed.
    virtual void run() = 0;
    /// What the last run computed, in the layout of Problem. Not timed.
    virtual Results<T> results() = 0;
};

template <class T>
using Contenders = std::vector<std::unique_ptr<Contender<T>>>;

/// Each in its own file; a library that isn't there, or has no such cell or type, contributes none. The problem
/// outlives its contenders.
template <class T>
Contenders<T> handwritten_contenders(const Problem<T>& problem);
template <class T>
Contenders<T> xtape_contenders(const Problem<T>& problem);
template <class T>
Contenders<T> onednn_contenders(const Problem<T>& problem);
template <class T>
Contenders<T> libtorch_contenders(const Problem<T>& problem);

/// "oneDNN 2.6.3", or empty when it wasn't there at build time.
std::string onednn_version();
std::string libtorch_version();

}  // namespace bench
