#include "autograd/loop.hpp"

#include <algorithm>
#include <memory>

#include "autograd/contraction.hpp"
#include "autograd/tape.hpp"
#include "autograd/views.hpp"

namespace xtape {

// ---- recording --------------------------------------------------------------------------------------------------

template <class T>
Steps<T>::Steps(Tape<T>& tape, std::size_t count, bool alike)
    : tape_(tape), count_(count), alike_(alike && count > first_steps), outermost_(tape.steps() == 0) {
    if (!outermost_) return;
    tape_.forbid_repeating();  // by a replay: a sequence notes its own calls
    StepMemory<T>& memory = tape_.step_memory_;
    memory.steps = count;
    memory.step = memory.next = 0;
    memory.alike = alike_;
    memory.regular = true;
    memory.blocks.clear();
    starts_[0] = static_cast<NodeIndex>(tape_.size());
}

template <class T>
Steps<T>::~Steps() {
    if (!outermost_) return;
    tape_.step_memory_.steps = 0;
    tape_.log_ = nullptr;
}

template <class T>
std::size_t Steps<T>::done(std::span<const Var<T>> state) {
    StepMemory<T>& memory = tape_.step_memory_;
    if (!outermost_ || memory.steps == 0) return 0;
    memory.regular &= memory.next == memory.blocks.size();
    ++memory.step;
    memory.next = 0;
    if (!alike_ || ++recorded_ >= first_steps) return 0;

    tape_.log_ = nullptr;
    starts_[recorded_] = static_cast<NodeIndex>(tape_.size());
    if (recorded_ == 3) return matches(state) ? repeat() : 0;
    tape_.log_ = &tape_.logs_[recorded_ - 1];
    tape_.log_->clear();
    for (std::size_t k = 0; k < state.size(); ++k) state_[k] = state[k].index();
    return 0;
}

/// Whether steps 1 and 2 did the same, so that the next ones can be foretold.
template <class T>
bool Steps<T>::matches(std::span<const Var<T>> state) {
    const NodeIndex period = start(2) - start(1);
    if (start(3) - start(2) != period || !tape_.step_memory_.regular || state.size() > max_state)
        return false;
    for (std::size_t k = 0; k < state.size(); ++k) {
        const NodeIndex distance = state[k].index() - state_[k];
        // What is handed on step by step from the initial state doesn't show yet what it will be.
        if (distance != 0 && (distance != period || state_[k] < start(0))) return false;
        // Who uses it later finds its owner in the same step, which is made along with it.
        const NodeIndex owner = tape_.at(state[k].index()).owner;
        for (NodeIndex step : {start(1), start(2)}) {
            if (owner < step && owner >= start(1) && state[k].index() >= step) return false;
        }
    }
    for (NodeIndex offset = 0; offset < period; ++offset) {
        if (!node_matches(offset)) return false;
    }
    return tape_.logs_[1].follows(tape_.logs_[0]);
}

template <class T>
bool Steps<T>::node_matches(NodeIndex offset) {
    const NodeIndex period = start(2) - start(1);
    const Node<T>& a = tape_.at(start(1) + offset);
    const Node<T>& b = tape_.at(start(2) + offset);
    if (a.rule == nullptr || a.rule != b.rule || a.rule->later == nullptr || &a.shape != &b.shape ||
        a.strides != b.strides || a.input_count != b.input_count || a.needs_gradient != b.needs_gradient) {
        return false;
    }
    for (const Node<T>* node : {&a, &b}) {
        if (node->keeps_gradient || node->has_hooks || node->feeds_products) return false;
    }
    for (std::size_t k = 0; k < a.input_count; ++k) {
        // The gradient goes to what lies before all of them, or no further back than to the step before; that of a view
        // to the view's owner.
        const auto moves_on = [&](NodeIndex from, NodeIndex to) {
            return to == from ? to < start(1) : to - from == period && to >= start(1);
        };
        if (!moves_on(a.inputs[k], b.inputs[k])) return false;
        const Node<T>& from = tape_.at(a.inputs[k]);
        const Node<T>& to = tape_.at(b.inputs[k]);
        if (!moves_on(from.owner, to.owner)) return false;
        if (b.inputs[k] < start(1) || b.inputs[k] >= start(2)) continue;
        // What the next step takes lies as far on: it may be a view, at first of something in the initial state.
        const Node<T>& next = tape_.at(b.inputs[k] + period);
        if (next.value - to.value != to.value - from.value || next.owner - to.owner != to.owner - from.owner)
            return false;
    }
    alignas(std::max_align_t) std::byte room[payload_room];
    const void* const last = a.rule->later(a, b, static_cast<std::ptrdiff_t>(count_) - 3, room);
    if (last == nullptr || (b.is_product && !detail::can_repeat_product(tape_, a, b))) return false;
    if (!b.is_view) return true;
    const auto& view = *static_cast<const View*>(last);
    return view.kind != View::Kind::select || view.start < tape_.at(b.inputs[0]).shape[view.axis];
}

/// Of a product in step 1, with room for those of all others.
template <class T>
ProductPlaces Steps<T>::first_place(NodeIndex offset, NodeIndex period) const {
    const auto place_of = [&](NodeIndex k) {
        return static_cast<const ProductRecord*>(tape_.at(start(2) + k).payload)->place;
    };
    const auto site_of = [&](NodeIndex k) { return tape_.products().chunks[place_of(k).chunk].site; };
    ProductPlaces places;
    // Products of a step that are by the same matrices take turns.
    places.distance = 0;
    for (NodeIndex k = 0; k < period; ++k)
        places.distance += tape_.at(start(2) + k).is_product && site_of(k) == site_of(offset);
    const std::size_t in_chunk = tape_.products().sites[site_of(offset)].steps_per_chunk;
    places.runs =
        tape_.template allocate_records<ProductPlaces::Run>(count_ * places.distance / in_chunk + 2);
    places.runs[places.count++] = {1, place_of(offset)};
    return places;
}

template <class T>
std::size_t Steps<T>::repeat() {
    const std::size_t count = count_ - 3;
    const NodeIndex period = start(2) - start(1);
    auto* const distances = tape_.template allocate_records<std::ptrdiff_t>(period);
    auto* const products = tape_.template allocate_records<ProductPlaces>(period);
    bool take_turns = false;
    for (NodeIndex offset = 0; offset < period; ++offset) {
        const Node<T>& a = tape_.at(start(1) + offset);
        Node<T>& b = tape_.at(start(2) + offset);
        b.is_multiplied = a.is_multiplied;  // by the step that now follows
        distances[offset] = b.value - a.value;
        products[offset] = b.is_product ? first_place(offset, period) : ProductPlaces();
        take_turns |= products[offset].distance > 1;
    }
    tape_.reserve_places(start(3) + static_cast<NodeIndex>(count) * period);
    tape_.size_ += static_cast<NodeIndex>(count) * period;

    CallLog<T>& log = tape_.logs_[1];
    const std::size_t end = count + 2;
    auto* const entered = tape_.template allocate_records<std::size_t>(period);  // so far, of each product
    std::fill_n(entered, period, std::size_t{2});
    for (std::size_t step = 2; step < end;) {
        std::size_t ready = end;
        for (NodeIndex offset = 0; offset < period; ++offset) {
            ProductPlaces& places = products[offset];
            if (!places.exist()) continue;
            if (entered[offset] == step) {
                const NodeIndex member = start(1) + static_cast<NodeIndex>(step) * period + offset;
                const auto [place, entries] = detail::repeat_products(tape_, places[step - 1], member, period,
                                                                      take_turns ? 1 : end - step);
                const auto expected = places[step];
                if (place.chunk != expected.chunk || place.slot != expected.slot)
                    places.runs[places.count++] = {step, place};
                entered[offset] += entries;
            }
            ready = std::min(ready, entered[offset]);
        }
        log.repeat(ready - step, tape_.team());
        step = ready;
    }
    using Nodes = typename Loop<T>::Nodes;
    auto* const nodes = tape_.template allocate_records<Nodes>(count + 2);
    std::fill_n(nodes, count + 2, Nodes::missing);
    nodes[0] = nodes[1] = Nodes::made;
    tape_.loops_.push_back({start(1), period, tape_.life_, count + 2, nodes, distances, products});
    // What follows a sequence uses its last state, if any.
    tape_.make_step(tape_.loops_.back(), count + 1, Nodes::made);
    return count;
}

// ---- nodes on demand --------------------------------------------------------------------------------------------

template <class T>
T* Tape<T>::allocate_in_step(std::size_t count, std::size_t spare) {
    StepMemory<T>& memory = step_memory_;
    constexpr std::size_t unit = buffer_alignment / sizeof(T);
    constexpr std::size_t most_spare = unit;
    const std::size_t size = std::max<std::size_t>((count + unit - 1) / unit, 1) * unit;
    if (memory.step == 0) {
        // A step's spare room is the next one's.
        T* const first = allocate_apart(size * memory.steps + most_spare);
        memory.blocks.push_back({first, size});
        ++memory.next;
        return first;
    }
    bool fits = memory.next < memory.blocks.size() && memory.blocks[memory.next].size == size;
    if (!fits && memory.alike && memory.step == 1) {
        // The first state may need no gradient where later ones do: then the first step keeps less for the way back.
        T* const first = allocate_apart(size * (memory.steps - 1) + most_spare);
        memory.blocks.insert(memory.blocks.begin() + static_cast<std::ptrdiff_t>(memory.next),
                             {first - size, size});
        fits = true;
    }
    if (fits && memory.step < memory.steps) return memory.blocks[memory.next++].first + memory.step * size;
    memory.regular = false;
    return allocate_apart(count + spare);
}

template <class T>
const Loop<T>* Tape<T>::loop_at(NodeIndex index) const {
    for (std::size_t k = loops_.size(); k-- > 0;) {
        if (index >= loops_[k].first) return index < loops_[k].end() ? &loops_[k] : nullptr;
    }
    return nullptr;
}

template <class T>
void Tape<T>::check_missing(const Var<T>& var) const {
    const Loop<T>* loop = var.tape_ == this && var.index_ < size_ ? loop_missing(var.index_) : nullptr;
    if (loop == nullptr || loop->stamp != var.stamp_) throw_invalid(var);
}

template <class T>
const Node<T>& Tape<T>::missing_node(const Var<T>& var) const {
    check_missing(var);
    // A node is made where others will find it; nothing that could be seen of the tape changes.
    const_cast<Tape*>(this)->make_missing(var.index_);
    return at(var.index_);
}

template <class T>
void Tape<T>::make_missing(NodeIndex index) {
    const Loop<T>* const loop = loop_missing(index);
    if (loop == nullptr) return;
    const std::size_t step = loop->step_of(index);
    make_step(*loop, step, Loop<T>::Nodes::made);
    // What is a view may have its owner in the step before.
    if (loop->nodes[step - 1] == Loop<T>::Nodes::missing) make_step(*loop, step - 1, Loop<T>::Nodes::made);
}

template <class T>
void Tape<T>::make_nodes(const Loop<T>& loop) {
    for (std::size_t step = 0; step < loop.steps; ++step) make_missing(loop.begin_of(step));
}

template <class T>
void Tape<T>::make_step(const Loop<T>& loop, std::size_t step, typename Loop<T>::Nodes how) {
    loop.nodes[step] = how;
    const auto steps = static_cast<std::ptrdiff_t>(step) - 1;  // since step 1
    std::size_t inputs = 0;
    for (NodeIndex offset = 0; offset < loop.period; ++offset) inputs += at(loop.first + offset).input_count;
    // Not of the arena, which may be rewound to before this moment.
    const std::size_t bytes = loop.period * payload_room + inputs * sizeof(NodeIndex);
    std::byte* room = gradients_.allocate(bytes);
    made_steps_.push_back({loop.begin_of(step), room, bytes});
    auto* indices = reinterpret_cast<NodeIndex*>(room + loop.period * payload_room);
    for (NodeIndex offset = 0; offset < loop.period; ++offset, room += payload_room) {
        const Node<T>& a = at(loop.first + offset);
        const Node<T>& b = at(loop.begin_of(1) + offset);
        Node<T>& node = *std::construct_at(place_for(loop.begin_of(step) + offset), b);
        const auto moved = [steps](NodeIndex from, NodeIndex to) {
            return static_cast<NodeIndex>(to + static_cast<NodeIndex>(steps) * (to - from));
        };
        node.value = b.value + steps * loop.value_distances[offset];
        node.owner = moved(a.owner, b.owner);
        node.keeps_gradient = node.has_hooks = false;  // those are that one's alone
        node.inputs = indices;
        for (std::size_t k = 0; k < b.input_count; ++k) *indices++ = moved(a.inputs[k], b.inputs[k]);
        if (b.is_product) {
            auto* const record = new (room) ProductRecord(*static_cast<const ProductRecord*>(b.payload));
            record->place = loop.products[offset][step];
            node.payload = record;
        } else {
            node.payload = b.rule->later(a, b, steps, room);
        }
    }
}

template <class T>
T* Tape<T>::value_at(NodeIndex index) const {
    const Loop<T>* const loop = loop_missing(index);
    if (loop == nullptr) return at(index).value;
    const NodeIndex offset = loop->offset_of(index);
    const auto step = static_cast<std::ptrdiff_t>(loop->step_of(index));
    return at(loop->begin_of(1) + offset).value + (step - 1) * loop->value_distances[offset];
}

template <class T>
NodeIndex Tape<T>::input_at(NodeIndex index, std::size_t k) const {
    const Loop<T>* const loop = loop_missing(index);
    if (loop == nullptr) return at(index).inputs[k];
    const NodeIndex offset = loop->offset_of(index);
    const NodeIndex steps = static_cast<NodeIndex>(loop->step_of(index)) - 1;
    const NodeIndex input = at(loop->begin_of(1) + offset).inputs[k];
    return input + steps * (input - at(loop->first + offset).inputs[k]);
}

#define XTAPE_INSTANTIATE(T)                                                       \
    template class Steps<T>;                                                       \
    template T* Tape<T>::allocate_in_step(std::size_t, std::size_t);               \
    template const Loop<T>* Tape<T>::loop_at(NodeIndex) const;                     \
    template const Node<T>& Tape<T>::missing_node(const Var<T>&) const;            \
    template void Tape<T>::make_missing(NodeIndex);                                \
    template void Tape<T>::check_missing(const Var<T>&) const;                     \
    template void Tape<T>::make_nodes(const Loop<T>&);                             \
    template void Tape<T>::make_step(const Loop<T>&, std::size_t, Loop<T>::Nodes); \
    template T* Tape<T>::value_at(NodeIndex) const;                                \
    template NodeIndex Tape<T>::input_at(NodeIndex, std::size_t) const;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
