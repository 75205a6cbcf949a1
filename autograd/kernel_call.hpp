#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "autograd/statement.hpp"

// A statement's two calls, forward and backward over a grid of rows: run whole or in parts that threads share, and noted
// for loops that do them again.

namespace xtape::detail {

/// So many elements of a row are done at a time where something has to be put beside them first.
constexpr std::size_t piece = 256;

/// What a tape keeps of a statement.
template <class T>
struct StatementRecord {
    const Kernel<T>* kernel;
    const T* constants;
    T* kept;  // or null
    std::size_t pitch;
};

template <class T>
constexpr std::size_t widest = buffer_alignment / sizeof(T);

/// So many numbers beside each element may be computed again instead of kept.
constexpr std::size_t max_computed_again = 8;

/// Some of the rows that a kernel goes over, or some elements of one row.
template <class T>
struct Stretch {
    RowGrid grid;
    std::size_t row = 0;      // the first one
    std::size_t element = 0;  // in it, the first one
    std::size_t before = 0;   // elements of the rows before it

    /// The part of one thread.
    Stretch(const RowGrid& whole, Part part) : grid(whole) {
        if (whole.count > 1) {
            row = part.begin(whole.count);
            grid.count = part.end(whole.count) - row;
            before = row * whole.n;
        } else {
            const std::size_t vectors = (whole.n + widest<T> - 1) / widest<T>;
            element = part.begin(vectors) * widest<T>;
            grid.n = std::min(part.end(vectors) * widest<T>, whole.n) - element;
        }
    }
    /// Elements begin ... begin + n of the k-th of its rows.
    Stretch(const Stretch& whole, std::size_t k, std::size_t begin, std::size_t n)
        : grid{n, 1, whole.grid.strides},
          row(whole.row + k),
          element(whole.element + begin),
          before(whole.before + k * whole.grid.n) {}

    /// Of what a statement has made.
    std::size_t offset() const { return before + element; }
    /// Of rows that are strides[k] apart.
    std::ptrdiff_t offset(std::size_t k) const {
        const auto first = static_cast<std::ptrdiff_t>(element);
        return row == 0 ? first : static_cast<std::ptrdiff_t>(row) * grid.strides[k] + first;
    }
};

// A kernel's two calls.

template <class T>
struct ForwardCall {
    const Kernel<T>& kernel;
    RowGrid grid;
    const T* const* leaves;
    const T* constants;
    T* out;
    T* keep;
    std::size_t pitch;

    /// What a row writes past its end must not be another thread's.
    bool can_be_cut() const { return grid.count == 1 || grid.n % widest<T> == 0; }
    void run(Part part) const {
        if (part.count == 1)
            kernel.forward(grid, leaves, constants, out, keep, pitch);
        else
            run_part(part);
    }
    [[gnu::noinline]] void run_part(Part part) const {
        const Stretch<T> mine(grid, part);
        run_on(mine, out + mine.offset(), keep == nullptr ? nullptr : keep + mine.offset());
    }
    void run_on(const Stretch<T>& stretch, T* to, T* keep_at) const {
        std::array<const T*, max_leaves> rows;
        for (std::size_t k = 0; k < kernel.leaves; ++k) rows[k] = leaves[k] + stretch.offset(k);
        kernel.forward(stretch.grid, rows.data(), constants, to, keep_at, pitch);
    }
};

template <class T>
struct BackwardCall {
    const Kernel<T>& kernel;
    RowGrid grid;
    const T* const* leaves;
    const T* constants;
    const T* value;
    const T* kept;
    std::size_t pitch;
    const T* dy;
    GradientRows<T> gradients;

