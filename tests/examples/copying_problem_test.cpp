#include <signal.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE("copying_problem: with a short delay the loss falls below that of a model without a memory") {
    const TemporaryDirectory directory;
    const Run run =
        run_program("copying_problem", {"-T", "2", "-H", "48", "--steps", "300", "--cell", "gru"}, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const double baseline = 10 * std::log(8.0) / 22;
    char expected[64];
    std::snprintf(expected, sizeof expected, "10 ln 8 / (T + 20) = %.4f", baseline);
    CHECK_THAT(run.out, Contains(expected) && Contains("times below the baseline"));
    CHECK(
        column(contents_of(directory / "copying_problem.csv"), "nats per step, on 200 new sequences").back() <
        0.9 * baseline);
    CHECK_THAT(contents_of(directory / "copying_problem.svg"), Contains("</svg>"));
}

TEST_CASE("copying_problem: Ctrl-C saves the curves so far") {
    const TemporaryDirectory directory;
    bool sent = false;
    const Run run = run_program("copying_problem", {"-T", "5", "-H", "8", "--steps", "10000000"}, directory,
                                [&](pid_t process, const std::string& printed) {
                                    if (sent || printed.find("steps/s") == std::string::npos) return;
                                    kill(process, SIGINT);
                                    sent = true;
                                });
    CHECK(run.exit_code == 130);
    CHECK(std::filesystem::exists(directory / "copying_problem.csv"));
    CHECK(std::filesystem::exists(directory / "copying_problem.svg"));
}
