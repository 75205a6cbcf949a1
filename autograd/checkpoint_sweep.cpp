#include <algorithm>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/checkpoint.hpp"
#include "autograd/value_sweep.hpp"

// How a sweep goes over a checkpoint: what it computed is recorded again, swept over and forgotten.

namespace xtape {

/// Makes room for all that is on the tape now.
template <class T>
void Sweep<T>::cover_tape() {
    const auto grow = [&](auto*& elements, auto& room, auto count, auto now) {
        using Element = std::remove_cvref_t<decltype(*elements)>;
        Pool& pool = tape_.gradients();
        if (now > room) {
            const auto larger = std::max(now, static_cast<decltype(now)>(room + room / 2));
            auto* const copy = reinterpret_cast<Element*>(pool.allocate(larger * sizeof(Element)));
            std::uninitialized_copy_n(elements, count, copy);
            pool.release(reinterpret_cast<std::byte*>(elements), room * sizeof(Element));
            elements = copy;
            room = larger;
        }
    };
    prepare_made_steps();
    grow(slots_, slot_room_, count_, static_cast<NodeIndex>(tape_.size()));
    const NodeIndex before = std::exchange(count_, static_cast<NodeIndex>(tape_.size()));
    clear_slots(before, count_);
    const std::size_t chunks = tape_.products().chunks.size();
    grow(chunk_states_, chunk_room_, chunk_count_, chunks);
    std::uninitialized_value_construct_n(chunk_states_ + chunk_count_, chunks - chunk_count_);
    chunk_count_ = chunks;
}

template <class T>
void Sweep<T>::visit_again(NodeIndex index) {
    const detail::Recipe<T>& recipe = detail::recipe_of(tape_.at(index));
    const auto before = tape_.mark();
    const auto first = static_cast<NodeIndex>(tape_.size());
    const Recording<T> recorded(tape_);
    const std::vector<Var<T>> results = recipe.results_again(tape_, tape_.at(index).value);

    const auto [count, chunks, floor] = std::tuple(count_, chunk_count_, std::exchange(floor_, first));
    cover_tape();
    views_requested_ |= tape_.views_requested_;
    if (selective_) {
        make_all_nodes();
        find_wanted(first, count_);
    }
    for (std::size_t k = 0; k < results.size(); ++k) {
        if (!wants(results[k].index())) continue;
        const Shape& shape = tape_.node(results[k]).shape;
        add(results[k].index(), shape, slots_[index].data + recipe.offset(k), dense_strides(shape));
    }
    walk(first, count_);
    flush_chunks_from(*this, chunks);

    while (!tape_.lenders_.empty() && tape_.lenders_.back() >= first) {
        slots_[tape_.lenders_.back()].lends = false;
        release(tape_.lenders_.back());
        tape_.lenders_.pop_back();
    }
    std::erase_if(tape_.lent_steps_, [&](const LentSteps<T>& lent) { return lent.first >= first; });
    for (std::size_t chunk = chunks; chunk < chunk_count_; ++chunk) release_chunk(chunk);
    // Variables and retained values in there are forgotten too, so that nobody can ask for their gradients.
    for (std::size_t k = tape_.keepers_.size(); k-- > 0 && tape_.keepers_[k] >= first;)
        release(tape_.keepers_[k]);
    count_ = count;
    chunk_count_ = chunks;
    floor_ = floor;
    prepare_made_steps();
    tape_.forget_since(before);
    prepared_steps_ = tape_.made_steps_.size();
}

#define XTAPE_INSTANTIATE(T)              \
    template void Sweep<T>::cover_tape(); \
    template void Sweep<T>::visit_again(NodeIndex);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
