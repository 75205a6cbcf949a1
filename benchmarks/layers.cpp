#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "benchmarks/author_times.hpp"
#include "benchmarks/floors.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"

namespace bench {
namespace {

/// How many times as long as ours libtorch's module is to take: what it spends beside the products matters less and less
/// at larger batches.
double libtorch_bound(std::size_t batch) { return batch < 16 ? 20 : batch < 32 ? 3 : batch < 64 ? 1.6 : 1.3; }

template <class T>
Targets targets(const AuthorTimes<T>& time, const Size& size) {
    const double ours = time[Author::nn];
    Targets result;
    result.at_least("oneDNN / nn", time[Author::onednn] / ours, size.batch < 64 ? 1 : 0.97)
        .at_least("libtorch module / nn", time[Author::libtorch_module] / ours, libtorch_bound(size.batch))
        .at_most("user's cell / nn", time[Author::user] / ours, 1.05);
    if (size.batch == 1)
        result.at_least("libtorch cell / user's", time[Author::libtorch_cell] / time[Author::user], 20);
    return result;
}

class GeometricMean {
public:
    void add(double ratio) {
        if (std::isnan(ratio)) return;
        logarithms_ += std::log(ratio);
        ++count_;
    }
    double value() const { return count_ > 0 ? std::exp(logarithms_ / count_) : NAN; }

private:
    double logarithms_ = 0;
    int count_ = 0;
};

/// One row: false if the contenders disagree.
template <class T>
bool print_row(Cell cell, const Size& size, double seconds, double peak, bool header, GeometricMean& onednn) {
    constexpr bool beside_float = std::is_same_v<T, double>;
    const Problem<T> problem = make_problem<T>(cell, size);
    const Contenders<T> all = all_contenders(problem);
    // In float only what the rows of double are compared with.
    const Problem<float> float_problem = make_problem<float>(cell, beside_float ? size : Size{1, 2, 1, 1});
    const Contenders<float> floats = beside_float ? own_contenders(float_problem) : Contenders<float>();
    if (header) {
        std::printf("%-16s %10s", "B,T,D,H", "floor");
        AuthorTimes<T>::print_header(all);
        for (const auto& contender : floats) std::printf(" %18s / float", name(contender->author()));
        std::printf("  targets\n");
    }
    if (!agree(all)) return false;

    std::vector<Work> work = runs(all);
    for (const Work& run : runs(floats)) work.push_back(run);
    const std::vector<double> medians = time_in_turns(work, seconds);
    const AuthorTimes<T> time(all, medians);
    Targets row = targets(time, size);
    std::printf("%-16s %10.1f", text_of(size).c_str(), operations(cell, size) / peak * 1e-3);
    time.print();
    for (std::size_t i = 0; i < floats.size(); ++i) {
        const Author author = floats[i]->author();
        const double ratio = time[author] / medians[all.size() + i];
        std::printf(" %26.2f", ratio);
        if (author != Author::hand) row.at_most(std::string(name(author)) + " / float", ratio, 2.3);
    }
    std::printf("  %s\n", row.verdict().c_str());
    std::fflush(stdout);
    onednn.add(time[Author::onednn] / time[Author::nn]);
    return true;
}

template <class T>
bool compare(const Settings& settings) {
    const double peak = fma_peak<T>() * 1e-9;
    std::printf(
        "\nLayers in %s, forward and backward, µs (and as a multiple of the hand-written code's).\n"
        "floor: the products alone at the %.0f GFLOP/s that this core reaches in registers\n",
        std::is_same_v<T, float> ? "float" : "double", peak);
    bool right = true;
    for (const Cell cell : settings.cells) {
        std::printf("\n%s\n", name_of(cell).c_str());
        bool header = true;
        GeometricMean onednn;
        for (const Size& size : settings.sizes) {
            right &= print_row<T>(cell, size, settings.seconds, peak, header, onednn);
            header = false;
        }
        if (!std::isnan(onednn.value()))
            std::printf("oneDNN / nn, geometric mean: %.2f  %s\n", onednn.value(),
                        Targets().at_least("", onednn.value(), 1.4).verdict().c_str());
    }
    return right;
}

}  // namespace

bool layers_table(const Settings& settings) { return compare<float>(settings); }
bool double_table(const Settings& settings) { return compare<double>(settings); }

}  // namespace bench
