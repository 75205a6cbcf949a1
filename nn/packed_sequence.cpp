#include "nn/packed_sequence.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "nn/state.hpp"

namespace xtape::nn {

PackedLayout::PackedLayout(std::vector<std::size_t> lengths)
    : lengths_(std::move(lengths)), order_(lengths_.size()), places_(lengths_.size()) {
    if (lengths_.empty()) throw ShapeError("[pack] no sequences: expected at least one");
    const auto shortest = std::ranges::min_element(lengths_);
    if (*shortest == 0) {
        throw ShapeError("[pack] sequence " + std::to_string(shortest - lengths_.begin()) +
                         " has no steps: expected at least one");
    }
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, std::greater<>(), [this](std::size_t b) { return lengths_[b]; });
    for (std::size_t place = 0; place < order_.size(); ++place) places_[order_[place]] = place;

    const std::size_t steps = lengths_[order_[0]];
    starts_.reserve(steps + 1);
    starts_.push_back(0);
    std::size_t running = order_.size();
    for (std::size_t t = 0; t < steps; ++t) {
        while (lengths_[order_[running - 1]] <= t) --running;
        starts_.push_back(starts_.back() + running);
    }
}

std::vector<std::size_t> PackedLayout::padded_rows() const {
    std::vector<std::size_t> rows(size());
    for (std::size_t t = 0; t < steps(); ++t) {
        for (std::size_t place = 0; place < running(t); ++place)
            rows[starts_[t] + place] = t * batch() + order_[place];
    }
    return rows;
}

std::vector<std::size_t> PackedLayout::reversed_rows() const {
    std::vector<std::size_t> rows(size());
    for (std::size_t t = 0; t < steps(); ++t) {
        for (std::size_t place = 0; place < running(t); ++place)
            rows[starts_[t] + place] = starts_[lengths_[order_[place]] - 1 - t] + place;
    }
    return rows;
}

namespace {

/// The two leading axes as one.
template <class T>
Var<T> merged(const Var<T>& xs) {
    Shape shape = xs.shape();
    shape.erase(0);
    shape.set(0, xs.shape()[0] * xs.shape()[1]);
    return reshape_to(xs, shape);
}

}  // namespace

template <class T>
PackedSequence<T> pack(const Var<T>& xs, std::shared_ptr<const PackedLayout> layout) {
    if (xs.rank() < 2 || xs.shape()[1] != layout->batch() || xs.shape()[0] < layout->steps()) {
        throw ShapeError("[pack] a batch of shape " + to_string(xs.shape()) + " and " +
                         std::to_string(layout->batch()) + " lengths of up to " +
                         std::to_string(layout->steps()) +
                         ": expected (T, B, ...) with a length for each of B, none over T");
    }
    return {take(merged(xs), layout->padded_rows()), std::move(layout)};
}

template <class T>
PackedSequence<T> pack(std::span<const Var<T>> sequences) {
    std::vector<std::size_t> lengths, firsts;
    std::size_t first = 0;
    for (const Var<T>& sequence : sequences) {
        if (sequence.rank() == 0) throw ShapeError("[pack] a number: expected sequences of shape (T, ...)");
        lengths.push_back(sequence.shape()[0]);
        firsts.push_back(first);
        first += lengths.back();
    }
    auto layout = std::make_shared<const PackedLayout>(std::move(lengths));
    std::vector<std::size_t> rows(layout->size());
    for (std::size_t b = 0; b < layout->batch(); ++b) {
        for (std::size_t t = 0; t < layout->lengths()[b]; ++t) rows[layout->row(t, b)] = firsts[b] + t;
    }
    return {take(concatenate(sequences, 0), rows), std::move(layout)};
}

template <class T>
Var<T> unpack(const PackedSequence<T>& packed) {
    const PackedLayout& layout = *packed.layout;
    Shape one_row = packed.rows.shape();
    one_row.set(0, 1);
    const Var<T> with_zeros = concatenate({packed.rows, zeros(packed.rows.tape(), one_row)});
    std::vector<std::size_t> rows(layout.steps() * layout.batch(), layout.size());
    const std::vector<std::size_t> padded = layout.padded_rows();
    for (std::size_t row = 0; row < padded.size(); ++row) rows[padded[row]] = row;
    const Var<T> merged_rows = take(with_zeros, rows);
    Shape shape{layout.steps(), layout.batch()};
    for (std::size_t axis = 1; axis < packed.rows.rank(); ++axis) shape.push_back(packed.rows.shape()[axis]);
    return reshape_to(merged_rows, shape);
}

template <class T>
std::vector<Var<T>> unpack_each(const PackedSequence<T>& packed) {
    const PackedLayout& layout = *packed.layout;
    std::vector<Var<T>> sequences;
    std::vector<std::size_t> rows;
    for (std::size_t b = 0; b < layout.batch(); ++b) {
        rows.resize(layout.lengths()[b]);
        for (std::size_t t = 0; t < rows.size(); ++t) rows[t] = layout.row(t, b);
        sequences.push_back(take(packed.rows, rows));
    }
    return sequences;
}

#define XTAPE_INSTANTIATE(T)                                                             \
    template PackedSequence<T> pack(const Var<T>&, std::shared_ptr<const PackedLayout>); \
    template PackedSequence<T> pack(std::span<const Var<T>>);                            \
    template Var<T> unpack(const PackedSequence<T>&);                                    \
    template std::vector<Var<T>> unpack_each(const PackedSequence<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::nn
