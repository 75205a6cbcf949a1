#include <cmath>
#include <cstddef>
#include <cstdio>

#include "benchmarks/nn_cells.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

/// A loss on the last state of a long sequence, whose steps are kept or computed again.
class LongRun {
public:
    /// every = 0 keeps all.
    LongRun(const Problem<float>& problem, std::size_t steps, std::size_t every)
        : problem_(problem), steps_(steps), every_(every) {
        fill_cell(cell_, problem);
    }

    void run() {
        const Size s = problem_.size;
        tape_.clear();
        xtape::nn::zero_grad(cell_);
        const auto xs = tape_.borrow({steps_, s.batch, s.inputs}, const_cast<float*>(problem_.x.data()));
        const auto start = cell_.initial_state(tape_, s.batch);
        const auto last = every_ == 0 ? xtape::nn::unroll_states(cell_, xs, start).back()
                                      : xtape::nn::final_state(cell_, xs, start, {.every = every_});
        backward(sum(square(last.h)));
    }
    /// Bytes that the tape has asked the heap for.
    std::size_t capacity() const { return tape_.capacity(); }
    float gradient() { return cell_.weight.grad()(0, 0); }

private:
    const Problem<float>& problem_;
    std::size_t steps_, every_;
    xtape::nn::Engine engine_{1};
    xtape::nn::LSTMCell<float> cell_{problem_.size.inputs, problem_.size.hidden, engine_};
    xtape::Tape<float> tape_;
};

bool print_row(const Size& size, double seconds) {
    const Problem<float> problem = make_problem<float>(Cell::lstm, size);
    const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(size.steps)));
    LongRun kept(problem, size.steps, 0), cut(problem, size.steps, root), few(problem, 2 * root, 0);
    for (LongRun* run : {&kept, &cut, &few}) {
        run->run();
        run->run();  // from here on no memory is asked for
    }
    if (std::abs(kept.gradient() - cut.gradient()) > 1e-3F * std::abs(kept.gradient()) + 1e-6F) {
        std::printf("%s: gradients differ\n", text_of(size).c_str());
        return false;
    }
    const auto times = time_in_turns({[&] { kept.run(); }, [&] { cut.run(); }}, seconds);
    const auto mebibytes = [](const LongRun& run) { return static_cast<double>(run.capacity()) / (1 << 20); };
    const double ratio = times[1] / times[0];
    std::printf("%-18s %12.1f %12.1f %8.2f %12.2f %12.2f %12.2f", text_of(size).c_str(), times[0] * 1e3,
                times[1] * 1e3, ratio, mebibytes(kept), mebibytes(cut), mebibytes(few));
    Targets row;
    row.at_most("time", ratio, size.batch == 1 ? 1.6 : 1.45)
        .at_most("memory / 2 sqrt(T) steps", mebibytes(cut) / mebibytes(few), 1);
    std::printf("  %s\n", row.verdict().c_str());
    std::fflush(stdout);
    return true;
}

}  // namespace

bool checkpoints_table(const Settings& settings) {
    std::printf(
        "\nCheckpoints every sqrt(T) steps, an LSTM, float, loss on the last state, forward and backward to "
        "the "
        "parameters, ms;\nMiB that the tape holds, beside the inputs, and what 2 sqrt(T) steps kept whole "
        "take\n"
        "%-18s %12s %12s %8s %12s %12s %12s  targets\n",
        "B,T,D,H", "kept", "checkpoints", "ratio", "MiB kept", "checkpoints", "2 sqrt(T)");
    bool right = true;
    for (Size size : settings.sizes) {
        if (size.batch > 16) continue;  // gigabytes
        size.steps = settings.quick ? 1000 : 10'000;
        if (!settings.quick || size.batch == 1) right &= print_row(size, settings.seconds);
    }
    return right;
}

}  // namespace bench
