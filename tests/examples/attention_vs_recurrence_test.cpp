#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

namespace {

const std::vector<std::string> small_comparison = {"-T",      "40", "-H",      "8",   "-B",  "2",
                                                   "--heads", "2",  "--sizes", "512", "128", "256"};

/// A row of a CSV file by the names of its columns; 0 is the first one of numbers.
std::map<std::string, double> named_row(const std::string& csv, std::size_t row) {
    std::istringstream lines(csv);
    std::string header, line;
    std::getline(lines, header);
    for (std::size_t k = 0; k <= row; ++k) std::getline(lines, line);
    const std::vector<double> numbers = last_row("\n" + line + "\n");
    std::map<std::string, double> result;
    std::istringstream names(header);
    std::size_t column = 0;
    for (std::string name; std::getline(names, name, ',') && column < numbers.size();)
        result[name] = numbers[column++];
    return result;
}

}  // namespace

TEST_CASE("attention_vs_recurrence: gradients fade in recurrences, and reach every position by attention") {
    const TemporaryDirectory directory;
    const Run run = run_program("attention_vs_recurrence", small_comparison, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("What to see") && Contains("slope"));
    CHECK_THAT(contents_of(directory / "attention_vs_recurrence.svg"),
               Contains("</svg>") && Contains("attention, slope"));
    const std::string csv = contents_of(directory / "attention_vs_recurrence.csv");
    CHECK(lines(csv) == 41);
    auto near = named_row(csv, 1), far = named_row(csv, 39);
    REQUIRE(far["T - t"] == 39);
    for (const std::string cell : {"dL/dx RNN", "dL/dx LSTM", "dL/dx GRU"}) {
        INFO(cell);
        CHECK(far[cell] > 0);
        CHECK(far[cell] < 1e-2 * near[cell]);
    }
    CHECK(far["dL/dx attention"] > 0.05 * near["dL/dx attention"]);
}

TEST_CASE("attention_vs_recurrence: memory grows with T in recurrences and with its square in attention") {
    const TemporaryDirectory directory;
    const Run run =
        run_program("attention_vs_recurrence", with(small_comparison, {"--output", "a.png"}), directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK(contents_of(directory / "a.png").substr(1, 3) == "PNG");
    const std::string csv = contents_of(directory / "a.csv");
    auto shorter = named_row(csv, 1), longer = named_row(csv, 2);
    REQUIRE(shorter["T"] == 256);  // in ascending order, whatever the order given
    REQUIRE(longer["T"] == 512);
    for (const std::string cell : {"RNN", "LSTM", "GRU"}) {
        INFO(cell);
        CHECK(longer["bytes " + cell] < 2.5 * shorter["bytes " + cell]);
        CHECK(longer["seconds " + cell] > 0);
    }
    CHECK(longer["bytes attention"] > 3 * shorter["bytes attention"]);
    CHECK(longer["bytes attention"] >
          2 * 2 * 512 * 512 * sizeof(double));  // scores and weights of both heads
}

TEST_CASE("attention_vs_recurrence: a seed gives the same gradients again, another seed others") {
    const TemporaryDirectory directory;
    std::vector<std::map<std::string, double>> rows;
    for (const char* seed : {"1", "1", "2"}) {
        const std::vector<std::string> small = {"-T",      "4", "-H", "4",      "-B", "1",
                                                "--sizes", "2", "4",  "--seed", seed};
        REQUIRE(run_program("attention_vs_recurrence", small, directory).exit_code == 0);
        rows.push_back(named_row(contents_of(directory / "attention_vs_recurrence.csv"), 3));
    }
    for (const std::string model : {"RNN", "LSTM", "GRU", "attention"}) {
        CHECK(rows[0]["dL/dx " + model] == rows[1]["dL/dx " + model]);
        CHECK(rows[0]["dL/dx " + model] != rows[2]["dL/dx " + model]);
    }
}

TEST_CASE("attention_vs_recurrence: what can't be compared is a clear error before anything is computed") {
    const TemporaryDirectory directory;
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("attention_vs_recurrence", arguments, directory);
        CHECK(run.exit_code == 1);
        CHECK(run.out.empty());
        return run.err;
    };
    CHECK_THAT(error({"-H", "64", "--heads", "3"}), Contains("a number of heads that divides it"));
    CHECK_THAT(error({"--sizes", "64", "64"}), Contains("at least two different --sizes"));
    CHECK_THAT(error({"-T", "2", "--heads", "64", "--sizes", "32", "65536"}),
               Contains("choose smaller --sizes"));
    CHECK_THAT(error({"--heads", "4096", "--batch", "4096", "-T", "4096"}),
               Contains("choose smaller --steps"));
}
