// How long a user waits for the compiler: a cell of one's own with all of xtape, beside including xtensor and
// xtensor-blas alone and beside the same cell with libtorch. And how large the result is.

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "benchmarks/machine.hpp"
#include "benchmarks/turns.hpp"

namespace {

struct Source {
    const char* name;
    const char* command;
};
struct File {
    const char* name;
    const char* path;
};

// Written by CMake.
const std::vector<Source> sources = {
#include "compile_time_sources.inc"
};
const std::vector<File> files = {
#include "compile_time_files.inc"
};

double user_seconds_of_children() {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec) + 1e-6 * static_cast<double>(usage.ru_utime.tv_usec);
}

void compile(const Source& source) {
    if (std::system(source.command) != 0)
        throw std::runtime_error(std::string(source.name) + " doesn't compile: " + source.command);
}

void compare_times(int rounds) {
    std::vector<std::vector<double>> times(sources.size());
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < sources.size(); ++i) {
            const double start = user_seconds_of_children();
            compile(sources[i]);
            times[i].push_back(user_seconds_of_children() - start);
        }
    std::printf("\n%-44s %9s %9s\n", "compiling, with -O2", "user s", "ratio");
    for (std::size_t i = 0; i < sources.size(); ++i)
        std::printf("%-44s %9.2f %9.2f\n", sources[i].name, bench::median(times[i]),
                    bench::median(times[i]) / bench::median(times[0]));
}

void compare_sizes() {
    std::printf("\n%-44s %9s\n", "size, stripped", "MB");
    for (const File& file : files) {
        if (std::filesystem::exists(file.path))
            std::printf("%-44s %9.1f\n", file.name,
                        1e-6 * static_cast<double>(std::filesystem::file_size(file.path)));
    }
}

}  // namespace

int main(int argc, char** argv) {
    int rounds = 3;
    CLI::App app("Times the compiler on a program with xtape, beside xtensor alone and libtorch.");
    app.add_option("--rounds", rounds, "how often each is compiled")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        std::printf("%s", bench::processor_and_compiler().c_str());
        compare_times(rounds);
        compare_sizes();
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "compile_time: %s\n", error.what());
        return 1;
    }
}
