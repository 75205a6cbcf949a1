// Everything that isn't a recurrent layer, by xtape, by hand and by other libraries, on one thread: statements,
// reductions, softmax, cross entropy, rows of a table, Adam, many tiny ops in a row, and a training step of two layers.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include "benchmarks/agreement.hpp"
#include "benchmarks/floors.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/ops/contender.hpp"
#include "benchmarks/turns.hpp"

namespace {

using namespace bench;
using namespace bench::ops;

struct Options {
    std::vector<std::string> tables = {"statements", "reductions", "softmax", "cross-entropy",
                                       "take",       "adam",       "chain",   "mlp"};
    std::string dtype = "float";
    double seconds = 1;
    bool quick = false;
};

/// Random numbers, the same in each run of the program.
template <class T>
class Numbers {
public:
    Buffer<T> normal(std::size_t count, double deviation = 1) {
        std::normal_distribution<double> distribution(0, deviation);
        Buffer<T> result(count);
        for (T& value : result) value = static_cast<T>(distribution(engine_));
        return result;
    }
    std::vector<std::int64_t> below(std::size_t bound, std::size_t count) {
        std::uniform_int_distribution<std::int64_t> distribution(0, static_cast<std::int64_t>(bound) - 1);
        std::vector<std::int64_t> result(count);
        for (std::int64_t& value : result) value = distribution(engine_);
        return result;
    }

private:
    std::mt19937 engine_{42};
};

/// Rows of tables: all peers do the same, agree, and are timed.
template <class T>
class Tables {
public:
    explicit Tables(double seconds) : seconds_(seconds) {
        for (const Peer<T>* peer :
             {xtape_peer<T>(), handwritten_peer<T>(), xtensor_peer<T>(), eigen_peer<T>(), libtorch_peer<T>()})
            if (peer != nullptr) peers_.push_back(peer);
    }

    const std::vector<const Peer<T>*>& peers() const { return peers_; }
    /// Whether all that ran agreed.
    bool right() const { return right_; }

    void title(const char* text) const {
        std::printf("\n%s, µs\n%-30s %9s", text, "", "floor");
        for (const Peer<T>* peer : peers_) std::printf(" %12s", peer->name().c_str());
        std::printf("  xtape to the best peer\n");
    }

    /// `make` is what a Peer calls the contender for this work; `parts` names the results.
    template <class Work>
    void row(const std::string& name, const Work& work, const Cost& cost,
             Entry<T> (Peer<T>::*make)(const Work&) const, const std::vector<const char*>& parts) {
        std::vector<Competitor> all;
        for (const Peer<T>* peer : peers_)
            if (Entry<T> contender = (peer->*make)(work)) all.push_back({peer, std::move(contender)});
        if (!agree(name, all, parts)) {
            right_ = false;
            return;
        }
        std::vector<bench::Work> runs;
        for (const Competitor& each : all) runs.push_back([&each] { each.contender->run(); });
        print(name, floor_of<T>(cost), all, time_in_turns(runs, seconds_));
    }

private:
    struct Competitor {
        const Peer<T>* peer;
        Entry<T> contender;
    };

    static bool agree(const std::string& row, const std::vector<Competitor>& all,
                      const std::vector<const char*>& parts) {
        const double tolerance = std::is_same_v<T, float> ? 1e-4 : 1e-12;
        bool right = true;
        std::vector<Buffer<T>> expected;
        for (const Competitor& each : all) {
            each.contender->run();
            const std::vector<Buffer<T>> actual = each.contender->results();
            if (expected.empty()) expected = actual;
            for (std::size_t k = 0; k < expected.size(); ++k)
                right &= same_part(all[0].peer->name(), each.peer->name(), row + ": " + parts[k], expected[k],
                                   actual[k], tolerance);
        }
        return right;
    }

    void print(const std::string& name, double floor, const std::vector<Competitor>& all,
               const std::vector<double>& time) const {
        std::printf("%-30s %9.3f", name.c_str(), floor * 1e6);
        std::size_t i = 0, best = 1;
        for (const Peer<T>* peer : peers_) {
            if (i < all.size() && all[i].peer == peer)
                std::printf(" %12.3f", time[i++] * 1e6);
            else
                std::printf(" %12s", "-");
        }
        for (std::size_t k = 1; k < time.size(); ++k)
            if (time[k] < time[best]) best = k;
        std::printf("  %5.2f %s\n", time[0] / time[best], all[best].peer->name().c_str());
        std::fflush(stdout);
    }

