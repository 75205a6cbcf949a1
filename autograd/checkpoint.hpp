#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "autograd/sweep.hpp"
#include "autograd/tape.hpp"

namespace xtape {

/// A part of a computation that can be done again.
template <class T>
using Recomputation = std::function<std::vector<Var<T>>()>;

struct CheckpointOptions {
    /// False keeps everything after all: what a run with recomputation agrees with, bit by bit.
    bool recompute = true;
};

/// The values that `compute` gives, without those in between: a sweep of gradients that gets here runs `compute` again,
/// goes back through what it recorded, and forgets that. Costs the time of computing once more, and saves the memory.
/// (Griewank and Walther, 2000)
///
/// `compute` may use whatever is on the tape, and must do the same each time; what it refers to must live as long as
/// what is recorded here. Throws TapeError from the sweep if it did otherwise.
template <class T>
std::vector<Var<T>> checkpoint(Tape<T>& tape, Recomputation<T> compute, CheckpointOptions options = {});

namespace detail {

/// How to compute the node of a checkpoint again: its value is that of all results, one after the other.
template <class T>
class Recipe {
public:
    /// Computes for the first time.
    Recipe(Tape<T>& tape, Recomputation<T> compute);

    std::size_t size() const { return size_; }
    const std::vector<Var<T>>& first_results() const { return first_; }
    /// The results one after the other, with zeros between them.
    void copy(Tape<T>& tape, const std::vector<Var<T>>& results, T* to) const;
    /// Computes again, recorded; `value` is what it gave before.
    std::vector<Var<T>> results_again(Tape<T>& tape, const T* value) const;
    /// Where the k-th result begins.
    std::size_t offset(std::size_t k) const { return offsets_[k]; }
    /// The results as parts of the node.
    std::vector<Var<T>> parts(const Var<T>& node) const;
    void forget_first_results() { first_.clear(); }

private:
    Recomputation<T> compute_;
    typename Products<T>::PackedThen packed_before_;
    std::vector<Var<T>> first_;
    std::vector<Shape> shapes_;
    std::vector<std::size_t> offsets_;
    std::size_t size_ = 0;
};

template <class T>
const Recipe<T>& recipe_of(const Node<T>& node) {
    return *static_cast<const Recipe<T>*>(node.payload);
}

}  // namespace detail

}  // namespace xtape
