#pragma once

#include <bitset>

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
    const Node<T>& node(NodeIndex index) const { return tape_.at(index); }  // visited, or an input of such
    bool wants(NodeIndex index) const {
        return selective_ ? slots_[index].wanted : tape_.like(index).needs_gradient;
    }
    bool wants(NodeIndex index, const Node<T>& node) const {
        return selective_ ? slots_[index].wanted : node.needs_gradient;
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
        const T* sum = nullptr;  // if not there: what was added before, lying likewise
    };
    /// Ready to be added to: zeros if nothing was added before.
    Target target(NodeIndex index);
    /// The whole buffer of a node that is its own owner, for a rule that writes every element; `first` tells it
    /// to write and not to add.
    T* whole_target(NodeIndex index, bool& first);
    /// The same for steps begin ... end - 1 along the first axis, of which the last ones come first.
    T* steps_target(NodeIndex index, std::size_t begin, std::size_t end, bool& first);

    /// Where contributions to `to` go from the rule of `from`, which has its shape and reads each element of its own
    /// gradient before it writes that of `to`. Sets `first` if nothing was added before, and the caller is to write every
    /// element: to a whole buffer, perhaps that of `from`, or to one of the equal pieces, along the last axis, that a
    /// value was split into. Only for a caller that `reads_sum` the sum so far may lie elsewhere.
    Target fresh_target(NodeIndex from, NodeIndex to, bool& first, bool reads_sum = false);
    /// The same for a node that is no view, and a caller that reads sums, which lie dense.
    T* fresh_whole(NodeIndex from, NodeIndex to, bool& first, const T*& sum) {
        const Slot& taken = slots_[to];
        first = false;
        sum = nullptr;
        return taken.written && !taken.borrowed && !is_partial(taken)
                   ? taken.data
                   : begin_whole(from, to, first, sum, true);
    }

    /// The gradient of a node that is its own owner, for a caller that goes over `count` of its rows, the first axis, or its
    /// columns, the last one, from `begin` on. Sets `first` if nothing was added there before, and the caller is to write all of them; what
    /// nobody has written in the end is cleared.
    T* block_target(NodeIndex owner, bool by_rows, std::size_t begin, std::size_t count, bool& first);

    bool releases_values() const { return releases_; }
    /// Finds a place for the gradient of a node, which is about to be written, if that is a sum of products and has none:
    /// that of its value where nobody asked for the gradient, and `may_overwrite` says that no element will be read once
    /// its gradient is written.
    template <class MayOverwrite>
    void place_product(NodeIndex index, MayOverwrite may_overwrite) {
        if (!tape_.at(index).is_product || slots_[index].data != nullptr) return;
        if (may_take_value(index) && may_overwrite())
            take_value(index);
        else
            find_buffer(slots_[index], index);
    }

    /// Adds a tensor of any shape that broadcasts with the node's, see Pull::add.
    void add(NodeIndex index, const Shape& shape, const T* from, const Strides& strides);
    void add_dense(NodeIndex index, const Shape& shape, const T* from);

    /// Lets the gradient of `to`, which nothing was added to yet, begin as the dense part of the gradient of `from` that
    /// lies at `offset`, in place, where that would otherwise be copied. False if it can't be.
    bool lend(NodeIndex from, std::ptrdiff_t offset, NodeIndex to);
    /// The same for those that follow the first of these nodes, which was lent its gradient, in a loop: theirs lie
    /// `distance` apart. Stops at a step that somebody has looked at; returns how many were served.
    std::size_t lend_on(std::span<const NodeIndex> nodes, std::ptrdiff_t distance);
    /// Makes a node that a loop left out, if it did.
    void make_node(NodeIndex index) {
        tape_.make_node(index);
        prepare_made_steps();
    }
    /// Goes back through what is computed again for a checkpoint, and forgets it.
    void visit_again(NodeIndex index);

    struct ChunkState {
        T* gradients = nullptr;
        std::size_t visited = 0;
        bool in_values = false;               // the memory is that of the members' values
        std::bitset<rows_per_chunk> waiting;  // slots whose gradients lie there until all do

        /// `count` slots wait from now on: the last one before `end`, and those a distance further down.
        void wait_below(std::size_t end, std::size_t count, std::size_t distance) {
            if (distance == 1) {
                waiting |= (~decltype(waiting)() >> (rows_per_chunk - count)) << (end - count);
                return;
            }
            for (; count > 0; --count, end -= distance) waiting.set(end - 1);
        }
    };
    std::size_t chunk_count() const { return chunk_count_; }
    ChunkState& chunk_state(std::size_t chunk) { return chunk_states_[chunk]; }
    /// Takes back the gradients of a chunk.
    void release_chunk(std::size_t chunk);

