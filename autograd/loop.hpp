#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "autograd/node.hpp"
#include "autograd/products.hpp"
#include "autograd/var.hpp"

// Steps of a recurrence that all do the same. The first three are recorded as they come; if the second and the third
// made the same nodes from inputs one step apart, the tape does the others by itself, from the list of raw calls that the
// third one made, and gives them indices but no nodes. A node is made when somebody looks at it. The sweep of
// gradients goes over such steps likewise: two as ever, the rest from a list of calls.

namespace xtape {

template <class T>
class Tape;
template <class T>
class Var;

/// Where a sum of products of each step lies among those of other steps, see products.hpp.
struct ProductPlaces {
    /// From this step on, and then `distance` slots further in each, to the end of the chunk.
    struct Run {
        std::size_t step;
        ProductRecord::Place place;
    };
    Run* runs = nullptr;  // null for another op
    std::size_t count = 0;
    std::uint32_t distance = 1;

    bool exist() const { return runs != nullptr; }
    ProductRecord::Place operator[](std::size_t step) const {
        const Run& run = *(std::upper_bound(runs, runs + count, step,
                                            [](std::size_t s, const Run& r) { return s < r.step; }) -
                           1);
        const auto further = static_cast<std::uint32_t>(step - run.step) * distance;
        return {run.place.chunk, run.place.slot + further};
    }
};

/// Steps of which some have no nodes yet. They are numbered from the second one of the sequence, 0, on.
template <class T>
struct Loop {
    NodeIndex first;      // of step 0
    NodeIndex period;     // nodes in a step
    std::uint32_t stamp;  // of all of them
    std::size_t steps;
    enum class Nodes : std::uint8_t { missing, made, made_by_sweep };
    Nodes* nodes;                           // of each step
    const std::ptrdiff_t* value_distances;  // by which each node's value moves from one step to the next
    const ProductPlaces* products;          // of each node, from step 1 on

    NodeIndex end() const { return first + static_cast<NodeIndex>(steps) * period; }
    NodeIndex begin_of(std::size_t step) const { return first + static_cast<NodeIndex>(step) * period; }
    std::size_t step_of(NodeIndex index) const { return (index - first) / period; }
    NodeIndex offset_of(NodeIndex index) const { return (index - first) % period; }
    bool is_missing(NodeIndex index) const { return nodes[step_of(index)] == Nodes::missing; }
};

/// Gradients that lie in another node's: those of one node in each of several steps of a loop.
template <class T>
struct LentSteps {
    NodeIndex first;
    std::size_t count;
    NodeIndex period;
    T* data;                  // of the first
    std::ptrdiff_t distance;  // to the next one
    bool borrowed;            // it is only read
};

/// Memory for the values of a sequence of steps: what each step asks for as its k-th piece lies beside the k-th pieces
/// of the other steps, so that all h_t, say, are one tensor.
template <class T>
struct StepMemory {
    struct Block {
        T* first;
        std::size_t size;  // of one step's piece
    };
    std::size_t steps = 0;  // 0: not in use
    std::size_t step = 0;   // the current one
    std::size_t next = 0;   // piece
    bool alike = false;     // it was promised that they are
    bool regular = true;    // the step asked for what those before it asked for
    std::vector<Block> blocks;
};

/// Records a sequence of steps, while it lives: see above. What a tape records meanwhile belongs to them.
template <class T>
class Steps {
public:
    static constexpr std::size_t max_state = 4;

    /// `alike` promises that all steps do the same, each with the next input and the state that the last one left.
    Steps(Tape<T>& tape, std::size_t count, bool alike);
    ~Steps();
    Steps(const Steps&) = delete;
    Steps& operator=(const Steps&) = delete;

    /// To be called when a step was recorded, with the state that it left. Returns how many further steps were done
    /// without recording them.
    std::size_t done(std::span<const Var<T>> state);
    /// A value of the state as it is `steps` steps later.
    Var<T> later(const Var<T>& var, std::size_t steps) const {
        if (var.index() < starts_[1]) return var;
        const NodeIndex period = starts_[2] - starts_[1];
        return {&tape_, var.index() + static_cast<NodeIndex>(steps) * period, var.stamp_};
    }

private:
    bool matches(std::span<const Var<T>> state);
    bool node_matches(NodeIndex offset);
    ProductPlaces first_place(NodeIndex offset, NodeIndex period) const;
    std::size_t repeat();
    NodeIndex start(std::size_t step) const { return starts_[step]; }

    Tape<T>& tape_;
    std::size_t count_;
    std::size_t recorded_ = 0;
    bool alike_;
    bool outermost_;
    static constexpr std::size_t first_steps = 4;
    std::array<NodeIndex, first_steps> starts_;
    std::array<NodeIndex, max_state> state_;
};

}  // namespace xtape