    double seconds_;
    bool right_ = true;
    std::vector<const Peer<T>*> peers_;
};

std::string sizes(std::size_t rows, std::size_t cols) {
    return "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")";
}

/// The time to move `count` numbers of arrays of `footprint` ones.
template <class T>
Cost numbers(std::size_t count, std::size_t footprint) {
    return {.bytes = static_cast<double>(count * sizeof(T)), .footprint = footprint * sizeof(T)};
}

template <class T>
void statement(Tables<T>& tables, std::size_t ops, std::size_t rows, std::size_t cols, bool row_c) {
    Numbers<T> random;
    Statement<T> work{ops, rows, cols, row_c, {}, random.normal(rows * cols)};
    for (std::size_t k = 0; k < 5; ++k)
        work.operands[k] = random.normal(row_c && k == 2 ? cols : rows * cols);
    // Forward reads what is used and writes y; backward reads that and dy, and writes a gradient for each.
    const std::size_t whole = work.used() - (row_c ? 1 : 0);
    const std::string name = std::to_string(ops) + (ops == 1 ? " op, " : " ops, ") +
                             (row_c ? sizes(rows, cols) + " and a row" : std::to_string(rows * cols));
    tables.row(name, work, numbers<T>((3 * whole + 2) * rows * cols, (2 * whole + 2) * rows * cols),
               &Peer<T>::statement, {"y", "da", "db", "dc", "dd", "de"});
}

template <class T>
void statements(Tables<T>& tables) {
    tables.title("Statements, forward and backward");
    for (std::size_t n : {256, 4096, 65536})
        for (std::size_t ops : {1, 2, 4, 8, 12}) statement(tables, ops, 1, n, false);
    for (std::size_t n : {256, 4096, 65536}) statement(tables, 4, n / 64, 64, true);
}

template <class T>
void reductions(Tables<T>& tables) {
    using Over = typename Reduction<T>::Over;
    tables.title("Reductions, forward and backward");
    const auto reduce = [&](bool mean, Over over, std::size_t rows, std::size_t cols) {
        Numbers<T> random;
        Reduction<T> work{mean, over, rows, cols, random.normal(rows * cols), {}};
        work.dy = random.normal(work.result_size());
        const std::string shape = rows == 1 ? "(" + std::to_string(cols) + ")" : sizes(rows, cols);
        const char* axis = over == Over::first ? "axis 0" : over == Over::last ? "axis 1" : "all";
        tables.row((mean ? "mean of " : "sum of ") + shape + ", " + axis, work,
                   numbers<T>(2 * rows * cols, 2 * rows * cols), &Peer<T>::reduction, {"y", "dx"});
    };
    for (bool mean : {false, true}) {
        for (Over over : {Over::first, Over::last, Over::both}) reduce(mean, over, 64, 512);
        reduce(mean, Over::both, 1, 4096);
    }
}

struct Sizes {
    std::size_t rows, cols;
};
constexpr Sizes logits_sizes[] = {{32, 1000}, {64, 96}, {512, 10000}};

template <class T>
void softmax(Tables<T>& tables) {
    tables.title("Softmax of each row, forward and backward");
    for (const auto [rows, cols] : logits_sizes) {
        Numbers<T> random;
        const Softmax<T> work{rows, cols, random.normal(rows * cols, 3), random.normal(rows * cols)};
        tables.row(sizes(rows, cols), work, numbers<T>(5 * rows * cols, 4 * rows * cols), &Peer<T>::softmax,
                   {"y", "dx"});
    }
}

template <class T>
void cross_entropy(Tables<T>& tables) {
    tables.title("Cross entropy, forward and backward");
    for (const auto [rows, cols] : logits_sizes) {
        Numbers<T> random;
        const CrossEntropy<T> work{rows, cols, random.normal(rows * cols, 3), random.below(cols, rows)};
        tables.row(sizes(rows, cols), work, numbers<T>(2 * rows * cols, 2 * rows * cols),
                   &Peer<T>::cross_entropy, {"loss", "dlogits"});
    }
}

