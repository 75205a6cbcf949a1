#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <random>
#include <vector>

#include "benchmarks/lengths.hpp"
#include "benchmarks/nn_cells.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

/// Evenly from a tenth of the longest one up to it, in no order.
std::vector<std::size_t> mixed_lengths(const Size& size) {
    std::vector<std::size_t> lengths;
    const std::size_t shortest = std::max<std::size_t>(size.steps / 10, 1);
    for (std::size_t b = 0; b < size.batch; ++b)
        lengths.push_back(shortest + (size.steps - shortest) * (b + 1) / size.batch);
    std::shuffle(lengths.begin(), lengths.end(), std::mt19937(1));
    return lengths;
}

/// nn's LSTM over a batch, padded or packed; its gradients are those of the outputs times dh at the real steps.
class XtapeLengths {
public:
    XtapeLengths(const LengthsProblem& problem, bool packed) : problem_(problem), packed_(packed) {
        fill_cell(cell_, problem.problem);
    }

    void run() {
        const Size s = problem_.problem.size;
        tape_.clear();
        xtape::nn::zero_grad(cell_);
        const auto leaf = [&](const Buffer<float>& data, std::size_t width) {
            return tape_.borrow({s.steps, s.batch, width}, const_cast<float*>(data.data()));
        };
        const xtape::Var<float> xs = leaf(problem_.problem.x, s.inputs);
        const xtape::Var<float> seed = leaf(problem_.seed, s.hidden);
        if (packed_) {
            const auto outputs = xtape::nn::unroll(cell_, xtape::nn::pack(xs, problem_.lengths)).outputs;
            xtape::backward(xtape::nn::unpack(outputs), seed);
        } else {
            xtape::backward(xtape::nn::unroll(cell_, xs).outputs, seed);
        }
    }
    Buffer<float> gradient() {
        const auto grad = cell_.weight.grad();
        return Buffer<float>(grad.begin(), grad.end());
    }

private:
    const LengthsProblem& problem_;
    bool packed_;
    xtape::nn::Engine engine_{1};
    xtape::nn::LSTMCell<float> cell_{problem_.problem.size.inputs, problem_.problem.size.hidden, engine_};
    xtape::Tape<float> tape_;
};

bool same(const Buffer<float>& a, const Buffer<float>& b) {
    float largest = 0, apart = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        largest = std::max(largest, std::abs(a[k]));
        apart = std::max(apart, std::abs(a[k] - b[k]));
    }
    return a.size() == b.size() && apart <= 1e-3F * largest;
}

bool print_row(const Size& size, double seconds) {
    LengthsProblem problem{make_problem<float>(Cell::lstm, size), mixed_lengths(size), {}};
    problem.seed.assign(size.steps * size.batch * size.hidden, 0.0F);
    double real = 0;
    for (std::size_t b = 0; b < size.batch; ++b) {
        real += static_cast<double>(problem.lengths[b]) / static_cast<double>(size.steps * size.batch);
        for (std::size_t t = 0; t < problem.lengths[b]; ++t)
            std::fill_n(
                problem.seed.begin() + static_cast<std::ptrdiff_t>((t * size.batch + b) * size.hidden),
                size.hidden, 0.01F);
    }
    XtapeLengths padded(problem, false), packed(problem, true);
    std::vector<Work> works{[&] { padded.run(); }, [&] { packed.run(); }};
    const auto torch = libtorch_lengths(problem);
    works.insert(works.end(), torch.begin(), torch.end());
    for (const Work& work : works) work();
    if (!same(padded.gradient(), packed.gradient())) {
        std::printf("%s: padded and packed gradients differ\n", text_of(size).c_str());
        return false;
    }
    const auto times = time_in_turns(works, seconds);
    std::printf("%-18s %10.2f %12.1f %12.1f %8.2f", text_of(size).c_str(), real, times[0] * 1e6,
                times[1] * 1e6, times[1] / times[0]);
    if (times.size() > 2)
        std::printf(" %12.1f %12.1f %8.2f", times[2] * 1e6, times[3] * 1e6, times[3] / times[2]);
    else
        std::printf(" %12s %12s %8s", "-", "-", "-");
    Targets row;
    row.at_most("packed / padded", times[1] / times[0], 1);
    std::printf("  %s\n", row.verdict().c_str());
    std::fflush(stdout);
    return true;
}

}  // namespace

bool lengths_table(const Settings& settings) {
    std::printf(
        "\nSequences of different lengths, 10 to 100 %% of the longest, in an LSTM, float, forward and "
        "backward to "
        "the parameters, µs\n%-18s %10s %12s %12s %8s %12s %12s %8s  targets\n",
        "B,T,D,H", "real steps", "padded", "packed", "ratio", "torch padded", "torch packed", "ratio");
    bool right = true;
    for (const Size& size : settings.sizes) {
        if (size.batch > 1) right &= print_row(size, settings.seconds);
    }
    return right;
}

}  // namespace bench
