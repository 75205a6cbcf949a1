#include <signal.h>

#include <filesystem>
#include <string>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE(
    "custom_cell: the gradient is checked, an easy adding problem is solved, and both curves are drawn") {
    const TemporaryDirectory directory;
    const Run run =
        run_program("custom_cell", {"-T", "4", "-H", "16", "--goal", "0.05", "--lr", "0.01"}, directory);
    INFO(run.err);
    CHECK(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("agrees with finite differences") &&
                            Contains("minimal gated unit: test error") && Contains("(solved)") &&
                            Contains("RNN: test error"));
    CHECK(lines(contents_of(directory / "custom_cell.csv")) > 2);
    CHECK_THAT(contents_of(directory / "custom_cell.svg"), Contains("</svg>"));
}

TEST_CASE("custom_cell: a problem that isn't solved in the steps allowed gives 1, curves and all") {
    const TemporaryDirectory directory;
    const Run run = run_program("custom_cell", {"-T", "10", "-H", "4", "--steps", "5"}, directory);
    CHECK(run.exit_code == 1);
    CHECK_THAT(run.out, Contains("(not solved)"));
    CHECK(std::filesystem::exists(directory / "custom_cell.csv"));
}

TEST_CASE("custom_cell: Ctrl-C saves the curves so far") {
    const TemporaryDirectory directory;
    bool sent = false;
    const Run run =
        run_program("custom_cell", {"-T", "20", "-H", "8", "--goal", "1e-30", "--steps", "10000000"},
                    directory, [&](pid_t process, const std::string& printed) {
                        if (sent || printed.find("steps/s") == std::string::npos) return;
                        kill(process, SIGINT);
                        sent = true;
                    });
    CHECK(run.exit_code == 130);
    CHECK(std::filesystem::exists(directory / "custom_cell.csv"));
    CHECK(std::filesystem::exists(directory / "custom_cell.svg"));
}
