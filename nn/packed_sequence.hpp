#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "autograd/autograd.hpp"

// Sequences of different lengths in one batch. Padded to one length they would cost, and mix into sums, steps that nobody
// asked for; packed they are nothing but their real elements, one time step after the other:
//
//     const auto packed = pack(xs, lengths);                   // xs (T, B, D), lengths in any order
//     const auto [outputs, last] = unroll(cell, packed);       // last: of each sequence, after its own last step
//     const Var<float> padded = unpack(outputs);               // (T, B, H), zeros behind the ends

namespace xtape::nn {

/// Where the elements of a batch of sequences lie when packed. Samples are taken in the order of their lengths, the
/// longest first, so that those which still run at a time are always the first ones.
class PackedLayout {
public:
    /// Throws ShapeError for no sequence, or one of no steps.
    explicit PackedLayout(std::vector<std::size_t> lengths);

    const std::vector<std::size_t>& lengths() const { return lengths_; }
    std::size_t batch() const { return lengths_.size(); }
    /// Of the longest sequence.
    std::size_t steps() const { return starts_.size() - 1; }
    /// Σ lengths
    std::size_t size() const { return starts_.back(); }

    /// The row of the first sample at time t; for t = steps(), size().
    std::size_t start(std::size_t t) const { return starts_[t]; }
    /// How many sequences run at time t.
    std::size_t running(std::size_t t) const { return starts_[t + 1] - starts_[t]; }
    /// The sample of each place in the packed order, and the place of each sample.
    const std::vector<std::size_t>& order() const { return order_; }
    const std::vector<std::size_t>& places() const { return places_; }
    /// The row of a sample at time t < lengths()[sample].
    std::size_t row(std::size_t t, std::size_t sample) const { return starts_[t] + places_[sample]; }

    /// For each row, the row t B + b of the padded batch, flattened.
    std::vector<std::size_t> padded_rows() const;
    /// For each row, the one in its place when every sequence is read from its own end.
    std::vector<std::size_t> reversed_rows() const;

private:
    std::vector<std::size_t> lengths_, order_, places_, starts_;
};

template <class T>
struct PackedSequence {
    Var<T> rows;  // (size, ...)
    std::shared_ptr<const PackedLayout> layout;
};

/// The real elements of xs (T, B, ...); what lies behind the ends is never read, and its gradient is zero. Throws
/// ShapeError unless there is a length for each sample, none longer than T.
template <class T>
PackedSequence<T> pack(const Var<T>& xs, std::shared_ptr<const PackedLayout> layout);
template <class T>
PackedSequence<T> pack(const Var<T>& xs, std::vector<std::size_t> lengths) {
    return pack(xs, std::make_shared<const PackedLayout>(std::move(lengths)));
}
/// Sequences (T_b, ...), each of its own length.
template <class T>
PackedSequence<T> pack(std::span<const Var<T>> sequences);

/// The real ones of labels (T, B), of any type, in the order of a packed sequence's rows: targets for what is computed
/// from them. Throws ShapeError as pack does.
template <XtensorExpression L>
auto pack_labels(const L& labels, const PackedLayout& layout) {
    if (labels.dimension() != 2 || labels.shape()[1] != layout.batch() ||
        labels.shape()[0] < layout.steps()) {
        throw ShapeError("[pack_labels] labels of shape " + to_string(Shape(labels.shape())) + " for " +
                         std::to_string(layout.batch()) + " sequences of up to " +
                         std::to_string(layout.steps()) + " steps: expected (T, B)");
    }
    std::vector<typename L::value_type> packed(layout.size());
    for (std::size_t b = 0; b < layout.batch(); ++b) {
        for (std::size_t t = 0; t < layout.lengths()[b]; ++t) packed[layout.row(t, b)] = labels(t, b);
    }
    return packed;
}

/// (T, B, ...) with zeros behind the ends.
template <class T>
Var<T> unpack(const PackedSequence<T>& packed);
/// (T_b, ...) for each sample.
template <class T>
std::vector<Var<T>> unpack_each(const PackedSequence<T>& packed);

// What layers need to know of a sequence, be it dense or packed.

/// The same sequence from its end, each sample from its own.
template <class T>
Var<T> reversed(const Var<T>& xs) {
    return flip(xs, {0});
}
template <class T>
PackedSequence<T> reversed(const PackedSequence<T>& xs) {
    return {take(xs.rows, xs.layout->reversed_rows()), xs.layout};
}

/// All elements, and a sequence of the same form with other ones; their last axis holds the features.
template <class T>
const Var<T>& elements_of(const Var<T>& xs) {
    return xs;
}
template <class T>
const Var<T>& elements_of(const PackedSequence<T>& xs) {
    return xs.rows;
}
template <class T>
Var<T> with_elements(const Var<T>&, const Var<T>& elements) {
    return elements;
}
template <class T>
PackedSequence<T> with_elements(const PackedSequence<T>& xs, const Var<T>& elements) {
    return {elements, xs.layout};
}

/// How many samples a sequence has.
template <class T>
std::size_t batch_of(const Var<T>& xs) {
    if (xs.rank() < 2) {
        throw ShapeError("[unroll] a sequence of shape " + to_string(xs.shape()) + ": expected (T, B, D)");
    }
    return xs.shape()[1];
}
template <class T>
std::size_t batch_of(const PackedSequence<T>& xs) {
    return xs.layout->batch();
}

}  // namespace xtape::nn