private:
    struct Slot {
        T* data;
        std::uint8_t pieces;          // if parts are still to be written: how many pieces there are,
        std::uint8_t written_pieces;  // and which of them were, a bit each
        bool in_rows : 1;             // they are rows and not columns
        bool written : 1;
        bool lent : 1;      // the memory is a parameter's, a chunk's, another node's or a seed's
        bool lends : 1;     // other nodes use the memory until the sweep is over
        bool borrowed : 1;  // it is only read
        bool copied : 1;    // it was
        bool wanted : 1;
        bool requested : 1;             // somebody wants to see this node's own gradient
        std::uint32_t unwritten_steps;  // the first so many along the first axis

        /// A gradient that was lent; what is wanted of the node stays as it is.
        void take(const LentSteps<T>& from, std::size_t step) {
            data = from.data + static_cast<std::ptrdiff_t>(step) * from.distance;
            written = lent = true;
            borrowed = from.borrowed;
        }
    };

    ProductRecord::Place place_of(NodeIndex product) const {
        return static_cast<const ProductRecord*>(tape_.at(product).payload)->place;
    }
    std::size_t bytes_of(NodeIndex index) const { return tape_.at(index).size() * sizeof(T); }
    void clear_rows(std::size_t rows, std::size_t n, std::size_t stride, T* to);
    void add_rows(std::size_t rows, std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to,
                  std::ptrdiff_t to_stride, bool first);
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
        if (slot.borrowed) copy_borrowed(slot, owner);
        clear_unwritten(slot, owner);
        return slot;
    }
    T* begin_whole(NodeIndex from, NodeIndex to, bool& first, const T*& sum, bool reads_sum);
    Target piece_target(NodeIndex to, bool& first);
    void clear_other_pieces(Slot& slot, NodeIndex owner);
    void clear_first_steps(Slot& slot, NodeIndex owner);
    static bool is_partial(const Slot& slot) { return slot.pieces > 0 || slot.unwritten_steps > 0; }
    /// What nobody has written begins with zeros.
    void clear_unwritten(Slot& slot, NodeIndex owner) {
        if (slot.pieces > 0) clear_other_pieces(slot, owner);
        if (slot.unwritten_steps > 0) clear_first_steps(slot, owner);
    }
    bool may_hand_over(NodeIndex from, NodeIndex to) const;
    bool borrow(NodeIndex index, const Node<T>& seed);
    void copy_borrowed(Slot& slot, NodeIndex owner);
    void find_buffer(Slot& slot, NodeIndex owner);
    T* chunk_gradient(ProductRecord::Place place);
    T* wait_in_chunk(ProductRecord::Place place);
    bool may_take_value(NodeIndex index) const;
    void take_value(NodeIndex index);
    void leave_values(std::size_t chunk);
    void visit(NodeIndex index, bool donates);
    void cover_tape();
    void walk(NodeIndex begin, NodeIndex end);
    void find_wanted(NodeIndex begin, NodeIndex end);
    /// `donates` gives values that are no longer needed to gradients.
    void visit_all(NodeIndex end, NodeIndex begin, bool donates) {
        while (end > begin) visit(--end, donates);
    }
    // Of loops.
    void clear_slots(NodeIndex begin, NodeIndex end);
    void prepare_made_steps();
    void copy_slots(NodeIndex first, NodeIndex count, Slot* to) const;
    Slot lent_slot(NodeIndex index) const;
    void make_nodes(const Loop<T>& loop) {
        tape_.make_nodes(loop);
        prepare_made_steps();
    }
    void make_all_nodes() {
        tape_.make_all_nodes();
        prepare_made_steps();
    }
    void make_step(const Loop<T>& loop, std::size_t step);
    bool has_keepers(const Loop<T>& loop) const;
    void visit_loop(const Loop<T>& loop);
    std::size_t repeatable_steps(const Loop<T>& loop, std::size_t step, const Slot* before) const;
    static bool go_on(const Slot* later, const Slot* slots, const Slot* earlier, NodeIndex period);
    std::size_t repeat_steps(const Loop<T>& loop, std::size_t step, std::size_t count);
    void keep_buffers(const Loop<T>& loop, std::size_t step, const Slot* before);
    struct ChunkRow;
    ProductRecord::Place place_in(const Loop<T>& loop, std::size_t step, NodeIndex offset) const;
    std::size_t find_rows(const Loop<T>& loop, std::size_t step, ChunkRow* rows);
    bool uses_only(const Loop<T>& loop, std::size_t step, std::span<const ChunkRow> rows) const;
    bool enter_chunk(std::size_t number, bool in_values);
    void leave_to(const Loop<T>& loop, std::size_t step, std::size_t done, std::span<const ChunkRow> rows);
    void call_hooks(NodeIndex index);
    void commit();
    void release(NodeIndex index);

    Tape<T>& tape_;
    NodeIndex count_;
    bool commits_;
    bool selective_ = false;
    bool finished_ = false;
    bool views_requested_ = false;
    bool releases_ = false;
    NodeIndex floor_ = 0;       // of the nodes that a checkpoint recorded again
    NodeIndex loop_first_ = 0;  // of the loop that is being visited
    Slot* slots_;               // nodes that were never made have none
    NodeIndex slot_room_;
    std::size_t prepared_steps_ = 0;  // of the tape's made steps: those that have slots
    std::size_t chunk_count_;
    ChunkState* chunk_states_;
    std::size_t chunk_room_;
};

/// What a rule keeps for a node of a loop, where each step keeps the same; for products a loop puts their places right.
template <class T>
const void* same_payload(const Node<T>&, const Node<T>& b, std::ptrdiff_t, void*) {
    return b.payload;
}

/// Computes the deferred products that node `index` waits for: in contraction_gradient.cpp.
template <class T>
void flush_products(Sweep<T>& sweep, NodeIndex index);
/// Those of a chunk.
template <class T>
void flush_chunk(Sweep<T>& sweep, std::size_t chunk);
/// Those of chunks from this one on.
template <class T>
void flush_chunks_from(Sweep<T>& sweep, std::size_t chunk);

}  // namespace xtape
