#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/buffer.hpp"

/// Everything that isn't a recurrent layer: the pieces of work that are compared, and what a peer must look like.
namespace bench::ops {

/// One peer doing one piece of work: forward, and backward where there is a gradient.
template <class T>
class Contender {
public:
    virtual ~Contender() = default;
    /// From plain row-major numbers to all results. This is what is timed.
    virtual void run() = 0;
    /// What the last run computed, in the order that the work names. Not timed.
    virtual std::vector<Buffer<T>> results() = 0;
};

/// Null where a peer has no such thing.
template <class T>
using Entry = std::unique_ptr<Contender<T>>;

// The work. Everything outlives the contenders; matrices are (rows, cols).

/// y = f(a, b, c, d, e), of 1, 2, 4, 8 or 12 ops, see formulas.hpp: y, then the gradients of what it uses, from dy.
template <class T>
struct Statement {
    std::size_t ops, rows, cols;
    bool row_c;  // c is a row (cols), repeated
    std::array<Buffer<T>, 5> operands;
    Buffer<T> dy;

    /// How many of the operands it uses.
    std::size_t used() const { return ops == 1 ? 2 : ops <= 4 ? 3 : 5; }
};

/// y = sum or mean of x over an axis, or over both: y, dx.
template <class T>
struct Reduction {
    enum class Over { first, last, both };
    bool mean;
    Over over;
    std::size_t rows, cols;
    Buffer<T> x, dy;

    std::size_t result_size() const { return over == Over::first ? cols : over == Over::last ? rows : 1; }
    /// What a sum is divided by.
    double divisor() const {
        return mean ? static_cast<double>(rows * cols) / static_cast<double>(result_size()) : 1;
    }
};

/// y = softmax(x) of each row: y, dx.
template <class T>
struct Softmax {
    std::size_t rows, cols;
    Buffer<T> x, dy;
};

/// The mean of -log softmax(logits)[class] over the rows: the loss, and the gradient of the logits.
template <class T>
struct CrossEntropy {
    std::size_t rows, cols;
    Buffer<T> logits;
    std::vector<std::int64_t> classes;
};

/// Rows of a table: those rows, and the gradient of the whole table.
template <class T>
struct Take {
    std::size_t rows, cols;
    Buffer<T> table;
    std::vector<std::int64_t> indices;
    Buffer<T> dy;
};

/// One step of Adam with gradient g: the parameters after it.
template <class T>
struct Adam {
    static constexpr double rate = 1e-5, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    Buffer<T> p, g;
};

/// x ← x * w, x ← x + b, x ← tanh(x), and again, until `length` ops are done, each a statement of its own: the last x,
/// and the gradients of the first one, w and b.
template <class T>
struct Chain {
    std::size_t length;
    Buffer<T> x, w, b, dy;
};

/// A training step of two layers, relu in between, with cross entropy and Adam: the loss and the four gradients. Weights
/// are (outputs, inputs).
template <class T>
struct Mlp {
    std::size_t batch, inputs, hidden, outputs;
    Buffer<T> x, w1, b1, w2, b2;
    std::vector<std::int64_t> classes;
};

/// What takes part: a library, or code by hand.
template <class T>
class Peer {
public:
    virtual ~Peer() = default;
    virtual std::string name() const = 0;
    /// With its version, or empty.
    virtual std::string version() const { return ""; }
    virtual Entry<T> statement(const Statement<T>&) const { return nullptr; }
    virtual Entry<T> reduction(const Reduction<T>&) const { return nullptr; }
    virtual Entry<T> softmax(const Softmax<T>&) const { return nullptr; }
    virtual Entry<T> cross_entropy(const CrossEntropy<T>&) const { return nullptr; }
    virtual Entry<T> take(const Take<T>&) const { return nullptr; }
    virtual Entry<T> adam(const Adam<T>&) const { return nullptr; }
    virtual Entry<T> chain(const Chain<T>&) const { return nullptr; }
    virtual Entry<T> mlp(const Mlp<T>&) const { return nullptr; }
};

/// Each in its own file; null where a library wasn't there at build time.
template <class T>
const Peer<T>* xtape_peer();
template <class T>
const Peer<T>* handwritten_peer();
template <class T>
const Peer<T>* xtensor_peer();
template <class T>
const Peer<T>* eigen_peer();
template <class T>
const Peer<T>* libtorch_peer();

}  // namespace bench::ops
