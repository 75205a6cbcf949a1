#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/contender.hpp"

namespace bench {

/// A layer that is given one input after the other, at batch 1, and needs no gradient.
template <class T>
class Streamer {
public:
    virtual ~Streamer() = default;
    virtual std::string name() const = 0;
    /// Back to a state of zeros.
    virtual void restart() = 0;
    /// From x (D) to h (H), and the state goes on.
    virtual void step(const T* x, T* h) = 0;
};

template <class T>
using Streamers = std::vector<std::unique_ptr<Streamer<T>>>;

/// For the LSTM and the GRU that resets after the product; none for other cells.
template <class T>
Streamers<T> handwritten_streamers(const Problem<T>& problem);
template <class T>
Streamers<T> xtape_streamers(const Problem<T>& problem);
template <class T>
Streamers<T> libtorch_streamers(const Problem<T>& problem);

}  // namespace bench