template <class T>
void take(Tables<T>& tables) {
    tables.title("Rows of a table, and the table's gradient");
    Numbers<T> random;
    const std::size_t rows = 10000, cols = 128, count = 256;
    const Take<T> work{rows, cols, random.normal(rows * cols), random.below(rows, count),
                       random.normal(count * cols)};
    tables.row(std::to_string(count) + " of " + sizes(rows, cols), work,
               numbers<T>((rows + 4 * count) * cols, 2 * rows * cols), &Peer<T>::take, {"y", "dtable"});
}

template <class T>
void adam(Tables<T>& tables) {
    tables.title("A step of Adam");
    for (std::size_t n : {10000, 1000000}) {
        Numbers<T> random;
        const Adam<T> work{random.normal(n), random.normal(n)};
        tables.row(std::to_string(n) + " parameters", work, numbers<T>(7 * n, 4 * n), &Peer<T>::adam, {"p"});
    }
}

template <class T>
void chain(Tables<T>& tables) {
    tables.title("Tiny ops in a row, each by itself, forward and backward");
    Numbers<T> random;
    const std::size_t n = 8, length = 100;
    const Chain<T> work{length, random.normal(n), random.normal(n), random.normal(n), random.normal(n)};
    // An op reads x and writes y; on the way back it reads them and dy, and writes dx.
    tables.row(std::to_string(length) + " ops of " + std::to_string(n), work,
               numbers<T>(6 * length * n, 2 * length * n), &Peer<T>::chain, {"y", "dx", "dw", "db"});
}

template <class T>
void mlp(Tables<T>& tables) {
    tables.title("A training step of two layers, with cross entropy and Adam");
    Numbers<T> random;
    const std::size_t batch = 64, inputs = 784, hidden = 256, outputs = 10;
    const Mlp<T> work{batch,
                      inputs,
                      hidden,
                      outputs,
                      random.normal(batch * inputs),
                      random.normal(hidden * inputs, 0.05),
                      random.normal(hidden, 0.1),
                      random.normal(outputs * hidden, 0.1),
                      random.normal(outputs, 0.1),
                      random.below(outputs, batch)};
    // Products: two with the large weight, three with the small one.
    const Cost cost{.flops = 2.0 * static_cast<double>(batch * hidden * (2 * inputs + 3 * outputs))};
    tables.row("64 x 784-256-10", work, cost, &Peer<T>::mlp, {"loss", "dw1", "db1", "dw2", "db2"});
}

template <class T>
bool compare(const Options& options) {
    Tables<T> tables(options.seconds);
    for (const Peer<T>* peer : tables.peers())
        if (!peer->version().empty()) std::printf("%s\n", peer->version().c_str());
    for (const std::string& warning : machine_warnings()) std::printf("WARNING: %s\n", warning.c_str());
    std::printf("%s; floors from %.0f GFLOP/s and %.0f, %.0f and %.0f GB/s over 16 KB, 512 KB and 64 MB\n",
                options.dtype.c_str(), fma_peak<T>() * 1e-9, stream_bandwidth(16 << 10) * 1e-9,
                stream_bandwidth(512 << 10) * 1e-9, stream_bandwidth(64 << 20) * 1e-9);
    const std::map<std::string, void (*)(Tables<T>&)> all = {{"statements", &statements<T>},
                                                             {"reductions", &reductions<T>},
                                                             {"softmax", &softmax<T>},
                                                             {"cross-entropy", &cross_entropy<T>},
                                                             {"take", &take<T>},
                                                             {"adam", &adam<T>},
                                                             {"chain", &chain<T>},
                                                             {"mlp", &mlp<T>}};
    for (const std::string& name : options.tables) all.at(name)(tables);
    return tables.right();
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app(
        "Times ops that aren't recurrent layers, against the same work by hand and by other libraries.");
    app.add_option("--tables", options.tables, "which tables, separated by commas")
        ->delimiter(',')
        ->check(CLI::IsMember(options.tables))
        ->capture_default_str();
    app.add_option("--dtype", options.dtype, "float or double")
        ->check(CLI::IsMember({"float", "double"}))
        ->capture_default_str();
    app.add_option("--seconds", options.seconds, "time for each row")->capture_default_str();
    app.add_flag("--quick", options.quick, "0.1 s for each row");
    CLI11_PARSE(app, argc, argv);
    if (options.quick) options.seconds = 0.1;
    try {
        use_one_blas_thread();
        std::printf("%s", machine_description().c_str());
        return (options.dtype == "float" ? compare<float>(options) : compare<double>(options)) ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ops: %s\n", error.what());
        return 1;
    }
}
