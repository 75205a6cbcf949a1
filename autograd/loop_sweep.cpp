#include <algorithm>
#include <utility>

#include "autograd/value_sweep.hpp"

// How a sweep goes over a loop: two steps as ever, the rest from the list of calls that they made.

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

template <class T>
std::size_t Sweep<T>::lend_on(std::span<const NodeIndex> nodes, std::ptrdiff_t distance) {
    const std::size_t even = tape_.even_steps(nodes);
    if (even == 1) {
        tape_.make_node(nodes[0]);  // steps that are lent to one at a time can't be repeated
        return 0;
    }
    const Loop<T>& loop = *tape_.loop_at(nodes[0]);
    const auto* const state = loop.nodes + loop.step_of(nodes[0]);
    Slot lent = slots_[nodes[0]];
    std::size_t count = 1;
    for (; count < even && state[count] == Loop<T>::Nodes::missing; ++count) {
        Slot& slot = slots_[nodes[count]];
        if (slot.data != nullptr) break;
        lent.data += distance;
        slot = lent;
    }
    tape_.lent_steps_.push_back({nodes[0], count});
    return count - 1;
}

template <class T>
bool Sweep<T>::has_keepers(const Loop<T>& loop) const {
    const auto keeper = std::ranges::lower_bound(tape_.keepers_, loop.first);
    return keeper != tape_.keepers_.end() && *keeper < loop.end();
}

/// Visits the steps of a loop from the last one to the first. Two steps are logged; if they made the same calls, so
/// will others, up to one that something else used, or that ends a chunk of products.
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
    const AtExit tidy_up([&] {
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
        // A visit looks at the inputs, which may be of the step before.
        for (std::size_t s : {step, step > 0 ? step - 1 : 0}) {
            if (loop.nodes[s] == Nodes::missing) tape_.make_step(loop, s, Nodes::made_by_sweep);
        }
        CallLog<T>& log = tape_.logs_[step % 2];
        log.clear();
        tape_.log_ = &log;
        visit_all(loop.begin_of(step + 1), loop.begin_of(step), false);
        tape_.log_ = nullptr;
        ++logged;
        if (step == 0) break;
        keep(step - 1);
        if (logged < 2 || !go_on(before(step + 1), before(step), before(step - 1), period)) continue;
        if (!log.follows(tape_.logs_[(step + 1) % 2])) continue;
        const std::size_t count = repeatable_steps(loop, step);
        if (count == 0) continue;
        repeat_steps(loop, step, count);
        if (step == count) break;
        step -= count;
        keep(step - 1);
        logged = 0;
    }
}

