#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE("seq2seq: learns to reverse short strings better than by copying, and shows what it answers") {
    const TemporaryDirectory directory;
    const Run run = run_program(
        "seq2seq", {"--task", "reverse", "--digits", "3", "-H", "48", "--steps", "600", "--examples", "3"},
        directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("copying:") && Contains("the most frequent:") && Contains("Some of them:"));
    const std::string csv = contents_of(directory / "seq2seq.csv");
    const double majority = column(csv, "the most frequent character at each place").back();
    const double copying = column(csv, "copying").back();  // % of the held-out strings
    CHECK(majority < 50);
    CHECK(copying < 60);  // all strings of one digit, and palindromes
    CHECK(column(csv, "% of 1000 held-out strings answered right").back() > copying + 10);
    CHECK_THAT(contents_of(directory / "seq2seq.svg"), Contains("</svg>"));
}

TEST_CASE("seq2seq: each task and each cell runs, with a seed to the same numbers") {
    const TemporaryDirectory directory;
    for (const char* cell : {"lstm", "gru", "rnn"}) {
        std::vector<std::vector<double>> losses;
        for (const char* seed : {"1", "1", "2"}) {
            REQUIRE(run_program("seq2seq", {"-H", "8", "--steps", "20", "--cell", cell, "--seed", seed},
                                directory)
                        .exit_code == 0);
            losses.push_back(column(contents_of(directory / "seq2seq.csv"), "training loss"));
        }
        CHECK(losses[0] == losses[1]);
        CHECK(losses[0] != losses[2]);
    }
}
