#pragma once

#include <cstdint>
#include <limits>

#include "autograd/shape.hpp"
#include "autograd/structural_ops.hpp"

namespace xtape {

template <class T>
class Pull;
template <class T>
class Sweep;
template <class T>
struct Node;

using NodeIndex = std::uint32_t;
inline constexpr NodeIndex no_node = std::numeric_limits<NodeIndex>::max();

/// How the nodes of one kind hand their gradient on.
template <class T>
struct Rule {
    using PullFunction = void (*)(Pull<T>&);
    using PullValuesFunction = void (*)(Sweep<T>&, NodeIndex);
    using LaterFunction = const void* (*)(const Node<T>&, const Node<T>&, std::ptrdiff_t, void*);

    const char* name;
    /// The derivative, written with Vars. Serves every kind of sweep.
    PullFunction pull;
    /// The same for a sweep that wants values only, as a hand-tuned loop; null where `pull` is fast enough.
    PullValuesFunction pull_values;
    /// For an op that notes its raw calls, so that a loop may repeat it: the payload of the node `steps` after the
    /// second of two that follow each other in a loop, written to `room` if need be; null if there is none.
    LaterFunction later;

    constexpr Rule(RuleName op, PullFunction by_vars, PullValuesFunction by_values = nullptr,
                   LaterFunction later_payload = nullptr)
        : name(op.text()), pull(by_vars), pull_values(by_values), later(later_payload) {}
};

/// The largest payload that a loop can repeat.
inline constexpr std::size_t payload_room = 32;

/// One entry of a tape: a value, and how it was made. As large as a cache line: a step of a recurrence writes and
/// reads some ten of them.
///
/// A node either owns its elements (then they lie dense and row-major) or is a view into those of another.
template <class T>
struct alignas(64) Node {
    const Shape& shape;   // equal shapes on a tape are one object
    T* value;             // the first element
    std::uint32_t stamp;  // of the tape's life in which the node was made
    NodeIndex owner;      // the node whose memory holds the elements; for a view, its base's owner

    const Rule<T>* rule = nullptr;  // null for leaves
    const NodeIndex* inputs = nullptr;
    const void* payload = nullptr;     // what the rule needs beside the inputs
    const Strides* strides = nullptr;  // of a view; null where the elements are dense
    std::uint32_t input_count = 0;
    bool needs_gradient : 1 = false;
    bool is_view : 1 = false;
    bool is_parameter : 1 = false;
    bool may_change : 1 = false;  // somebody writes new numbers to it: nothing made of it may be used again
    bool keeps_gradient : 1 = false;  // a variable, or retained
    bool has_hooks : 1 = false;
    bool is_product : 1 = false;      // a sum of matrix products, filed in a chunk: see products.hpp
    bool is_multiplied : 1 = false;   // some product will want the value for a deferred gradient
    bool feeds_products : 1 = false;  // some product defers this node's gradient
    bool recomputes : 1 = false;      // a checkpoint, see there: its rule is to compute it again
    bool shares_value : 1 = false;    // the elements are also those of other nodes, though it is no view

    /// Whether both are the same elements in the same order.
    bool is_same_as(const Node& other) const {
        return value == other.value && owner == other.owner && shape == other.shape &&
               full_strides() == other.full_strides();
    }
    std::size_t size() const { return element_count(shape); }
    bool is_dense() const { return strides == nullptr; }
    Strides full_strides() const { return strides == nullptr ? dense_strides(shape) : *strides; }
};

}  // namespace xtape
