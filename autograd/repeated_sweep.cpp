#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "autograd/value_sweep.hpp"

// How a sweep repeats the steps of a loop from the calls that one of them made. Most addresses move on evenly; those of
// gradients that wait in chunks of products do so within a chunk, and are put right where the steps come to another.

namespace xtape {

/// Where in its chunk a product's gradient lies that a step uses: its own, or that of the step before, for which it is the
/// first to leave something.
template <class T>
struct Sweep<T>::ChunkRow {
    NodeIndex offset;
    std::size_t lead;  // 0: its own; 1: that of the step before
    T* data;           // for the last step done
    std::size_t size;
    std::size_t distance;  // in rows, down to that of the next step to be done
    bool in_values;

    bool covers(const T* address, std::ptrdiff_t moves_by) const {
        return address >= data && address < data + size &&
               moves_by == -static_cast<std::ptrdiff_t>(distance * size);
    }
};

template <class T>
ProductRecord::Place Sweep<T>::place_in(const Loop<T>& loop, std::size_t step, NodeIndex offset) const {
    return step == 0 ? place_of(loop.first + offset) : loop.products[offset][step];
}

/// Those of a step that was visited. Returns how many there are.
template <class T>
std::size_t Sweep<T>::find_rows(const Loop<T>& loop, std::size_t step, ChunkRow* rows) {
    std::size_t count = 0;
    for (NodeIndex offset = loop.period; offset-- > 0;) {
        if (!loop.products[offset].exist()) continue;
        for (const std::size_t lead : {0u, 1u}) {
            const auto place = place_in(loop, step - lead, offset);
            const ChunkState& state = chunk_states_[place.chunk];
            if (!state.waiting[place.slot]) continue;
            const ProductSite<T>& site = tape_.products().sites[tape_.products().chunks[place.chunk].site];
            rows[count++] = {offset,
                             lead,
                             chunk_gradient(place),
                             site.rows * site.cols,
                             loop.products[offset].distance,
                             state.in_values};
        }
    }
    return count;
}

/// Whether the calls use nothing else of those chunks.
template <class T>
bool Sweep<T>::uses_only(const Loop<T>& loop, std::size_t step, std::span<const ChunkRow> rows) const {
    return std::ranges::all_of(rows, [&](const ChunkRow& row) {
        const std::size_t chunk = place_in(loop, step - row.lead, row.offset).chunk;
        const std::size_t size = tape_.products().chunks[chunk].slots * row.size;
        return tape_.logs_[step % 2].all_of(
            chunk_states_[chunk].gradients, size, [&](const T* address, std::ptrdiff_t moves_by) {
                return std::ranges::any_of(rows,
                                           [&](const ChunkRow& r) { return r.covers(address, moves_by); });
            });
    });
}

/// Finds memory for the gradients of a chunk, of the kind that those of the last one have: false if that can't be.
template <class T>
bool Sweep<T>::enter_chunk(std::size_t number, bool in_values) {
    ChunkState& state = chunk_states_[number];
    if (state.gradients != nullptr) return state.in_values == in_values;
    const ProductChunk<T>& chunk = tape_.products().chunks[number];
    if (in_values && !chunk.is_computed_together()) return false;
    state.in_values = in_values;
    state.gradients = in_values ? chunk.values : chunk_gradient({static_cast<std::uint32_t>(number), 0});
    return true;
}

/// Repeats up to `count` steps before this one, and computes the deferred products of the chunks that they complete.
/// Returns how many steps were done: fewer if a chunk can't be entered.
template <class T>
std::size_t Sweep<T>::repeat_steps(const Loop<T>& loop, std::size_t step, std::size_t count) {
    if (count == 0) return 0;
    CallLog<T>& log = tape_.logs_[step % 2];
    // What is computed in between must not take memory that a step takes for a while.
    const Pool::Hold held(tape_.gradients(), log.fixed());
    const Pooled<ChunkRow> row_room(tape_.gradients(), 2 * loop.period);
    const std::span rows(row_room.data(), find_rows(loop, step, row_room.data()));
    if (!uses_only(loop, step, rows)) return 0;
    // What the first step of a loop leaves to the one before it is visited for.
    if (std::ranges::any_of(rows, [](const ChunkRow& row) { return row.lead > 0; }))
        count = std::min(count, step - 1);

    using Move = typename CallLog<T>::Move;
    const Pooled<Move> moves(tape_.gradients(), 2 * loop.period);
    std::size_t done = 0;
    while (done < count) {
        // As far as the chunks go that the next step uses.
        const std::size_t next = step - done - 1;
        std::size_t steps = count - done, move_count = 0;
        bool entered = true;
        for (const ChunkRow& row : rows) {
            const auto place = place_in(loop, next - row.lead, row.offset);
            steps = std::min(steps, place.slot / row.distance + 1);
            if (place.chunk == place_in(loop, next + 1 - row.lead, row.offset).chunk) continue;
            entered = entered && enter_chunk(place.chunk, row.in_values);
            if (!entered) break;
            moves.data()[move_count++] = {row.data, row.size,
                                          chunk_gradient(place) + row.distance * row.size};
        }
        if (!entered) break;
        log.move(std::span<const Move>(moves.data(), move_count));
        log.repeat(steps, tape_.team());
        done += steps;
        for (ChunkRow& row : rows) {
            const auto place = place_in(loop, next - row.lead, row.offset);
            ChunkState& state = chunk_states_[place.chunk];
            row.data = chunk_gradient(place) - (steps - 1) * row.distance * row.size;
            state.wait_below(place.slot + 1, steps, row.distance);
            if (row.lead > 0) continue;
            state.visited += steps;
            const bool is_complete = state.visited == tape_.products().chunks[place.chunk].member_count;
            if (is_complete) flush_chunk(*this, place.chunk);
        }
    }
    if (done > 0) leave_to(loop, step, done, rows);
    return done;
}

/// What this step left for the one before it is now left for the one before the last step done.
template <class T>
void Sweep<T>::leave_to(const Loop<T>& loop, std::size_t step, std::size_t done,
                        std::span<const ChunkRow> rows) {
    if (done < step) make_step(loop, step - 1 - done);
    const NodeIndex distance = static_cast<NodeIndex>(done) * loop.period;
    for (NodeIndex offset = 0; offset < loop.period; ++offset) {
        const NodeIndex from = loop.begin_of(step - 1) + offset;
        const auto row =
            std::ranges::find_if(rows, [&](const ChunkRow& r) { return r.offset == offset && r.lead > 0; });
        if (slots_[from].data == nullptr || (slots_[from].lent && row == rows.end())) continue;
        slots_[from - distance] = std::exchange(slots_[from], {});
        if (row != rows.end()) slots_[from - distance].data = row->data;
    }
}

#define XTAPE_INSTANTIATE(T) \
    template std::size_t Sweep<T>::repeat_steps(const Loop<T>&, std::size_t, std::size_t);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
