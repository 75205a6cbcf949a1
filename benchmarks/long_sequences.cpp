#include <cstddef>
#include <cstdio>

#include "benchmarks/author_times.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

bool print_row(Cell cell, const Size& size, double seconds, bool header) {
    const Problem<float> problem = make_problem<float>(cell, size);
    const Contenders<float> all = own_contenders(problem);
    if (header) {
        std::printf("%-18s", "B,T,D,H");
        AuthorTimes<float>::print_header(all);
        std::printf("  targets\n");
    }
    if (!agree(all)) return false;
    const AuthorTimes<float> time(all, time_in_turns(runs(all), seconds));
    std::printf("%-18s", text_of(size).c_str());
    time.print();
    const double by_hand = time[Author::hand];
    Targets row;
    row.at_most("nn / hand-written", time[Author::nn] / by_hand, 1.05)
        .at_most("user's cell / hand-written", time[Author::user] / by_hand, 1.05);
    std::printf("  %s\n", row.verdict().c_str());
    std::fflush(stdout);
    return true;
}

}  // namespace

bool long_table(const Settings& settings) {
    std::printf(
        "\nLong sequences, float, forward and backward, µs (and as a multiple of the hand-written code's)\n");
    bool right = true;
    for (const Cell cell : settings.cells) {
        std::printf("\n%s\n", name_of(cell).c_str());
        bool header = true;
        for (Size size : settings.sizes) {
            if (size.batch > 16) continue;  // gigabytes
            for (const std::size_t steps : {1000u, 10000u}) {
                if (settings.quick && (steps > 1000 || size.batch > 1)) continue;
                size.steps = steps;
                right &= print_row(cell, size, settings.seconds, header);
                header = false;
            }
        }
    }
    return right;
}

}  // namespace bench
