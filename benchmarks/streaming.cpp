#include "benchmarks/streaming.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <utility>

#include "benchmarks/agreement.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

constexpr std::size_t steps = 1000;

template <class T>
Buffer<T> stream(Streamer<T>& streamer, const Problem<T>& problem) {
    const std::size_t hidden = problem.size.hidden;
    Buffer<T> h(steps * hidden);
    streamer.restart();
    for (std::size_t t = 0; t < steps; ++t)
        streamer.step(problem.x.data() + t * problem.size.inputs, h.data() + t * hidden);
    return h;
}

template <class T>
bool agree(const Streamers<T>& streamers, const Problem<T>& problem) {
    const Buffer<T> expected = stream(*streamers[0], problem);
    bool right = true;
    for (const auto& streamer : streamers)
        right &= same_part(streamers[0]->name(), streamer->name(), "h", expected, stream(*streamer, problem),
                           2e-4);
    return right;
}

bool print_row(Cell cell, const Size& size, double seconds, bool header) {
    const Problem<float> problem = make_problem<float>(cell, {1, steps, size.inputs, size.hidden});
    Streamers<float> all;
    for (auto make : {handwritten_streamers<float>, xtape_streamers<float>, libtorch_streamers<float>}) {
        Streamers<float> some = make(problem);
        std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    if (header) {
        std::printf("\n%s\n%-10s", name_of(cell).c_str(), "D,H");
        for (const auto& streamer : all) std::printf(" %22s", streamer->name().c_str());
        std::printf("  targets\n");
    }
    if (!agree(all, problem)) return false;
    std::vector<Work> work;
    for (const auto& streamer : all) work.push_back([&] { stream(*streamer, problem); });
    const std::vector<double> time = time_in_turns(work, seconds);

    const double by_hand = std::min(time[0], time[1]);  // packed, and by gemv
    std::printf("%4zu,%-5zu", size.inputs, size.hidden);
    double ours = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < all.size(); ++i) {
        std::printf(" %13.2f (%6.2f)", time[i] / steps * 1e6, time[i] / by_hand);
        if (all[i]->name().starts_with("xtape")) ours = std::min(ours, time[i]);
    }
    std::printf("  %s\n", Targets().at_most("xtape / by hand", ours / by_hand, 1.2).verdict().c_str());
    std::fflush(stdout);
    return true;
}

}  // namespace

bool streaming_table(const Settings& settings) {
    std::printf(
        "\nOne step at a time, batch 1, nothing recorded, float, µs per step (and as a multiple of the "
        "faster "
        "hand-written one)\n");
    bool right = true;
    for (const Cell cell : {Cell::lstm, Cell::gru_reset_after}) {
        if (std::count(settings.cells.begin(), settings.cells.end(), cell) == 0) continue;
        bool header = true;
        for (const Size& size : settings.sizes) {
            right &= print_row(cell, size, settings.seconds, header);
            header = false;
        }
    }
    return right;
}

}  // namespace bench
