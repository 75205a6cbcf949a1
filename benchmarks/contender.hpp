#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/buffer.hpp"

/// The work that is compared, and what every contender must look like: one layer unrolled over T steps from a zero
/// state, forward, then backward from the gradients of all outputs to x, both weights and the biases.
namespace bench {

enum class Cell { rnn, lstm, gru, gru_reset_after, mgu };

struct Size {
    std::size_t batch, steps, inputs, hidden;
};

/// Blocks of H rows in a weight. Their order: i, f, o, g for the LSTM, r, z, n for both GRUs, f, n for the minimal gated
/// unit (Zhou et al., 2016).
constexpr std::size_t gate_count(Cell cell) {
    return cell == Cell::rnn ? 1 : cell == Cell::lstm ? 4 : cell == Cell::mgu ? 2 : 3;
}

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

enum class Author { hand, nn, user, onednn, libtorch_module, libtorch_cell };

/// As the tables call it.
constexpr const char* name(Author author) {
    switch (author) {
        case Author::hand: return "hand-written";
        case Author::nn: return "xtape nn";
        case Author::user: return "xtape, user's cell";
        case Author::onednn: return "oneDNN";
        case Author::libtorch_module: return "libtorch module";
        default: return "libtorch cell of ops";
    }
}

template <class T>
class Contender {
public:
    virtual ~Contender() = default;
    virtual Author author() const = 0;
    /// Forward and backward, from plain row-major weights to all gradients. This is what is timed.
    virtual void run() = 0;
    /// What the last run computed, in the layout of Problem. Not timed.
    virtual Results<T> results() = 0;
    /// Bytes of the weights' packed copies that the last run made, where they are known.
    virtual std::size_t packed_bytes() { return 0; }
};

template <class T>
using Contenders = std::vector<std::unique_ptr<Contender<T>>>;

/// How xtape's contenders use their tape.
struct TapeOptions {
    std::size_t threads = 1;
    /// A training step needs one sweep; the others don't keep what a second one would need either.
    bool release_values = true;
};

/// Each in its own file; a library that isn't there, or has no such cell or type, contributes none. The problem
/// outlives its contenders.
template <class T>
Contenders<T> handwritten_contenders(const Problem<T>& problem);
template <class T>
Contenders<T> xtape_contenders(const Problem<T>& problem, const TapeOptions& options = {});
template <class T>
Contenders<T> onednn_contenders(const Problem<T>& problem);
template <class T>
Contenders<T> libtorch_contenders(const Problem<T>& problem);

/// "oneDNN 2.6.3", or empty when it wasn't there at build time.
std::string onednn_version();
std::string libtorch_version();

}  // namespace bench
