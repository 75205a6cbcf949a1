// Forward and backward of RNN, LSTM and GRU layers, by xtape, by hand and by other libraries, on one thread.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "benchmarks/agreement.hpp"
#include "benchmarks/contender.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/turns.hpp"

namespace {

using namespace bench;

const std::map<std::string, Cell> cell_names = {
    {"rnn", Cell::rnn}, {"lstm", Cell::lstm}, {"gru", Cell::gru}, {"gru-reset-after", Cell::gru_reset_after}};

struct Options {
    std::vector<std::string> cells = {"rnn", "lstm", "gru", "gru-reset-after"};
    std::vector<std::string> sizes = {"1,50,64,64", "1,100,32,32", "16,50,64,128", "32,100,128,256",
                                      "64,50,256,512"};
    std::string dtype = "float";
    double seconds = 3;
    bool quick = false;
};

Size parse_size(const std::string& text) {
    std::istringstream in(text);
    Size size{};
    char comma = ',';
    in >> size.batch >> comma >> size.steps >> comma >> size.inputs >> comma >> size.hidden;
    if (!in || size.batch == 0 || size.steps < 2 || size.inputs == 0 || size.hidden == 0)
        throw CLI::ValidationError("--sizes", "'" + text + "' isn't B,T,D,H with B, D, H > 0 and T > 1");
    return size;
}

template <class T>
Problem<T> make_problem(Cell cell, Size size) {
    std::mt19937 engine(42);
    auto normal = [&engine](std::size_t count, double deviation) {
        std::normal_distribution<double> distribution(0, deviation);
        Buffer<T> result(count);
        for (T& value : result) value = static_cast<T>(distribution(engine));
        return result;
    };
    const std::size_t rows = gate_count(cell) * size.hidden, samples = size.steps * size.batch;
    const double deviation = std::sqrt(2.0 / static_cast<double>(size.inputs + size.hidden));
    return {cell,
            size,
            normal(samples * size.inputs, 1),
            normal(rows * size.inputs, deviation),
            normal(rows * size.hidden, deviation),
            normal(rows, 0.1),
            normal(cell == Cell::gru_reset_after ? size.hidden : 0, 0.1),
            normal(samples * size.hidden, 1)};
}

/// Runs every contender once and compares all results with the first one's. Nothing is timed that isn't right.
template <class T>
bool agree(Contenders<T>& contenders) {
    const double tolerance = std::is_same_v<T, float> ? 2e-4 : 1e-11;
    bool right = true;
    Results<T> expected;
    for (std::size_t i = 0; i < contenders.size(); ++i) {
        contenders[i]->run();
        Results<T> actual = contenders[i]->results();
        if (i == 0) expected = actual;
        const std::pair<const char*, Buffer<T> Results<T>::*> parts[] = {
            {"h", &Results<T>::h},       {"dx", &Results<T>::dx},    {"dW_x", &Results<T>::dw_x},
            {"dW_h", &Results<T>::dw_h}, {"db", &Results<T>::dbias}, {"dc_n", &Results<T>::dbias_n}};
        for (auto [part, member] : parts)
            right &= same_part(contenders[0]->name(), contenders[i]->name(), part, expected.*member,
                               actual.*member, tolerance);
    }
    return right;
}

template <class T>
std::vector<Work> runs(Contenders<T>& contenders) {
    std::vector<Work> result;
    for (auto& contender : contenders) result.push_back([&contender] { contender->run(); });
    return result;
}

template <class T>
bool compare(const Options& options) {
    bool right = true;
    for (const std::string& name : options.cells) {
        std::printf("\n%s, forward and backward, µs (and as a multiple of the hand-written code's)\n",
                    name.c_str());
        bool header = false;
        for (const std::string& text : options.sizes) {
            Problem<T> problem = make_problem<T>(cell_names.at(name), parse_size(text));
            Contenders<T> all;
            for (auto make : {handwritten_contenders<T>, xtape_contenders<T>, onednn_contenders<T>,
                              libtorch_contenders<T>})
                for (auto& contender : make(problem)) all.push_back(std::move(contender));
            if (!header) {
                std::printf("%-16s", "B,T,D,H");
                for (const auto& contender : all) std::printf(" %22s", contender->name().c_str());
                std::printf(" %10s\n", "GFLOP/s");
                header = true;
            }
            if (!agree(all)) {
                right = false;
                continue;
            }
            std::vector<double> time = time_in_turns(runs(all), options.seconds);
            std::printf("%-16s", text.c_str());
            for (double t : time) std::printf(" %13.1f (%6.2f)", t * 1e6, t / time[0]);
            // A product of a×b and b×c takes 2abc; there are three for each of W_x and W_h.
            const Size s = problem.size;
            double flops = 6.0 * static_cast<double>(s.steps * s.batch * (s.inputs + s.hidden)) *
                           static_cast<double>(gate_count(problem.cell) * s.hidden);
            std::printf(" %10.1f\n", flops / time[0] * 1e-9);
            std::fflush(stdout);
        }
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app(
        "Times recurrent layers, forward and backward, against the same work by hand and by other "
        "libraries.");
    app.add_option("--cells", options.cells, "rnn, lstm, gru, gru-reset-after")
        ->delimiter(',')
        ->check(CLI::IsMember({"rnn", "lstm", "gru", "gru-reset-after"}))
        ->capture_default_str();
    app.add_option("--sizes", options.sizes, "sizes B,T,D,H, separated by spaces")->capture_default_str();
    app.add_option("--dtype", options.dtype, "float or double")
        ->check(CLI::IsMember({"float", "double"}))
        ->capture_default_str();
    app.add_option("--seconds", options.seconds, "time for each cell and size")->capture_default_str();
    app.add_flag("--quick", options.quick, "the three small sizes, 0.3 s each");
    CLI11_PARSE(app, argc, argv);
    if (options.quick) {
        options.seconds = 0.3;
        options.sizes.resize(std::min<std::size_t>(options.sizes.size(), 3));
    }
    try {
        for (const std::string& size : options.sizes) parse_size(size);
        use_one_blas_thread();
        std::printf("%s", machine_description().c_str());
        for (const std::string& version : {onednn_version(), libtorch_version()})
            if (!version.empty()) std::printf("%s\n", version.c_str());
        for (const std::string& warning : machine_warnings()) std::printf("WARNING: %s\n", warning.c_str());
        bool right = options.dtype == "float" ? compare<float>(options) : compare<double>(options);
        return right ? 0 : 1;
    } catch (const CLI::Error& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "recurrent: %s\n", error.what());
        return 1;
    }
}
