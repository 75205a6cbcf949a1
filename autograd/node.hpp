#pragma once

#include <cstdint>
#include <limits>

#include "autograd/shape.hpp"

namespace xtape {

template <class T>
class Pull;
template <class T>
class Sweep;

using NodeIndex = std::uint32_t;
inline constexpr NodeIndex no_node = std::numeric_limits<NodeIndex>::max();

/// How the nodes of one kind hand their gradient on.
template <class T>
struct Rule {
    const char* name;
    /// The derivative, written with Vars. Serves every kind of sweep.
    void (*pull)(Pull<T>&);
    /// The same for a sweep that wants values only, as a hand-tuned loop; null where `pull` is fast enough.
    void (*pull_values)(Sweep<T>&, NodeIndex) = nullptr;
};

/// One entry of a tape: a value, and how it was made.
///
/// A node either owns its elements (then they lie dense and row-major) or is a view into those of another.
template <class T>
struct Node {
    const Rule<T>* rule = nullptr;  // null for leaves
    T* value = nullptr;             // the first element
    T* gradient = nullptr;          // kept from past sweeps, dense; see keeps_gradient
    const NodeIndex* inputs = nullptr;
    const void* payload = nullptr;     // what the rule needs beside the inputs
    const Strides* strides = nullptr;  // of a view; null where the elements are dense
    std::uint32_t stamp = 0;           // of the tape's life in which the node was made
    NodeIndex owner = 0;  // the node whose memory holds the elements; for a view, its base's owner
    std::uint16_t input_count = 0;
    bool needs_gradient = false;
    bool is_view = false;
    bool keeps_gradient = false;  // a variable, or retained
    bool is_parameter = false;
    bool has_hooks = false;
    bool feeds_products = false;  // some matmul defers this node's gradient
    bool is_multiplied = false;   // some matmul will want the value for a deferred product
    NodeIndex chunk = no_node;    // of a sum of products: where it is filed, see products.hpp
    NodeIndex slot = 0;
    Shape shape;

    std::size_t size() const { return element_count(shape); }
    bool is_dense() const { return strides == nullptr; }
    Strides full_strides() const { return strides == nullptr ? dense_strides(shape) : *strides; }
};

}  // namespace xtape
