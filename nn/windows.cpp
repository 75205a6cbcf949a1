#include "nn/windows.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "nn/numbered_engine.hpp"
#include "nn/options.hpp"

namespace xtape::nn::detail {

WindowPlaces::WindowPlaces(std::size_t length, WindowOptions options)
    : length_(length), options_(options), offset_pass_(std::numeric_limits<std::size_t>::max()) {
    check_positive("Windows", "streams", options.streams);
    check_positive("Windows", "steps", options.steps);
    if (length == 0 || (length - 1) / options.streams < options.steps) {
        throw std::invalid_argument("[Windows] " + std::to_string(length) + " symbols are too few for " +
                                    std::to_string(options.streams) + " streams of " +
                                    std::to_string(options.steps) +
                                    " steps: expected a longer sequence, or smaller windows");
    }
}

std::size_t WindowPlaces::offset() {
    if (offset_pass_ == pass_) return offset_;
    const std::size_t stream = (length_ - 1) / options_.streams;
    const std::size_t left_over = stream % options_.steps * options_.streams;
    offset_ = numbered_engine(options_.seed, pass_)() % (std::min(options_.steps - 1, left_over) + 1);
    offset_pass_ = pass_;
    return offset_;
}

WindowPlaces::Place WindowPlaces::next() {
    const auto stream = [&] { return (length_ - 1 - offset()) / options_.streams; };
    if (position_ > stream() - options_.steps) {
        ++pass_;
        position_ = 0;
    }
    const Place place{offset() + position_, stream(), position_ == 0};
    position_ += options_.steps;
    return place;
}

}  // namespace xtape::nn::detail
