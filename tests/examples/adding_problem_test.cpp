#include <string>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE("adding_problem: on short sequences each gated cell soon does better than always saying 1") {
    const TemporaryDirectory directory;
    for (const char* cell : {"lstm", "gru"}) {
        const Run run =
            run_program("adding_problem",
                        {"-T", "6", "-H", "16", "--goal", "0.05", "--lr", "0.01", "--cell", cell}, directory);
        INFO(run.err);
        REQUIRE(run.exit_code == 0);
        CHECK_THAT(run.out, Contains("test error") && Contains("always saying 1 has 0.1667"));
        CHECK(column(contents_of(directory / "adding_problem.csv"), "mean square error on 500 new sequences")
                  .back() < 0.05);
        CHECK_THAT(contents_of(directory / "adding_problem.svg"), Contains("always saying 1 (0.167)"));
    }
}

TEST_CASE("adding_problem: several cells are trained one after the other, and drawn together") {
    const TemporaryDirectory directory;
    const Run run = run_program("adding_problem",
                                {"-T", "5", "-H", "4", "--steps", "3", "--cell", "rnn", "gru"}, directory);
    CHECK(run.exit_code == 0);
    CHECK(run.out.find("RNN: test error") < run.out.find("GRU: test error"));
    const std::string picture = contents_of(directory / "adding_problem.svg");
    CHECK_THAT(picture, Contains("RNN") && Contains("GRU") && !Contains("LSTM"));
}