    /// Whether rows are added to the same one. Then a thread takes some columns of them all, else some rows.
    bool sums_rows() const {
        for (std::size_t k = 0; k < kernel.leaves; ++k) {
            if (grid.count > 1 && gradients.addresses[2 * k] != nullptr &&
                grid.strides[kernel.leaves + k] == 0)
                return true;
        }
        return false;
    }
    void run(Part part) const {
        if (part.count == 1 && !was_forgotten())
            kernel.backward(grid, leaves, constants, value, kept, pitch, dy, gradients);
        else
            run_part(part);
    }

private:
    bool was_forgotten() const { return kept == nullptr && kernel.kept > 0; }
    [[gnu::noinline]] void run_part(Part part) const {
        if (part.count == 1 || !sums_rows()) return run_stretch(Stretch<T>(grid, part));
        const Stretch<T> all(grid, Part{});
        const Stretch<T> columns(RowGrid{grid.n}, part);
        for (std::size_t row = 0; row < grid.count; ++row)
            run_stretch(Stretch<T>(all, row, columns.element, columns.grid.n));
    }
    void run_stretch(const Stretch<T>& mine) const {
        if (was_forgotten())
            run_again(mine);
        else
            run_on(mine, kept == nullptr ? nullptr : kept + mine.offset(), pitch);
    }
    void run_on(const Stretch<T>& stretch, const T* kept_at, std::size_t apart) const {
        std::array<const T*, max_leaves> rows;
        std::array<T*, 2 * max_leaves> to;
        for (std::size_t k = 0; k < kernel.leaves; ++k) {
            rows[k] = leaves[k] + stretch.offset(k);
            T* const* const addresses = gradients.addresses + 2 * k;
            const std::ptrdiff_t offset = addresses[0] == nullptr ? 0 : stretch.offset(kernel.leaves + k);
            to[2 * k] = addresses[0] + offset;
            to[2 * k + 1] = addresses[1] + ((gradients.adds >> k & 1u) != 0 ? offset : 0);
        }
        kernel.backward(stretch.grid, rows.data(), constants, value + stretch.offset(), kept_at, apart,
                        dy + stretch.offset(), {to.data(), gradients.adds});
    }
    /// What wasn't kept is computed again, a piece of a row at a time.
    void run_again(const Stretch<T>& mine) const {
        constexpr std::size_t apart = piece + widest<T>;
        alignas(buffer_alignment) T numbers[(max_computed_again + 1) * apart];
        const ForwardCall<T> forward{kernel, grid, leaves, constants, numbers, numbers + apart, apart};
        for (std::size_t k = 0; k < mine.grid.count; ++k) {
            for (std::size_t begin = 0; begin < mine.grid.n; begin += piece) {
                const Stretch<T> part(mine, k, begin, std::min(piece, mine.grid.n - begin));
                forward.run_on(part, forward.out, forward.keep);
                run_on(part, forward.keep, apart);
            }
        }
    }
};

/// What there is to do, where threads share rows or columns.
template <class Call>
Work work_of(const Call& call, bool by_rows) {
    const std::size_t elements = call.grid.n * call.grid.count;
    return {elements * (5 + call.kernel.leaves + call.kernel.steps.size()) / 20,
            by_rows ? call.grid.count : call.grid.n};
}

// As they are noted for loops: the leaves' rows and what is written, then those of the gradients.

template <class T>
void run_forward(const RawCall<T>& call, T* const* addresses, Part part) {
    const auto& kernel = *static_cast<const Kernel<T>*>(call.code);
    const auto& n = call.numbers;
    T* const* const others = addresses + kernel.leaves;
    ForwardCall<T>{
        kernel, {n[0], n[1], call.strides.data()}, addresses, call.constants.data(), others[0], others[1],
        n[2]}
        .run(part);
}

template <class T>
void run_backward(const RawCall<T>& call, T* const* addresses, Part part) {
    const auto& kernel = *static_cast<const Kernel<T>*>(call.code);
    const auto& n = call.numbers;
    T* const* const others = addresses + kernel.leaves;
    BackwardCall<T>{kernel,
                    {n[0], n[1], call.strides.data()},
                    addresses,
                    call.constants.data(),
                    others[0],
                    others[1],
                    n[2],
                    others[2],
                    {others + 3, static_cast<std::uint32_t>(n[3])}}
        .run(part);
}

/// Notes a kernel's call with the leaves' rows.
template <class T, class Call>
void begin_call(Tape<T>& tape, typename RawCall<T>::Run run, const Call& call, std::size_t stride_count,
                std::uint32_t adds, Work work) {
    RawCall<T> raw{.run = run,
                   .code = &call.kernel,
                   .numbers = {call.grid.n, call.grid.count, call.pitch, adds},
                   .constants = std::span(call.constants, call.kernel.constants),
                   .work = work};
    if (call.grid.count > 1) {
        auto* const strides = tape.template allocate_records<std::ptrdiff_t>(stride_count);
        std::copy_n(call.grid.strides, stride_count, strides);
        raw.strides = std::span<const std::ptrdiff_t>(strides, stride_count);
    }
    tape.log()->begin(raw);
    for (std::size_t k = 0; k < call.kernel.leaves; ++k) tape.log()->add_address(call.leaves[k]);
}

template <class T>
void call_forward(Tape<T>& tape, const StatementRecord<T>& record, const RowGrid& grid, const T* const* rows,
                  T* out, T* keep) {
    const ForwardCall<T> call{*record.kernel, grid, rows, record.constants, out, keep, record.pitch};
    const Work work = call.can_be_cut() ? work_of(call, grid.count > 1) : Work{};
    tape.team().run(work, [&](Part part) { call.run(part); });
    if (tape.log() == nullptr) return;
    begin_call(tape, &run_forward<T>, call, record.kernel->leaves, 0, work);
    for (const T* row : {out, keep}) tape.log()->add_address(row);
}

/// `apart` says that no two leaves' gradients overlap.
template <class T>
void call_backward(Tape<T>& tape, const StatementRecord<T>& record, const RowGrid& grid, const T* const* rows,
                   const T* value, const T* kept, const T* dy, const GradientRows<T>& gradients, bool apart) {
    const std::size_t leaves = record.kernel->leaves;
    const BackwardCall<T> call{*record.kernel, grid,         rows, record.constants, value,
                               kept,           record.pitch, dy,   gradients};
    const Work work = apart ? work_of(call, grid.count > 1 && !call.sums_rows()) : Work{};
    tape.team().run(work, [&](Part part) { call.run(part); });
    if (tape.log() == nullptr) return;
    begin_call(tape, &run_backward<T>, call, 2 * leaves, gradients.adds, work);
    for (const T* row : {value, kept, dy}) tape.log()->add_address(row);
    for (std::size_t k = 0; k < 2 * leaves; ++k) tape.log()->add_address(gradients.addresses[k]);
}

}  // namespace xtape::detail
