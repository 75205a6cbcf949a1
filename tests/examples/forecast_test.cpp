#include <cmath>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE(
    "forecast: a wave is forecast better than by all staying as it is, and exactly by the linear model") {
    const TemporaryDirectory directory;
    std::string table = "t,wave\n";
    for (int t = 0; t < 300; ++t)
        table += std::to_string(t) + "," + std::to_string(5 + 3 * std::sin(0.6 * t)) + "\n";
    directory.write("wave.csv", table);
    const Run run = run_program("forecast",
                                {"--file", "wave.csv", "--scale", "linear", "--held-out", "60", "--steps",
                                 "300", "--noise", "0", "--decay", "0"},
                                directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("300 values of wave, the last 60 of them held out (from 240 on)"));
    // t, wave, one step ahead and running freely by each of four, steps ahead, the error by each of four
    const std::string csv = contents_of(directory / "forecast.csv");
    const std::vector<double> first = last_row(csv.substr(0, csv.find('\n', csv.find('\n') + 1) + 1));
    REQUIRE(first.size() == 15);
    CHECK(first[0] == 240);
    CHECK(first[1] == Approx(5 + 3 * std::sin(0.6 * 240)).margin(1e-5));
    CHECK(first[2] == Approx(5 + 3 * std::sin(0.6 * 239)).margin(1e-5));
    CHECK(first[6] == Approx(first[1]).margin(1e-3));
    const double persistence = first[11], linear = first[13], network = first[14];
    // 3 · |sin(a + 0.6) - sin(a)| has the root mean square 3 · 2 sin(0.3) / √2.
    CHECK(persistence == Approx(3 * 2 * std::sin(0.3) / std::sqrt(2)).epsilon(0.05));
    CHECK(linear < 1e-3);
    CHECK(network < persistence / 3);
    for (const char* picture : {"forecast.svg", "forecast_learning.svg"})
        CHECK_THAT(contents_of(directory / picture), Contains("</svg>"));
}

TEST_CASE("forecast: a table that is missing, short or no table of numbers is a clear error") {
    const TemporaryDirectory directory;
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("forecast", arguments, directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    directory.write("short.csv", "t,x\n1,2\n2,3\n");
    directory.write("words.csv", "t,x\n1,none\n");
    CHECK_THAT(error({"--file", "missing.csv"}), Contains("missing.csv: No such file"));
    CHECK_THAT(error({"--file", "short.csv"}), Contains("2 values, 88 of them held out"));
    CHECK_THAT(error({"--file", "words.csv"}), Contains("line 2: 'none' is not a number"));
    CHECK_THAT(error({"--file", "short.csv", "--column", "y"}), Contains("has no column y"));
}
