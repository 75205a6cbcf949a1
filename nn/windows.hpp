#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"
#include "nn/unchanged.hpp"

namespace xtape::nn {

struct WindowOptions {
    std::size_t streams = 32;  ///< B
    std::size_t steps = 64;    ///< T
    std::uint64_t seed = 0;    ///< of the offsets
};

namespace detail {

/// Where windows are, whatever they show.
class WindowPlaces {
public:
    WindowPlaces(std::size_t length, WindowOptions options);

    struct Place {
        std::size_t first;     // of the first stream's symbols
        std::size_t distance;  // from stream to stream
        bool starts_anew;
    };
    Place next();

    template <class F>
    void visit(F&& f) {
        Unchanged length{length_}, streams{options_.streams}, steps{options_.steps}, seed{options_.seed};
        f("length", length);
        f("streams", streams);
        f("steps", steps);
        f("seed", seed);
        f("pass", pass_);
        f("position", position_);
    }

private:
    std::size_t offset();

    std::size_t length_;
    WindowOptions options_;
    std::size_t pass_ = 0;
    std::size_t position_ = 0;  // of the next window in each stream
    std::size_t offset_ = 0, offset_pass_;
};

}  // namespace detail

/// A long sequence, a text for instance, read in many places at once, for truncated backpropagation through time: it is cut
/// into `streams` of equal length, and each window continues where the last one ended. When the streams end they start anew,
/// at another random offset, which comes from what whole windows leave over.
///
///     nn::Windows windows(symbols, {.streams = 32, .steps = 64});
///     for (...) {
///         const auto& [inputs, targets, starts_anew] = windows.next();
///         if (starts_anew) carried.forget();
///         const Var<float> loss = nn::cross_entropy(scores(inputs, carried), targets);
///
/// A pass's offset follows from the seed and the pass's number: these and a position are all that has to be saved.
template <class Symbol>
class Windows {
public:
    struct Window {
        xt::xtensor<Symbol, 2> inputs;   ///< (T, B)
        xt::xtensor<Symbol, 2> targets;  ///< (T, B): each the symbol after the input
        bool starts_anew = false;        ///< doesn't continue the one before: carry no state over
    };

    /// Throws std::invalid_argument if the sequence is too short for one window of each stream.
    explicit Windows(std::vector<Symbol> sequence, WindowOptions options = {})
        : sequence_(std::move(sequence)), places_(sequence_.size(), options) {
        window_.inputs.resize({options.steps, options.streams});
        window_.targets.resize({options.steps, options.streams});
    }

    /// Valid until the next call.
    const Window& next() {
        const auto [first, distance, starts_anew] = places_.next();
        window_.starts_anew = starts_anew;
        for (std::size_t b = 0; b < window_.inputs.shape(1); ++b) {
            const Symbol* const from = sequence_.data() + first + b * distance;
            for (std::size_t t = 0; t < window_.inputs.shape(0); ++t) {
                window_.inputs(t, b) = from[t];
                window_.targets(t, b) = from[t + 1];
            }
        }
        return window_;
    }

    template <class F>
    void visit(F&& f) {
        places_.visit(f);
    }

private:
    std::vector<Symbol> sequence_;
    detail::WindowPlaces places_;
    Window window_;
};

}  // namespace xtape::nn
