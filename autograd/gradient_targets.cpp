#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

// Where a sweep's contributions go: to a buffer from the pool, a parameter's own gradient, a place beside those of other
// products or over their values, another node's buffer; and what is written there first instead of cleared and added to.

namespace xtape {

template <class T>
bool Sweep<T>::is_requested(NodeIndex index) const {
    const Node<T>& node = tape_.like(index);
    return slots_[index].requested || node.has_hooks || (commits_ && node.keeps_gradient);
}

template <class T>
NodeIndex Sweep<T>::requested_owner(NodeIndex index) const {
    while (tape_.at(index).is_view && !is_requested(index)) index = tape_.at(index).inputs[0];
    return index;
}

template <class T>
void Sweep<T>::find_buffer(Slot& slot, NodeIndex owner) {
    const Node<T>& node = tape_.at(owner);
    if (node.is_product && !is_requested(owner)) {
        leave_values(place_of(owner).chunk);
        slot.data = wait_in_chunk(place_of(owner));
        slot.lent = true;
    } else if (node.is_parameter && commits_ && !tape_.watched(owner).has_grad) {
        // Nothing is lost if the sweep fails: until it commits, the parameter says that it has no gradient.
        Array<T>& gradient = tape_.watched(owner).grad;
        gradient.resize(node.shape);
        slot.data = gradient.data();
        slot.lent = true;
    } else {
        slot.data = reinterpret_cast<T*>(tape_.gradients().allocate(bytes_of(owner)));
        if (tape_.log() != nullptr && owner >= loop_first_) tape_.log()->add_fixed(slot.data);
    }
}

template <class T>
T* Sweep<T>::chunk_gradient(ProductRecord::Place place) {
    const auto [number, slot] = place;
    const ProductChunk<T>& chunk = tape_.products().chunks[number];
    const ProductSite<T>& site = tape_.products().sites[chunk.site];
    const std::size_t slot_size = site.rows * site.cols;
    ChunkState& state = chunk_states_[number];
    if (state.gradients == nullptr) {
        state.gradients =
            reinterpret_cast<T*>(tape_.gradients().allocate(chunk.slots * slot_size * sizeof(T)));
    }
    return state.gradients + slot * slot_size;
}

template <class T>
T* Sweep<T>::wait_in_chunk(ProductRecord::Place place) {
    T* const gradient = chunk_gradient(place);
    chunk_states_[place.chunk].waiting.set(place.slot);
    return gradient;
}

template <class T>
void Sweep<T>::release_chunk(std::size_t index) {
    ChunkState& state = chunk_states_[index];
    if (state.gradients == nullptr) return;
    const ProductChunk<T>& chunk = tape_.products().chunks[index];
    const ProductSite<T>& site = tape_.products().sites[chunk.site];
    if (!state.in_values) {
        tape_.gradients().release(reinterpret_cast<std::byte*>(state.gradients),
                                  chunk.slots * site.rows * site.cols * sizeof(T));
    }
    state = {};
}

/// Whether those of its chunk lie where the values do, or nowhere yet, and nothing but other statements stands against it.
template <class T>
bool Sweep<T>::may_take_value(NodeIndex index) const {
    if (floor_ > 0 || views_requested_ || tape_.at(index).is_multiplied || is_requested(index)) return false;
    const auto number = place_of(index).chunk;
    const ChunkState& state = chunk_states_[number];
    return tape_.products().chunks[number].is_computed_together() &&
           (state.gradients == nullptr || state.in_values);
}

template <class T>
void Sweep<T>::take_value(NodeIndex index) {
    const auto place = place_of(index);
    ChunkState& state = chunk_states_[place.chunk];
    state.gradients = tape_.products().chunks[place.chunk].values;
    state.in_values = true;
    Slot& slot = slots_[index];
    slot.data = wait_in_chunk(place);
    slot.lent = true;
}

/// Finds other memory for the gradients of a chunk, if they lie where the values do: one of these is still to be read.
template <class T>
void Sweep<T>::leave_values(std::size_t number) {
    ChunkState& state = chunk_states_[number];
    if (!state.in_values) return;
    tape_.forbid_repeating();
    const ProductChunk<T>& chunk = tape_.products().chunks[number];
    const ProductSite<T>& site = tape_.products().sites[chunk.site];
    const std::size_t size = chunk.slots * site.rows * site.cols;
    auto* const gradients = reinterpret_cast<T*>(tape_.gradients().allocate(size * sizeof(T)));
    std::copy_n(state.gradients, size, gradients);
    for (std::size_t slot = 0; slot < chunk.slots; ++slot) {
        const NodeIndex member = chunk.members[slot];
        if (!state.waiting[slot] || tape_.loop_missing(member) != nullptr) continue;
        slots_[member].data = gradients + (slots_[member].data - state.gradients);
    }
    state.gradients = gradients;
    state.in_values = false;
}

template <class T>
void Sweep<T>::zero(Slot& slot, NodeIndex owner) {
    // What lies before a loop is cleared once, by the first step that adds to it.
    const LogInto<T> noted(tape_, owner < loop_first_ ? nullptr : tape_.log());
    clear_rows(1, tape_.at(owner).size(), 0, slot.data);
}

template <class T>
bool Sweep<T>::lie_as_values(std::span<const NodeIndex> nodes) const {
    return !views_requested_ || std::all_of(nodes.begin(), nodes.end(), [&](NodeIndex index) {
        const NodeIndex owner = gradient_owner(index);
        return owner == index || owner == tape_.at(index).owner;
    });
}

template <class T>
typename Sweep<T>::Target Sweep<T>::target(NodeIndex index) {
    const NodeIndex owner = gradient_owner(index);
    Slot& slot = prepared(owner);
    zero_if_fresh(slot, owner);
    const Node<T>& node = tape_.at(index);
    if (owner == index) return {slot.data, dense_strides(node.shape)};
    if (owner == node.owner) {
        // The owner's gradient lies as its value does.
        return {slot.data + (node.value - tape_.at(owner).value), node.full_strides()};
    }
    // Views of a view whose own gradient is requested: look through each of them again.
    std::vector<NodeIndex> path;
    for (NodeIndex at = index; at != owner; at = tape_.at(at).inputs[0]) path.push_back(at);
    Layout layout{tape_.at(owner).shape, dense_strides(tape_.at(owner).shape), 0};
    for (std::size_t k = path.size(); k-- > 0;) {
        layout = *seen_through(*static_cast<const View*>(tape_.at(path[k]).payload), layout,
                               tape_.at(path[k]).shape);
    }
    return {slot.data + layout.offset, layout.strides};
}

template <class T>
typename Sweep<T>::Target Sweep<T>::fresh_target(NodeIndex from, NodeIndex to, bool& first, bool reads_sum) {
    const Node<T>& node = tape_.at(to);
    if (node.is_view) return piece_target(to, first);
    const T* sum = nullptr;
    T* const data = begin_whole(from, to, first, sum, reads_sum);
    return {data, dense_strides(node.shape), sum};
}

template <class T>
T* Sweep<T>::begin_whole(NodeIndex from, NodeIndex to, bool& first, const T*& sum, bool reads_sum) {
    Slot& taken = slots_[to];
    if ((taken.data != nullptr && !(taken.borrowed && reads_sum)) || !may_hand_over(from, to))
        return whole_target(to, first);
    first = taken.data == nullptr;
    sum = std::exchange(taken.data, std::exchange(slots_[from].data, nullptr));
    taken.copied = taken.borrowed;
    taken.lent = taken.borrowed = false;
    taken.written = true;
    return taken.data;
}

/// As target(), but sets `first` if the node is one of the equal pieces, along the last axis, that its owner was split
/// into, and the caller is to write all of it.
template <class T>
typename Sweep<T>::Target Sweep<T>::piece_target(NodeIndex to, bool& first) {
    first = false;
    const Node<T>& node = tape_.at(to);
    const Node<T>& owner = tape_.at(node.owner);
    if (gradient_owner(to) != node.owner || owner.shape.empty()) return target(to);
    const auto [number, pieces] = piece_of_split(node, owner);
    if (pieces == 0 || node.inputs[0] != node.owner) return target(to);
    const std::size_t width = node.shape.back();
    T* const data = block_target(node.owner, false, number * width, width, first);
    return {data + (node.value - owner.value), node.full_strides()};
}

template <class T>
T* Sweep<T>::block_target(NodeIndex index, bool by_rows, std::size_t begin, std::size_t count, bool& first) {
    first = false;
    const Node<T>& node = tape_.at(index);
    const std::size_t extent = by_rows ? node.shape[0] : node.shape.back();
    const std::size_t unit = std::gcd(std::gcd(begin, count), extent);
    const std::size_t pieces = unit == 0 ? 0 : extent / unit;
    Slot& slot = slots_[index];
    if (slot.data == nullptr) find_buffer(slot, index);
    if (slot.borrowed) copy_borrowed(slot, index);
    if (!slot.written && pieces > 0 && pieces <= max_pieces) {
        slot.written = true;
        slot.pieces = static_cast<std::uint8_t>(pieces);
        slot.written_pieces = 0;
        slot.in_rows = by_rows;
    }
    if (slot.pieces == pieces && slot.in_rows == by_rows) {
        const auto mine = static_cast<std::uint8_t>(((1u << count / unit) - 1) << begin / unit);
        if ((slot.written_pieces & mine) == mine) return slot.data;
        if ((slot.written_pieces & mine) == 0) {
            first = true;
            slot.written_pieces |= mine;
            if (slot.written_pieces == (1u << pieces) - 1) slot.pieces = 0;
            return slot.data;
        }
    }
    clear_unwritten(slot, index);
    zero_if_fresh(slot, index);
    return slot.data;
}

/// The pieces that nobody has written begin with zeros.
template <class T>
void Sweep<T>::clear_other_pieces(Slot& slot, NodeIndex owner) {
    const Node<T>& node = tape_.at(owner);
    const std::size_t pieces = std::exchange(slot.pieces, std::uint8_t{0});
    const std::size_t rows = slot.in_rows ? 1 : node.size() / node.shape.back();
    const std::size_t row = node.size() / rows;
    const std::size_t width = row / pieces;
    for (std::size_t k = 0; k < pieces; ++k) {
        if ((slot.written_pieces >> k & 1u) == 0) clear_rows(rows, width, row, slot.data + k * width);
    }
}

template <class T>
T* Sweep<T>::whole_target(NodeIndex index, bool& first) {
    Slot& slot = prepared(index);
    first = !slot.written;
    slot.written = true;
    return slot.data;
}

template <class T>
T* Sweep<T>::steps_target(NodeIndex index, std::size_t begin, std::size_t end, bool& first) {
    const Node<T>& node = tape_.at(index);
    Slot& slot = slots_[index];
    const std::size_t steps = node.shape[0];
    if (!slot.written && steps <= std::numeric_limits<std::uint32_t>::max()) {
        if (slot.data == nullptr) find_buffer(slot, index);
        slot.written = true;
        slot.unwritten_steps = static_cast<std::uint32_t>(steps);
    }
    first = slot.unwritten_steps > 0 && slot.unwritten_steps == end;
    if (first)
        slot.unwritten_steps = static_cast<std::uint32_t>(begin);
    else if (begin < slot.unwritten_steps || slot.unwritten_steps == 0)
        zero_if_fresh(prepared(index), index);
    return slot.data + begin * (node.size() / steps);
}

template <class T>
void Sweep<T>::clear_first_steps(Slot& slot, NodeIndex owner) {
    const Node<T>& node = tape_.at(owner);
    const std::size_t steps = std::exchange(slot.unwritten_steps, std::uint32_t{0});
    clear_rows(1, steps * (node.size() / node.shape[0]), 0, slot.data);
}

template <class T>
bool Sweep<T>::lend(NodeIndex from, std::ptrdiff_t offset, NodeIndex to) {
    const Loop<T>* const loop = tape_.loop_missing(to);
    const Node<T>& node = tape_.like(to);
    Slot& lender = slots_[from];
    // A gradient that somebody asked for must stay as it is.
    if ((lender.lent && !lender.borrowed) || is_requested(from)) return false;
    if (loop == nullptr && is_requested(to)) return false;
    // Nor can it outlive what a checkpoint recorded again.
    if (to < floor_) return false;
    if (node.is_view || node.is_parameter) return false;
    if ((loop == nullptr ? slots_[to] : lent_slot(to)).data != nullptr) return false;
    // Products of a chunk need their gradients side by side: theirs is copied there.
    const bool borrowed = lender.borrowed || node.is_product;
    const LentSteps<T> lent{to, 1, loop != nullptr ? loop->period : 0, lender.data + offset, 0, borrowed};
    if (loop == nullptr)
        slots_[to].take(lent, 0);
    else
        tape_.lent_steps_.push_back(lent);
    if (lender.borrowed) return true;
    if (!lender.lends) tape_.lenders_.push_back(from);
    lender.lends = true;
    return true;
}

/// Whether the gradient of `to` may lie in the buffer of `from`, the node that is being visited: that is whole and not
/// needed elsewhere.
template <class T>
bool Sweep<T>::may_hand_over(NodeIndex from, NodeIndex to) const {
    const Node<T>& node = tape_.at(to);
    const Slot& given = slots_[from];
    if (given.data == nullptr || given.lent || given.lends || is_requested(from)) return false;
    if (node.is_view || node.is_product || node.is_parameter) return false;
    const Node<T>& giver = tape_.at(from);
    return &giver.shape == &node.shape || giver.size() == node.size();
}

/// Lets the gradient of a node be the seed, as long as nothing is added to it.
template <class T>
bool Sweep<T>::borrow(NodeIndex index, const Node<T>& seed) {
    const Node<T>& node = tape_.at(index);
    if (node.rule == nullptr || node.is_view || node.is_product || is_requested(index)) return false;
    if (!seed.is_dense() || seed.shape != node.shape) return false;
    if (releases_ && tape_.at(seed.owner).rule != nullptr) return false;  // it may be released
    Slot& slot = slots_[index];
    slot.data = seed.value;
    slot.written = slot.lent = slot.borrowed = true;
    return true;
}

template <class T>
void Sweep<T>::copy_borrowed(Slot& slot, NodeIndex owner) {
    const T* const seed = std::exchange(slot.data, nullptr);
    slot.lent = slot.borrowed = false;
    slot.copied = true;
    find_buffer(slot, owner);
    add_rows(1, tape_.at(owner).size(), seed, 0, slot.data, 0, true);
}

#define XTAPE_INSTANTIATE(T)                                                                      \
    template bool Sweep<T>::is_requested(NodeIndex) const;                                        \
    template NodeIndex Sweep<T>::requested_owner(NodeIndex) const;                                \
    template void Sweep<T>::find_buffer(Slot&, NodeIndex);                                        \
    template T* Sweep<T>::chunk_gradient(ProductRecord::Place);                                   \
    template T* Sweep<T>::wait_in_chunk(ProductRecord::Place);                                    \
    template void Sweep<T>::release_chunk(std::size_t);                                           \
    template bool Sweep<T>::may_take_value(NodeIndex) const;                                      \
    template void Sweep<T>::take_value(NodeIndex);                                                \
    template void Sweep<T>::leave_values(std::size_t);                                            \
    template void Sweep<T>::zero(Slot&, NodeIndex);                                               \
    template bool Sweep<T>::lie_as_values(std::span<const NodeIndex>) const;                      \
    template typename Sweep<T>::Target Sweep<T>::target(NodeIndex);                               \
    template typename Sweep<T>::Target Sweep<T>::fresh_target(NodeIndex, NodeIndex, bool&, bool); \
    template T* Sweep<T>::begin_whole(NodeIndex, NodeIndex, bool&, const T*&, bool);              \
    template typename Sweep<T>::Target Sweep<T>::piece_target(NodeIndex, bool&);                  \
    template T* Sweep<T>::block_target(NodeIndex, bool, std::size_t, std::size_t, bool&);         \
    template void Sweep<T>::clear_other_pieces(Slot&, NodeIndex);                                 \
    template T* Sweep<T>::whole_target(NodeIndex, bool&);                                         \
    template T* Sweep<T>::steps_target(NodeIndex, std::size_t, std::size_t, bool&);               \
    template void Sweep<T>::clear_first_steps(Slot&, NodeIndex);                                  \
    template bool Sweep<T>::lend(NodeIndex, std::ptrdiff_t, NodeIndex);                           \
    template bool Sweep<T>::may_hand_over(NodeIndex, NodeIndex) const;                            \
    template bool Sweep<T>::borrow(NodeIndex, const Node<T>&);                                    \
    template void Sweep<T>::copy_borrowed(Slot&, NodeIndex);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
