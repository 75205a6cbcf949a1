#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "autograd/value_sweep.hpp"

// How a sweep goes over a loop: two steps as ever, the rest from the list of calls that they made, see
// repeated_sweep.cpp. Nodes that were left out have no slots, until they are made.

namespace xtape {
namespace {

template <class F>
class AtExit {
public:
    explicit AtExit(F f) : f_(std::move(f)) {}
    ~AtExit() { f_(); }
    AtExit(const AtExit&) = delete;
    AtExit& operator=(const AtExit&) = delete;

private:
    F f_;
};

}  // namespace

// ---- slots --------------------------------------------------------------------------------------------------------

/// Of the nodes begin ... end - 1 that there are.
template <class T>
void Sweep<T>::clear_slots(NodeIndex begin, NodeIndex end) {
    const auto clear = [&](NodeIndex first, NodeIndex last) {
        first = std::max(first, begin);
        last = std::min(last, end);
        if (first < last) std::uninitialized_value_construct(slots_ + first, slots_ + last);
    };
    NodeIndex there = begin;
    for (const Loop<T>& loop : tape_.loops_) {
        if (loop.end() <= begin) continue;
        clear(there, loop.begin_of(2));
        there = loop.end();
    }
    clear(there, end);
    for (const auto& step : tape_.made_steps_)
        clear(step.first, step.first + tape_.loop_at(step.first)->period);
    prepared_steps_ = tape_.made_steps_.size();
}

/// Gives slots to steps that were made since.
template <class T>
void Sweep<T>::prepare_made_steps() {
    for (; prepared_steps_ < tape_.made_steps_.size(); ++prepared_steps_) {
        const NodeIndex first = tape_.made_steps_[prepared_steps_].first;
        const NodeIndex end = std::min(first + tape_.loop_at(first)->period, count_);
        for (NodeIndex index = first; index < end; ++index)
            std::construct_at(slots_ + index, lent_slot(index));
    }
}

/// As it is before a node of a loop is made.
template <class T>
typename Sweep<T>::Slot Sweep<T>::lent_slot(NodeIndex index) const {
    for (const LentSteps<T>& lent : tape_.lent_steps_) {
        if (index < lent.first || (index - lent.first) % lent.period != 0) continue;
        const std::size_t step = (index - lent.first) / lent.period;
        if (step >= lent.count) continue;
        Slot slot{};
        slot.take(lent, step);
        return slot;
    }
    return {};
}

/// Of the nodes of a step.
template <class T>
void Sweep<T>::copy_slots(NodeIndex first, NodeIndex count, Slot* to) const {
    if (tape_.loop_missing(first) == nullptr) {
        std::copy_n(slots_ + first, count, to);
        return;
    }
    for (NodeIndex k = 0; k < count; ++k) to[k] = lent_slot(first + k);
}

template <class T>
std::size_t Sweep<T>::lend_on(std::span<const NodeIndex> nodes, std::ptrdiff_t distance) {
    const bool is_missing = tape_.loop_missing(nodes[0]) != nullptr;
    const std::size_t even = tape_.even_steps(nodes);
    if (even == 1) {
        if (!is_missing) return 0;
        make_node(nodes[0]);  // steps that are lent to one at a time can't be repeated
        tape_.lent_steps_.pop_back();
        return 0;
    }
    const Loop<T>& loop = *tape_.loop_at(nodes[0]);
    const Slot& slot = slots_[nodes[0]];
    if (!is_missing) tape_.lent_steps_.push_back({nodes[0], 1, loop.period, slot.data, 0, slot.borrowed});

    // Up to one that somebody has looked at, or that was lent to before.
    const auto* const state = loop.nodes + loop.step_of(nodes[0]);
    std::size_t count = 1;
    while (count < even && state[count] == Loop<T>::Nodes::missing) ++count;
    LentSteps<T>& lent = tape_.lent_steps_.back();
    for (const LentSteps<T>& other : std::span(tape_.lent_steps_).first(tape_.lent_steps_.size() - 1)) {
        if (other.first <= nodes[0] || (other.first - nodes[0]) % loop.period != 0) continue;
        count = std::min<std::size_t>(count, (other.first - nodes[0]) / loop.period);
    }
    lent.distance = distance;
    lent.count = count;
    return count - 1;
}

// ---- steps --------------------------------------------------------------------------------------------------------

template <class T>
bool Sweep<T>::has_keepers(const Loop<T>& loop) const {
    const auto keeper = std::ranges::lower_bound(tape_.keepers_, loop.first);
    return keeper != tape_.keepers_.end() && *keeper < loop.end();
}

/// Visits the steps of a loop from the last one to the first. Two steps are logged; if they made the same calls, so
/// will others, up to one that something else used.
template <class T>
void Sweep<T>::visit_loop(const Loop<T>& loop) {
    using Nodes = typename Loop<T>::Nodes;
    // The slots of three steps as they were before each was visited.
    const NodeIndex period = loop.period;
    const Pooled<Slot> slots(tape_.gradients(), 3 * period);
    const auto before = [&](std::size_t step) { return slots.data() + step % 3 * period; };
    const auto keep = [&](std::size_t step) {
        std::copy_n(slots_ + loop.begin_of(step), period, before(step));
    };
    loop_first_ = loop.first;
    const AtExit tidy_up([&] {
        loop_first_ = 0;
        tape_.log_ = nullptr;
        // From here on anybody may use them.
        std::replace(loop.nodes, loop.nodes + loop.steps, Nodes::made_by_sweep, Nodes::made);
    });
    // The last step as the others will be, to which the next one has added.
    for (NodeIndex index = loop.begin_of(loop.steps - 1); index < loop.end(); ++index)
        if (slots_[index].borrowed) copy_borrowed(slots_[index], index);
    std::size_t logged = 0;  // steps in a row
    keep(loop.steps - 1);
    for (std::size_t step = loop.steps; step-- > 0;) {
        {
            // Nodes don't take the memory that the last step took for a while, and this one is to take.
            const Pool::Hold held(tape_.gradients(), tape_.logs_[(step + 1) % 2].fixed());
            make_step(loop, step);
            // A visit looks at the inputs, which may be of the step before.
            if (step > 0) make_step(loop, step - 1);
        }
        CallLog<T>& log = tape_.logs_[step % 2];
        log.clear();
        tape_.gradients().settle();
        tape_.log_ = &log;
        // What others left for a product is added to here, where the next steps will write.
        for (NodeIndex k = 0; step > 0 && k < period; ++k) {
            const Slot& slot = slots_[loop.begin_of(step - 1) + k];
            if (loop.products[k].exist() && slot.data != nullptr && !slot.borrowed) log.give_up();
        }
        visit_all(loop.begin_of(step + 1), loop.begin_of(step), false);
        if (step > 0) keep_buffers(loop, step - 1, before(step));
        tape_.log_ = nullptr;
        ++logged;
        if (step == 0) break;
        keep(step - 1);
        if (logged < 2 || !go_on(before(step + 1), before(step), before(step - 1), period)) continue;
        if (!log.follows(tape_.logs_[(step + 1) % 2])) continue;
        const std::size_t count = repeat_steps(loop, step, repeatable_steps(loop, step, before(step)));
        if (count == 0) continue;
        if (step == count) break;
        step -= count;
        keep(step - 1);
        logged = 0;
    }
}

template <class T>
void Sweep<T>::make_step(const Loop<T>& loop, std::size_t step) {
    if (loop.nodes[step] == Loop<T>::Nodes::missing)
        tape_.make_step(loop, step, Loop<T>::Nodes::made_by_sweep);
    prepare_made_steps();  // also those that somebody's rule has made
}

/// Whether the slots of three steps that follow each other hold the same, each a distance on.
template <class T>
bool Sweep<T>::go_on(const Slot* later, const Slot* slots, const Slot* earlier, NodeIndex period) {
    for (NodeIndex k = 0; k < period; ++k) {
        for (const Slot* other : {later + k, earlier + k}) {
            if (other->written != slots[k].written || other->lent != slots[k].lent ||
                other->borrowed != slots[k].borrowed || other->lends ||
                (other->data == nullptr) != (slots[k].data == nullptr)) {
                return false;
            }
        }
        if (slots[k].data == nullptr) continue;
        const std::ptrdiff_t distance = slots[k].data - later[k].data;
        if (earlier[k].data - slots[k].data != distance || (!slots[k].lent && distance != 0)) return false;
    }
    return true;
}

/// Lets gradients that were left for a step lie where those left for the step after it did, if they may: so two steps that
/// differ in nothing but which buffer is whose come out as alike.
template <class T>
void Sweep<T>::keep_buffers(const Loop<T>& loop, std::size_t step, const Slot* before) {
    // Twice, since one may give back what another waits for.
    for (NodeIndex k = 0; k < 2 * loop.period; ++k) {
        const Slot& wanted = before[k % loop.period];
        const NodeIndex index = loop.begin_of(step) + k % loop.period;
        Slot& slot = slots_[index];
        if (slot.data == wanted.data || slot.data == nullptr || slot.lent || slot.lends || is_partial(slot))
            continue;
        if (wanted.data == nullptr || wanted.lent) continue;
        if (!tape_.gradients().take(reinterpret_cast<std::byte*>(wanted.data), bytes_of(index))) continue;
        tape_.log()->add_fixed(wanted.data);
        add_rows(1, tape_.at(index).size(), slot.data, 0, wanted.data, 0, true);
        tape_.gradients().release(reinterpret_cast<std::byte*>(slot.data), bytes_of(index));
        slot.data = wanted.data;
    }
}

/// How many steps before this one will do what it did: those whose gradients, and those of the step before, have
/// received the same from outside of the loop. `before` is what the step's slots held when it was visited.
template <class T>
std::size_t Sweep<T>::repeatable_steps(const Loop<T>& loop, std::size_t step, const Slot* before) const {
    using Nodes = typename Loop<T>::Nodes;
    if (step < 3 || loop.nodes[step - 2] != Nodes::missing) return 0;
    // Only stacks have reached steps that are missing, and stretches of them at a time. Of those that were made, such as
    // the step before, they may have reached some one by one.
    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        const Slot& slot = slots_[loop.begin_of(step - 1) + offset];
        const Slot earlier = lent_slot(loop.begin_of(step - 2) + offset);
        // One that was lent a seed reads it and has the sum elsewhere.
        const bool is_given = slot.lent && (slot.borrowed || !loop.products[offset].exist());
        const bool reached = slot.copied || is_given;
        if (reached != (earlier.data != nullptr)) return 0;
        if (slot.copied && (!earlier.borrowed || !tape_.logs_[step % 2].will_use(earlier.data))) return 0;
        if (is_given && earlier.data - slot.data != slot.data - before[offset].data) return 0;
    }
    std::size_t lowest = 0;
    for (const LentSteps<T>& lent : tape_.lent_steps_) {
        if (lent.first < loop.first || lent.first >= loop.end()) continue;
        const std::size_t first = loop.step_of(lent.first);
        const std::size_t end = first + lent.count;
        if (first < step) lowest = std::max(lowest, end < step ? end : first);
    }
    std::size_t count = 0;
    for (; count < step; ++count) {
        const std::size_t next = step - 2 - count;  // wraps to the step before the loop
        if (count + 2 <= step && loop.nodes[next] == Nodes::missing) {
            if (next < lowest) break;
            continue;
        }
        if (count < 2 || loop.begin_of(0) < loop.period) break;
        const NodeIndex period = loop.period;
        const Pooled<Slot> slots(tape_.gradients(), 3 * period);
        const NodeIndex end = loop.begin_of(step + 1 - count);
        for (NodeIndex k = 1; k <= 3; ++k)
            copy_slots(end - k * period, period, slots.data() + (3 - k) * period);
        if (!go_on(slots.data() + 2 * period, slots.data() + period, slots.data(), period)) break;
    }
    return count;
}

#define XTAPE_INSTANTIATE(T)                                                            \
    template void Sweep<T>::clear_slots(NodeIndex, NodeIndex);                          \
    template void Sweep<T>::prepare_made_steps();                                       \
    template typename Sweep<T>::Slot Sweep<T>::lent_slot(NodeIndex) const;              \
    template std::size_t Sweep<T>::lend_on(std::span<const NodeIndex>, std::ptrdiff_t); \
    template bool Sweep<T>::has_keepers(const Loop<T>&) const;                          \
    template void Sweep<T>::make_step(const Loop<T>&, std::size_t);                     \
    template void Sweep<T>::visit_loop(const Loop<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
