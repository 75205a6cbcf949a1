#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

namespace {

const std::vector<std::string> small_gates = {"--text",  "text",    "--hidden", "6",        "--embedding",
                                              "4",       "--batch", "4",        "--window", "8",
                                              "--steps", "40",      "--length", "25"};

/// What "Held-out part: 3.21 bits/char before training, 2.10 after." says.
std::pair<double, double> held_out_bits(const std::string& printed) {
    std::pair<double, double> bits{-1, -1};
    const std::size_t start = printed.find("Held-out part:");
    if (start != std::string::npos)
        std::sscanf(printed.c_str() + start, "Held-out part: %lf bits/char before training, %lf after",
                    &bits.first, &bits.second);
    return bits;
}

}  // namespace

TEST_CASE("gates: learns, and draws three gates between 0 and 1 for each unit under the text that was read") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    const Run run = run_program("gates", small_gates, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const auto [before, after] = held_out_bits(run.out);
    CHECK(after < before);
    CHECK(after > 0);
    CHECK_THAT(run.out,
               Contains("forget") && Contains("erases") && Contains("Gates that tell symbols apart"));
    std::string one_line = run.out;
    std::replace(one_line.begin(), one_line.end(), '\n', ' ');
    CHECK_THAT(one_line, Contains("is a view of them, not a theorem, and nothing here tests it."));
    CHECK_THAT(contents_of(directory / "gates.svg"), Contains("</svg>"));

    const std::string csv = contents_of(directory / "gates.csv");
    CHECK(cells(csv.substr(0, csv.find('\n'))).size() == 2 + 3 * 6);
    std::string read;
    for (const double byte : column(csv, "byte")) read += static_cast<char>(byte);
    CHECK(read.size() == 25);
    CHECK(simple_text().find(read) != std::string::npos);
    for (const std::string gate : {"input", "forget", "output"}) {
        for (int unit = 0; unit < 6; ++unit) {
            const std::vector<double> values = column(csv, gate + " " + std::to_string(unit));
            REQUIRE(values.size() == 25);
            CHECK(*std::min_element(values.begin(), values.end()) > 0);
            CHECK(*std::max_element(values.begin(), values.end()) < 1);
        }
    }
}

TEST_CASE("gates: shows what char_lm has learnt, from the same text with the same cell only") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    REQUIRE(run_program("char_lm", small_model, directory).exit_code == 0);
    std::vector<std::string> start = with(small_gates, {"--start", "out.safetensors"});
    *(std::find(start.begin(), start.end(), "--steps") + 1) = "0";
    const Run run = run_program("gates", start, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("8 hidden units"));
    const auto [before, after] = held_out_bits(run.out);
    CHECK(before == after);
    CHECK(before <
          std::log2(13));  // it has learnt something: of 13 different symbols each would need so much

    std::string renamed = simple_text();
    std::replace(renamed.begin(), renamed.end(), 'c', 'z');
    directory.write("text", renamed);
    const Run other = run_program("gates", start, directory);
    CHECK(other.exit_code == 1);
    CHECK_THAT(other.err, Contains("out.safetensors was learnt from another text"));

    REQUIRE(run_program("char_lm", with(small_model, {"--cell", "gru"}), directory).exit_code == 0);
    CHECK_THAT(run_program("gates", start, directory).err, Contains("holds no LSTM, but the cell gru"));
}

TEST_CASE("gates: a text that is missing or too short is a clear error") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    directory.write("tiny", "To be, or not to be");
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("gates", std::move(arguments), directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    CHECK_THAT(error({"--text", "missing"}), Contains("missing: No such file"));
    CHECK_THAT(error({"--text", "tiny"}), Contains("19 bytes are too few"));
    CHECK_THAT(error({"--text", "text", "--length", "500"}), Contains("--length 500") && Contains("shorter"));
    CHECK_THAT(error({"--text", "text", "--batch", "1000"}), Contains("1000 streams of 48 steps"));
}
