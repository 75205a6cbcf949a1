#pragma once

#include "autograd/sweep.hpp"

namespace xtape {

/// A walk over a tape from its end that computes gradients as plain numbers.
///
/// Each node that owns its elements gets a gradient buffer when the first contribution arrives and gives it back when
/// its rule has run. A view has none: its contributions go straight into the owner's buffer, at the view's strides,
/// unless somebody asked for the view's own gradient.
template <class T>
class Sweep {
public:
    /// Goes over nodes 0 ... last. `commits` says whether gradients are added to parameters and variables.
    Sweep(Tape<T>& tape, NodeIndex last, bool commits);
    ~Sweep();
    Sweep(const Sweep&) = delete;
    Sweep& operator=(const Sweep&) = delete;

    /// Computes no more than what leads to the gradients of these, and keeps those for `take`.
    void want_only(std::span<const Var<T>> xs);
    void run(const Var<T>& y, const Var<T>& seed, bool release_values);
    /// The gradient of one of the wanted, as a constant on the tape.
    Var<T> take(const Var<T>& x);

    // ---- for rules ----------------------------------------------------------------------------------------------

    Tape<T>& tape() { return tape_; }
    const Node<T>& node(NodeIndex index) const { return tape_.at(index); }
    bool wants(NodeIndex index) const {
        return selective_ ? slots_[index].wanted : tape_.at(index).needs_gradient;
    }
    /// The gradient of a node that a rule is run for; dense.
    const T* gradient(NodeIndex index) const { return slots_[index].data; }

    /// The node whose buffer receives the gradient of `index`.
    NodeIndex gradient_owner(NodeIndex index) const {
        return views_requested_ ? requested_owner(index) : tape_.at(index).owner;
    }
    /// Whether the gradients of these nodes lie in their owners' buffers just as the values do.
    bool lie_as_values(std::span<const NodeIndex> nodes) const;

    /// Where contributions to a node's gradient go.
    struct Target {
        T* data;  // of element (0, 0, ...)
        Strides strides;
    };
    /// Ready to be added to: zeros if nothing was added before.
    Target target(NodeIndex index);
    /// The whole buffer of a node that is its own owner, for a rule that writes every element; `first` tells it
    /// to write and not to add.
    T* whole_target(NodeIndex index, bool& first);

    /// For a node whose value is dense and whose gradient lies as the value does: where its row of contributions goes.
    /// If nothing was added before, the node owns the buffer and `may_write`, then `first` is set.
    T* dense_target(NodeIndex index, bool may_write, bool& first) {
        const NodeIndex owner = gradient_owner(index);
        Slot& slot = prepared(owner);
        if (!slot.written) {
            first = owner == index && may_write;
            if (!first) zero(slot, owner);
            slot.written = true;
        }
        return owner == index ? slot.data : slot.data + (tape_.at(index).value - tape_.at(owner).value);
    }

    /// Adds a tensor of any shape that broadcasts with the node's, see Pull::add.
    void add(NodeIndex index, const Shape& shape, const T* from, const Strides& strides);
    void add_dense(NodeIndex index, const Shape& shape, const T* from);

    /// Lets the gradient of `to`, which nothing was added to yet, begin as the dense part of the gradient of `from` that
    /// lies at `offset`, in place, where that would otherwise be copied. False if it can't be.
    bool lend(NodeIndex from, std::ptrdiff_t offset, NodeIndex to);

    struct ChunkState {
        T* gradients = nullptr;
        std::size_t visited = 0;
    };
    std::size_t chunk_count() const { return chunk_count_; }
    ChunkState& chunk_state(std::size_t chunk) { return chunk_states_[chunk]; }
    /// Whether the gradient of a sum of products lies in its chunk and waits for the others there.
    bool is_waiting(NodeIndex index) const { return slots_[index].waits; }
    void stop_waiting(NodeIndex index) { slots_[index].waits = false; }
    /// Takes back the gradients of a chunk.
    void release_chunk(std::size_t chunk);

private:
    struct Slot {
        T* data;
        bool written;
        bool lent;   // the memory is a parameter's, a chunk's or another node's
        bool lends;  // other nodes use the memory until the sweep is over
        bool waits;  // in a chunk
        bool wanted;
        bool requested;  // somebody wants to see this node's own gradient
    };

    std::size_t bytes_of(NodeIndex index) const { return tape_.at(index).size() * sizeof(T); }
    bool is_requested(NodeIndex index) const;
    NodeIndex requested_owner(NodeIndex index) const;
    void zero(Slot& slot, NodeIndex owner);
    void zero_if_fresh(Slot& slot, NodeIndex owner) {
        if (!slot.written) zero(slot, owner);
        slot.written = true;
    }
    /// The owner's slot, with a buffer in it.
    Slot& prepared(NodeIndex owner) {
        Slot& slot = slots_[owner];
        if (slot.data == nullptr) find_buffer(slot, owner);
        return slot;
    }
    void find_buffer(Slot& slot, NodeIndex owner);
    T* chunk_gradient(const Node<T>& node);
    void visit(NodeIndex index, bool release_values);
    void call_hooks(NodeIndex index);
    void commit();
    void release(NodeIndex index);

    Tape<T>& tape_;
    NodeIndex count_;
    bool commits_;
    bool selective_ = false;
    bool views_requested_ = false;
    Slot* slots_;
    std::size_t chunk_count_;
    ChunkState* chunk_states_;
};

/// Computes the deferred products that node `index` waits for: in contraction_gradient.cpp.
template <class T>
void flush_products(Sweep<T>& sweep, NodeIndex index);

}  // namespace xtape
