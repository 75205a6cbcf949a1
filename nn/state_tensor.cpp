#include "nn/state_tensor.hpp"

#include <algorithm>
#include <string>

namespace xtape::nn {

template <class T>
StateTensor<T>::StateTensor(Parameter<T>& parameter)
    : shape_(parameter.shape()), pieces_{{&parameter, 0, parameter.size(), false}} {}

template <class T>
StateTensor<T> StateTensor<T>::blocks(std::size_t count, std::initializer_list<std::size_t> order) const {
    const bool are_there = std::ranges::all_of(order, [=](std::size_t block) { return block < count; });
    if (shape_.empty() || count == 0 || !are_there || shape_[0] % count != 0) {
        throw ShapeError("[StateTensor] " + std::to_string(count) + " blocks of a tensor of shape " +
                         to_string(shape_) +
                         ": expected a number that divides its rows, and blocks below it");
    }
    const std::size_t size = element_count(shape_) / count;
    StateTensor result;
    for (const std::size_t block : order) result.take(*this, block * size, (block + 1) * size);
    result.shape_ = shape_;
    result.shape_.set(0, shape_[0] / count * order.size());
    return result;
}

template <class T>
StateTensor<T> StateTensor<T>::columns(std::size_t begin, std::size_t end) const {
    if (shape_.size() != 2 || begin > end || end > shape_[1]) {
        throw ShapeError("[StateTensor] columns " + std::to_string(begin) + " to " + std::to_string(end) +
                         " of a tensor of shape " + to_string(shape_) + ": expected a matrix that has them");
    }
    StateTensor result;
    for (std::size_t row = 0; row < shape_[0]; ++row)
        result.take(*this, row * shape_[1] + begin, row * shape_[1] + end);
    result.shape_ = Shape{shape_[0], end - begin};
    return result;
}

template <class T>
StateTensor<T> StateTensor<T>::then(const StateTensor& below) const {
    Shape shape = shape_;
    if (!shape.empty() && !below.shape_.empty()) shape.set(0, below.shape_[0]);
    if (shape.empty() || shape != below.shape_) {
        throw ShapeError("[StateTensor] rows of shape " + to_string(shape_) + ", then of shape " +
                         to_string(below.shape_) + ": expected shapes that differ in the first axis alone");
    }
    StateTensor result = *this;
    result.pieces_.insert(result.pieces_.end(), below.pieces_.begin(), below.pieces_.end());
    result.shape_.set(0, shape_[0] + below.shape_[0]);
    return result;
}

template <class T>
StateTensor<T> StateTensor<T>::added() const {
    StateTensor result = *this;
    for (Piece& piece : result.pieces_) piece.is_added = true;
    return result;
}

template <class T>
void StateTensor<T>::take(const StateTensor& from, std::size_t begin, std::size_t end) {
    std::size_t at = 0;
    for (const Piece& piece : from.pieces_) {
        const std::size_t first = std::max(begin, at), last = std::min(end, at + piece.size);
        if (first < last)
            pieces_.push_back({piece.parameter, piece.begin + first - at, last - first, piece.is_added});
        at += piece.size;
    }
}

template class StateTensor<float>;
template class StateTensor<double>;

}  // namespace xtape::nn
