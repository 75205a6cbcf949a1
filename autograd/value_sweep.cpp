#include "autograd/value_sweep.hpp"

#include <algorithm>
#include <cstring>

#include "autograd/strided.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// A rule's Vars, evaluated without being recorded, and added to gradients as numbers.
template <class T>
class ValuePull final : public Pull<T> {
public:
    ValuePull(Sweep<T>& sweep, NodeIndex index, const Var<T>& gradient)
        : Pull<T>(sweep.tape(), index, gradient), sweep_(sweep) {}

    bool wants(std::size_t k) const override { return sweep_.wants(this->node().inputs[k]); }

    using Pull<T>::add;
    void add(std::size_t k, const Var<T>& contribution) override {
        if (!wants(k)) return;
        const Node<T>& from = this->tape().node(contribution);
        sweep_.add(this->node().inputs[k], from.shape, from.value, from.full_strides());
    }

protected:
    void add_statement(std::size_t k, const Statement<T>& contribution) override {
        if (!wants(k)) return;
        const NodeIndex input = this->node().inputs[k];
        const auto target = sweep_.target(input);
        accumulate_statement(contribution, sweep_.node(input).shape, target.strides, target.data);
    }

private:
    Sweep<T>& sweep_;
};

}  // namespace

template <class T>
Sweep<T>::Sweep(Tape<T>& tape, NodeIndex last, bool commits)
    : tape_(tape),
      count_(last + 1),
      commits_(commits),
      views_requested_(tape.views_requested_),
      slots_(reinterpret_cast<Slot*>(tape.gradients().allocate(count_ * sizeof(Slot)))),
      chunk_count_(tape.products().chunks.size()),
      chunk_states_(
          reinterpret_cast<ChunkState*>(tape.gradients().allocate(chunk_count_ * sizeof(ChunkState)))) {
    std::uninitialized_value_construct_n(slots_, count_);
    std::uninitialized_value_construct_n(chunk_states_, chunk_count_);
}

template <class T>
Sweep<T>::~Sweep() {
    // After a complete sweep nothing is left to release; after an exception this is.
    for (std::size_t chunk = 0; chunk < chunk_count_; ++chunk) release_chunk(chunk);
    for (NodeIndex index = 0; index < count_; ++index) {
        slots_[index].lends = false;
        release(index);
    }
    Pool& pool = tape_.gradients();
    pool.release(reinterpret_cast<std::byte*>(slots_), count_ * sizeof(Slot));
    pool.release(reinterpret_cast<std::byte*>(chunk_states_), chunk_count_ * sizeof(ChunkState));
}

template <class T>
void Sweep<T>::want_only(std::span<const Var<T>> xs) {
    selective_ = true;
    for (const Var<T>& x : xs) {
        const Node<T>& node = tape_.node(x);
        if (x.index() >= count_) continue;
        slots_[x.index()].wanted = true;
        slots_[x.index()].requested = true;
        views_requested_ |= node.is_view;
    }
    for (NodeIndex index = 0; index < count_; ++index) {
        const Node<T>& node = tape_.at(index);
        if (!node.needs_gradient) continue;
        for (std::size_t k = 0; k < node.input_count; ++k)
            slots_[index].wanted |= slots_[node.inputs[k]].wanted;
    }
}

template <class T>
bool Sweep<T>::is_requested(NodeIndex index) const {
    const Node<T>& node = tape_.at(index);
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
        slot.data = chunk_gradient(node);
        slot.lent = true;
        slot.waits = true;
    } else if (node.is_parameter && commits_ && !tape_.watched(owner).has_grad) {
        // Nothing is lost if the sweep fails: until it commits, the parameter says that it has no gradient.
        Array<T>& gradient = tape_.watched(owner).grad;
        gradient.resize(node.shape);
        slot.data = gradient.data();
        slot.lent = true;
    } else {
        slot.data = reinterpret_cast<T*>(tape_.gradients().allocate(bytes_of(owner)));
    }
}

