#pragma once

#include <array>
#include <cstddef>

#include "autograd/shape.hpp"

namespace xtape {

/// Walks over several tensors of one shape a row at a time. Axes that all of them store one after the other are
/// merged first, so that tensors without gaps make a single row.
template <std::size_t Capacity>
class Rows {
public:
    explicit Rows(const Shape& shape) : shape_(shape) {}

    /// Adds a tensor; strides of 0 repeat. Returns its number.
    std::size_t add(const Strides& strides) {
        for (std::size_t axis = 0; axis < shape_.size(); ++axis) strides_[tensors_][axis] = strides[axis];
        offsets_[tensors_] = 0;
        return tensors_++;
    }

    /// Merges axes; to be called once, after the last add.
    void merge() {
        rank_ = 0;
        empty_ = false;
        for (std::size_t axis = 0; axis < shape_.size(); ++axis) {
            if (shape_[axis] == 0) empty_ = true;
            if (shape_[axis] == 1) continue;
            if (rank_ > 0 && continues(axis))
                extents_[rank_ - 1] *= shape_[axis];
            else
                extents_[rank_++] = shape_[axis];
            for (std::size_t k = 0; k < tensors_; ++k) strides_[k][rank_ - 1] = strides_[k][axis];
        }
        if (rank_ == 0) {
            extents_[rank_++] = 1;
            for (std::size_t k = 0; k < tensors_; ++k) strides_[k][0] = 1;
        }
        for (std::size_t axis = 0; axis < rank_; ++axis) at_[axis] = 0;
    }

    bool empty() const { return empty_; }
    std::size_t rank() const { return rank_; }
    /// Of the first axis after merging.
    std::size_t outer_extent() const { return extents_[0]; }
    std::ptrdiff_t outer_stride(std::size_t k) const { return strides_[k][0]; }
    std::size_t row_length() const { return extents_[rank_ - 1]; }
    /// Between neighbours in a row of tensor k.
    std::ptrdiff_t inner_stride(std::size_t k) const { return strides_[k][rank_ - 1]; }
    /// Where the current row of tensor k begins.
    std::ptrdiff_t offset(std::size_t k) const { return offsets_[k]; }

    /// On to the next row; false after the last.
    bool next() {
        for (std::size_t axis = rank_ - 1; axis-- > 0;) {
            for (std::size_t k = 0; k < tensors_; ++k) offsets_[k] += strides_[k][axis];
            if (++at_[axis] < extents_[axis]) return true;
            for (std::size_t k = 0; k < tensors_; ++k) {
                offsets_[k] -= strides_[k][axis] * static_cast<std::ptrdiff_t>(extents_[axis]);
            }
            at_[axis] = 0;
        }
        return false;
    }

private:
    bool continues(std::size_t axis) const {
        for (std::size_t k = 0; k < tensors_; ++k) {
            const auto span = strides_[k][axis] * static_cast<std::ptrdiff_t>(shape_[axis]);
            if (strides_[k][rank_ - 1] != span) return false;
        }
        return true;
    }

    const Shape& shape_;
    std::size_t tensors_ = 0;
    std::size_t rank_ = 0;
    bool empty_ = false;
    // Left uninitialised: only what was added is read.
    std::array<std::array<std::ptrdiff_t, max_rank>, Capacity> strides_;
    std::array<std::ptrdiff_t, Capacity> offsets_;
    std::array<std::size_t, max_rank> extents_;
    std::array<std::size_t, max_rank> at_;
};

}  // namespace xtape