/// Whether the slots of three steps that follow each other hold the same, each a distance on.
template <class T>
bool Sweep<T>::go_on(const Slot* later, const Slot* slots, const Slot* earlier, NodeIndex period) {
    for (NodeIndex k = 0; k < period; ++k) {
        for (const Slot* other : {later + k, earlier + k}) {
            if (other->written != slots[k].written || other->lent != slots[k].lent ||
                other->borrowed != slots[k].borrowed || other->lends || other->waits ||
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

/// How many of the steps before this one will do what it did: those whose gradients, and those of the step before, have
/// received the same from outside of the loop.
template <class T>
std::size_t Sweep<T>::repeatable_steps(const Loop<T>& loop, std::size_t step) const {
    using Nodes = typename Loop<T>::Nodes;
    if (step < 3 || loop.nodes[step - 2] != Nodes::missing) return 0;
    // Only stacks have reached steps that are missing, and stretches of them at a time. Of those that were made, such as
    // the step before, they may have reached some one by one.
    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        const Slot& slot = slots_[loop.begin_of(step - 1) + offset];
        const Slot& earlier = slots_[loop.begin_of(step - 2) + offset];
        // One that was lent a seed reads it and has the sum elsewhere.
        const bool reached = slot.copied || (slot.lent && !slot.waits);
        if (reached != (earlier.data != nullptr)) return 0;
        if (slot.copied && (!earlier.borrowed || !tape_.logs_[step % 2].will_use(earlier.data))) return 0;
        if (reached && !slot.copied &&
            earlier.data - slot.data != slot.data - slots_[loop.begin_of(step) + offset].data)
            return 0;
    }
    std::size_t lowest = 0;
    for (const EvenSteps& lent : tape_.lent_steps_) {
        if (tape_.loop_at(lent.first) != &loop) continue;
        const std::size_t first = loop.step_of(lent.first);
        const std::size_t end = first + lent.count;
        if (first < step) lowest = std::max(lowest, end < step ? end : first);
    }
    // First what the chunks allow, so that each step is looked at once.
    std::size_t most = step;
    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        if (loop.products[offset] == nullptr) continue;
        const bool waits = slots_[loop.begin_of(step) + offset].waits;
        if (slots_[loop.begin_of(step + 1) + offset].waits != waits) return 0;
        if (!waits) continue;
        const auto place = loop.products[offset][step].place;
        const auto later = loop.products[offset][step + 1].place;
        if (later.chunk != place.chunk || later.slot <= place.slot) return 0;
        const std::size_t distance = later.slot - place.slot;
        const std::size_t members = tape_.products().chunks[place.chunk].member_count;
        most = std::min(
            {most, place.slot / distance, (members - chunk_states_[place.chunk].visited - 1) / distance});
    }
    std::size_t count = 0;
    for (; count < most; ++count) {
        const std::size_t before = step - 2 - count;  // wraps to the step before the loop
        if (count + 2 <= step && loop.nodes[before] == Nodes::missing) {
            if (before < lowest) break;
            continue;
        }
        if (count < 2 || loop.begin_of(0) < loop.period) break;
        const Slot* const slots = slots_ + (loop.begin_of(step - 1 - count) - loop.period);
        if (!go_on(slots + 2 * loop.period, slots + loop.period, slots, loop.period)) break;
    }
    return count;
}

template <class T>
void Sweep<T>::repeat_steps(const Loop<T>& loop, std::size_t step, std::size_t count) {
    CallLog<T>& log = tape_.logs_[step % 2];
    log.repeat(count, tape_.team());

    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        if (loop.products[offset] == nullptr || !slots_[loop.begin_of(step) + offset].waits) continue;
        const auto place = loop.products[offset][step].place;
        const auto later = loop.products[offset][step + 1].place;
        const std::ptrdiff_t distance = chunk_gradient(later) - chunk_gradient(place);
        Slot slot{};
        slot.data = chunk_gradient(place);
        slot.written = slot.lent = slot.waits = true;
        for (std::size_t s = step; s-- > step - count;) {
            slot.data -= distance;
            slots_[loop.begin_of(s) + offset] = slot;
        }
        chunk_states_[place.chunk].visited += count;
    }
    // What the first of them left for the step before it is now left for the step before the last one.
    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        const NodeIndex index = loop.begin_of(step - 1) + offset;
        Slot& first = slots_[index];
        if (first.data == nullptr || first.lent) continue;
        slots_[index - static_cast<NodeIndex>(count) * loop.period] = first;
        first = {};
    }
}

#define XTAPE_INSTANTIATE(T)                                                            \
    template std::size_t Sweep<T>::lend_on(std::span<const NodeIndex>, std::ptrdiff_t); \
    template bool Sweep<T>::has_keepers(const Loop<T>&) const;                          \
    template void Sweep<T>::visit_loop(const Loop<T>&);                                 \
    template bool Sweep<T>::go_on(const Slot*, const Slot*, const Slot*, NodeIndex);    \
    template std::size_t Sweep<T>::repeatable_steps(const Loop<T>&, std::size_t) const; \
    template void Sweep<T>::repeat_steps(const Loop<T>&, std::size_t, std::size_t);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