template <class T>
T* Sweep<T>::chunk_gradient(const Node<T>& node) {
    const auto [number, slot] = static_cast<const ProductRecord*>(node.payload)->place;
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
void Sweep<T>::release_chunk(std::size_t index) {
    ChunkState& state = chunk_states_[index];
    if (state.gradients == nullptr) return;
    const ProductChunk<T>& chunk = tape_.products().chunks[index];
    const ProductSite<T>& site = tape_.products().sites[chunk.site];
    for (std::size_t slot = 0; slot < chunk.slots; ++slot) {
        const NodeIndex member = chunk.members[slot];
        if (member >= count_ || !slots_[member].lent) continue;
        slots_[member].data = nullptr;
        slots_[member].written = slots_[member].lent = slots_[member].waits = false;
    }
    tape_.gradients().release(reinterpret_cast<std::byte*>(state.gradients),
                              chunk.slots * site.rows * site.cols * sizeof(T));
    state = {};
}

template <class T>
void Sweep<T>::zero(Slot& slot, NodeIndex owner) {
    std::memset(static_cast<void*>(slot.data), 0, bytes_of(owner));
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
T* Sweep<T>::whole_target(NodeIndex index, bool& first) {
    Slot& slot = prepared(index);
    first = !slot.written;
    slot.written = true;
    return slot.data;
}

template <class T>
void Sweep<T>::add(NodeIndex index, const Shape& shape, const T* from, const Strides& strides) {
    const Node<T>& node = tape_.at(index);
    if (gradient_owner(index) == index && (&shape == &node.shape || shape == node.shape)) {
        const bool dense = is_dense(shape, strides);
        bool first = false;
        T* to = whole_target(index, first);
        if (first && dense)
            std::memcpy(to, from, bytes_of(index));
        else if (first)
            copy_strided(shape, from, strides, to, dense_strides(shape));
        else if (dense)
            add_row(node.size(), from, 1, to, 1);
        else
            add_strided(shape, from, strides, to, dense_strides(shape));
        return;
    }
    const Shape common = broadcast_shapes("gradient", shape, node.shape);
    const Target to = target(index);
    add_strided(common, from, broadcast_strides(shape, strides, common), to.data,
                broadcast_strides(node.shape, to.strides, common));
}

template <class T>
void Sweep<T>::add_dense(NodeIndex index, const Shape& shape, const T* from) {
    const Node<T>& node = tape_.at(index);
    if (node.shape.size() == 1 && !shape.empty() && shape.back() == node.shape[0] &&
        gradient_owner(index) == index) {
        // A bias: the sums of the columns.
        const std::size_t columns = shape.back();
        Slot& slot = prepared(index);
        zero_if_fresh(slot, index);
        if (columns > 0)
            add_columns(element_count(shape) / columns, columns, from, static_cast<std::ptrdiff_t>(columns),
                        slot.data);
        return;
    }
    add(index, shape, from, dense_strides(shape));
}

template <class T>
bool Sweep<T>::lend(NodeIndex from, std::ptrdiff_t offset, NodeIndex to) {
    const Node<T>& node = tape_.at(to);
    Slot& lender = slots_[from];
    Slot& borrower = slots_[to];
    // A gradient that somebody asked for must stay as it is.
    if (lender.lent || is_requested(from) || is_requested(to)) return false;
    if (borrower.data != nullptr || gradient_owner(to) != to || node.is_product || node.is_parameter)
        return false;
    borrower.data = lender.data + offset;
    borrower.written = borrower.lent = true;
    lender.lends = true;
    return true;
}

template <class T>
void Sweep<T>::run(const Var<T>& y, const Var<T>& seed, bool release_values) {
    if (seed) {
        const Node<T>& from = tape_.node(seed);
        add(y.index(), from.shape, from.value, from.full_strides());
    } else {
        const T one = 1;
        add(y.index(), {}, &one, {});
    }
    if (release_values) tape_.released_ = std::max(tape_.released_, count_);
    for (NodeIndex index = count_; index-- > 0;) visit(index, release_values);
    if (commits_) commit();
}

template <class T>
void Sweep<T>::visit(NodeIndex index, bool release_values) {
    const Node<T>& node = tape_.at(index);
    if (node.feeds_products) flush_products(*this, index);
    const bool reached = slots_[index].written;
    if (reached && node.has_hooks) call_hooks(index);
    if (reached && node.rule != nullptr && wants(index)) {
        if (node.rule->pull_values != nullptr) {
            node.rule->pull_values(*this, index);
        } else {
            // What the rule computes on the way lives until it returns.
            const auto before = tape_.mark();
            {
                NoRecording values_only(tape_);
                const Var<T> gradient = tape_.borrow(node.shape, slots_[index].data);
                ValuePull<T> pull(*this, index, gradient);
                node.rule->pull(pull);
            }
            tape_.forget_since(before);
        }
    }
    const bool kept = slots_[index].requested || (commits_ && (node.keeps_gradient || node.is_parameter));
    if (!kept) release(index);
    if (release_values && node.rule != nullptr && !node.is_view && !node.is_multiplied && !node.is_product) {
        tape_.gradients().donate(reinterpret_cast<std::byte*>(node.value), bytes_of(index));
    }
}

template <class T>
void Sweep<T>::call_hooks(NodeIndex index) {
    const Var<T> gradient = tape_.borrow(tape_.at(index).shape, slots_[index].data);
    NoRecording values_only(tape_);
    const Var<T> replaced = tape_.apply_hooks(index, gradient);
    if (replaced.index() == gradient.index()) return;
    const Node<T>& from = tape_.node(replaced);
    copy_strided(from.shape, static_cast<const T*>(from.value), from.full_strides(), slots_[index].data,
                 dense_strides(from.shape));
}

/// The sweep is over: nothing throws from here on.
template <class T>
void Sweep<T>::commit() {
    for (NodeIndex index = 0; index < count_; ++index) {
        Node<T>& node = tape_.at(index);
        Slot& slot = slots_[index];
        if (!slot.written || !(node.keeps_gradient || node.is_parameter)) continue;
        if (node.is_parameter) {
            auto& storage = tape_.watched(index);
            if (slot.lent)
                storage.has_grad = true;
            else
                add_row<T>(node.size(), slot.data, 1, storage.grad.data(), 1);
            continue;
        }
        T* kept = tape_.kept_gradient(index);
        if (kept == nullptr) {
            tape_.keep_gradient(index, slot.data);
            slot = {};
        } else {
            add_row<T>(node.size(), slot.data, 1, kept, 1);
        }
    }
}

template <class T>
Var<T> Sweep<T>::take(const Var<T>& x) {
    const Shape shape = x.shape();
    const std::size_t count = element_count(shape);
    T* value = tape_.allocate(count);
    if (x.index() < count_ && slots_[x.index()].written)
        std::copy_n(slots_[x.index()].data, count, value);
    else
        std::fill_n(value, count, T(0));
    return tape_.borrow(shape, value);
}

template <class T>
void Sweep<T>::release(NodeIndex index) {
    Slot& slot = slots_[index];
    if (slot.data == nullptr || slot.lent || slot.lends) return;
    tape_.gradients().release(reinterpret_cast<std::byte*>(slot.data), bytes_of(index));
    slot.data = nullptr;
    slot.written = false;
}

template class Sweep<float>;
template class Sweep<double>;

}  // namespace xtape
