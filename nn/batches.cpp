#include "nn/batches.hpp"

#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "nn/numbered_engine.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

Batches::Batches(std::size_t count, BatchOptions options)
    : count_(count), options_(options), ordered_epoch_(std::numeric_limits<std::size_t>::max()) {
    detail::check_positive("Batches", "count", count);
    detail::check_positive("Batches", "size", options.size);
    if (options.drop_last && count < options.size) {
        throw std::invalid_argument("[Batches] " + std::to_string(count) + " samples in batches of " +
                                    std::to_string(options.size) +
                                    ", and smaller ones left out: expected enough for one");
    }
}

std::size_t Batches::per_epoch() const {
    return count_ / options_.size + (!options_.drop_last && count_ % options_.size > 0 ? 1 : 0);
}

std::span<const std::size_t> Batches::next() {
    if (position_ >= count_) {
        throw std::invalid_argument("[Batches] position " + std::to_string(position_) + " of " +
                                    std::to_string(count_) +
                                    " samples: expected what was saved of as many samples");
    }
    if (ordered_epoch_ != epoch_ || order_.empty()) {
        order_.resize(count_);
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        if (options_.shuffle) {
            Engine engine = detail::numbered_engine(options_.seed, epoch_);
            std::shuffle(order_.begin(), order_.end(), engine);
        }
        ordered_epoch_ = epoch_;
    }
    const std::size_t size = std::min(options_.size, count_ - position_);
    const std::span<const std::size_t> batch(order_.data() + position_, size);
    position_ += size;
    const std::size_t least = options_.drop_last ? options_.size : 1;
    if (count_ - position_ < least) {
        ++epoch_;
        position_ = 0;
    }
    return batch;
}

namespace detail {

void check_rows(std::span<const std::size_t> rows, std::size_t count) {
    for (const std::size_t row : rows) {
        if (row >= count)
            throw IndexError("[batch_of] row " + std::to_string(row) + " of " + std::to_string(count) +
                             ": expected one that is there");
    }
}

void check_batch_axis(const Shape& shape, std::size_t axis) {
    if (axis >= shape.size())
        throw ShapeError("[batch_of] axis " + std::to_string(axis) + " of an array of shape " +
                         to_string(shape) + ": expected one of its axes");
}

}  // namespace detail

}  // namespace xtape::nn
