#include <cmath>
#include <cstddef>
#include <cstdio>

#include "benchmarks/allocations.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"

namespace bench {
namespace {

using Make = Contenders<float> (*)(const Problem<float>&);

Contenders<float> releasing_contenders(const Problem<float>& problem) {
    return xtape_contenders(problem, {.release_values = true});
}
Contenders<float> keeping_contenders(const Problem<float>& problem) {
    return xtape_contenders(problem, {.release_values = false});
}

/// Bytes that the first training step asks for.
struct Step {
    double peak = NAN, packed = NAN;
};

Step first_step(const Problem<float>& problem, Make make, Author author) {
    const AllocationCount count;
    for (const auto& contender : make(problem)) {
        if (contender->author() != author) continue;
        // The others copy parameters and inputs beforehand; the hand-written code reads the problem's, and has its working
        // memory from the start.
        const std::size_t before = author == Author::hand ? 0 : count.live();
        contender->run();
        return {static_cast<double>(count.peak() - before), static_cast<double>(contender->packed_bytes())};
    }
    return {};
}

/// The second of two contenders: libraries ask for some memory once in a program.
Step measure(const Problem<float>& problem, Make make, Author author) {
    first_step(problem, make, author);
    return first_step(problem, make, author);
}

/// dx, dW_x, dW_h and db, which everyone returns.
double gradient_bytes(const Problem<float>& p) {
    return static_cast<double>((p.x.size() + p.w_x.size() + p.w_h.size() + p.bias.size()) * sizeof(float));
}

/// What the tape keeps of a step of the LSTM for each unit, whatever the allocator does: four pre-activations, c and h; and a
/// number for each of σ(i), σ(f), σ(o), tanh(g) and tanh(c), unless steps are so large that these are computed again.
int tape_minimum(const Size& size) { return size.batch * size.hidden < 4096 ? 11 : 6; }

void print_row(const Size& size) {
    const Problem<float> problem = make_problem<float>(Cell::lstm, size);
    const double unit = static_cast<double>(size.steps * size.batch * size.hidden * sizeof(float));
    const double gradients = gradient_bytes(problem);
    const auto beside = [&](const Step& step) { return (step.peak - gradients - step.packed) / unit; };

    const Step hand = measure(problem, handwritten_contenders<float>, Author::hand);
    const Step nn = measure(problem, keeping_contenders, Author::nn);
    const Step user = measure(problem, keeping_contenders, Author::user);
    const Step releasing = measure(problem, releasing_contenders, Author::nn);
    const Step user_releasing = measure(problem, releasing_contenders, Author::user);
    const Step torch = measure(problem, libtorch_contenders<float>, Author::libtorch_module);
    const Step torch_cell = measure(problem, libtorch_contenders<float>, Author::libtorch_cell);
    std::printf("%-16s %9.0f %10.2f %9.2f %7d", text_of(size).c_str(), unit / 1024, gradients / unit,
                nn.packed / unit, tape_minimum(size));
    for (const Step& step : {hand, nn, user, releasing, user_releasing, torch, torch_cell})
        std::printf(" %15.2f", beside(step));
    Targets row;
    row.at_most("nn releasing", beside(releasing), 14)
        .at_most("user's releasing", beside(user_releasing), 14)
        .at_most("nn releasing / libtorch module", beside(releasing) / beside(torch), 1)
        .at_most("nn releasing / libtorch module, all in all", releasing.peak / torch.peak, 1);
    std::printf("  %s\n", row.verdict().c_str());
    std::fflush(stdout);
}

}  // namespace

bool memory_table(const Settings& settings) {
    if (!AllocationCount::works) {
        std::printf("\nMemory: not measured without glibc\n");
        return true;
    }
    std::printf(
        "\nMemory of the first training step of an LSTM, float: the most that was asked of the allocator at "
        "one time, beside\nparameters and inputs, all gradients that are returned, and packed copies of the "
        "weights, in units of T B H values.\nminimum: what this tape keeps of a step. releasing: the sweep "
        "gives the values' memory to gradients, as libtorch's does.\n"
        "%-16s %9s %10s %9s %7s",
        "B,T,D,H", "unit, KiB", "gradients", "packed", "minimum");
    for (const char* name : {"hand-written", "xtape nn", "user's cell", "nn releasing", "user releasing",
                             "libtorch module", "libtorch cell"})
        std::printf(" %15s", name);
    std::printf("  targets\n");
    for (const Size& size : settings.sizes) print_row(size);
    return true;
}

}  // namespace bench
