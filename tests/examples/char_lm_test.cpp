#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

TEST_CASE("char_lm: a text that is missing, empty, tiny or no text is a clear error") {
    const TemporaryDirectory directory;
    directory.write("empty", "");
    directory.write("tiny", "To be, or not to be");
    std::filesystem::create_directory(directory / "nothing");
    const auto error = [&](const char* text) {
        const Run run = run_program("char_lm", {"--text", text}, directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    CHECK_THAT(error("missing"), Contains("missing: No such file"));
    CHECK_THAT(error("empty"), Contains("empty is empty"));
    CHECK_THAT(error("tiny"), Contains("19 bytes are too few"));
    CHECK_THAT(error("nothing"), Contains("no text file in nothing"));
}

TEST_CASE("char_lm: a text that is too short for the batch is a clear error") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    const Run run = run_program("char_lm", {"--text", "text", "--batch", "1000"}, directory);
    CHECK(run.exit_code == 1);
    CHECK_THAT(run.err, Contains("1000 streams of 64 steps") && Contains("smaller"));
}

TEST_CASE("char_lm: each cell learns, reports, writes a sample and saves parameters, log and picture") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    for (const char* cell : {"lstm", "gru", "rnn"}) {
        const Run run = run_program("char_lm", with(small_model, {"--cell", cell}), directory);
        INFO(run.err);
        REQUIRE(run.exit_code == 0);
        CHECK_THAT(run.out, Contains("bits/char before training; a bigram model needs"));
        CHECK_THAT(run.out, Contains("after 30 steps") && Contains("the bigram entropy of"));
        CHECK_THAT(run.out, Contains("---- sample at temperature 0.7 ----"));
        CHECK_THAT(run.out, !Contains("\r"));
        const std::string log = contents_of(directory / "out.csv");
        const std::vector<double> start = last_row(log.substr(0, log.find('\n', log.find('\n') + 1) + 1));
        CHECK(last_row(log)[3] < start[3]);  // held-out bits per character
        CHECK(std::filesystem::file_size(directory / "out.safetensors") > 0);
        CHECK_THAT(contents_of(directory / "out.svg"), Contains("</svg>"));
    }
}

TEST_CASE("char_lm: a seed gives the same parameters bit by bit") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    std::vector<std::string> parameters;
    for (int repetition = 0; repetition < 2; ++repetition) {
        REQUIRE(run_program("char_lm", with(small_model, {"--minutes", "0"}), directory).exit_code == 0);
        parameters.push_back(contents_of(directory / "out.safetensors"));
    }
    CHECK((parameters[0] == parameters[1]));
}

TEST_CASE("char_lm: saved parameters can be started from, by the same model only") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    REQUIRE(run_program("char_lm", small_model, directory).exit_code == 0);
    const double bits = last_row(contents_of(directory / "out.csv"))[3];
    char expected[64];
    std::snprintf(expected, sizeof expected, "%.3f bits/char before", bits);
    const auto start = with(small_model, {"--start", "out.safetensors"});

    std::vector<std::string> only_write = start;
    *(std::find(only_write.begin(), only_write.end(), "--steps") + 1) = "0";
    const Run again = run_program("char_lm", only_write, directory);
    CHECK(again.exit_code == 0);
    CHECK_THAT(again.out, Contains(expected) && Contains("---- sample"));

    std::string renamed = simple_text();
    std::replace(renamed.begin(), renamed.end(), 'c', 'z');
    directory.write("renamed", renamed);
    for (const auto& [option, value] : {std::pair("--cell", "gru"), std::pair("--text", "renamed")}) {
        std::vector<std::string> other = start;
        const auto given = std::find(other.begin(), other.end(), option);
        if (given != other.end()) other.erase(given, given + 2);
        const Run run = run_program("char_lm", with(other, {option, value}), directory);
        CHECK(run.exit_code == 1);
        CHECK_THAT(run.err, Contains("out.safetensors was not saved from this model"));
    }
}

TEST_CASE("char_lm: Ctrl-C ends the training cleanly and what was done so far is saved") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    std::vector<std::string> endless = with(small_model, {"--minutes", "0"});
    *(std::find(endless.begin(), endless.end(), "--steps") + 1) = "1000000000";
    bool sent = false;
    const Run run =
        run_program("char_lm", endless, directory, [&](pid_t process, const std::string& printed) {
            if (sent || printed.find("steps/s") == std::string::npos) return;
            kill(process, SIGINT);
            sent = true;
        });
    CHECK(run.exit_code == 130);
    CHECK(run.err.empty());
    CHECK_THAT(run.out, Contains("Interrupted. Held-out part:") && Contains("saved: out.safetensors"));
    CHECK(lines(contents_of(directory / "out.csv")) >= 3);
    CHECK(std::filesystem::file_size(directory / "out.safetensors") > 0);
    CHECK_THAT(contents_of(directory / "out.svg"), Contains("</svg>"));
}

TEST_CASE("char_lm: a time limit ends the run") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    std::vector<std::string> limited = with(small_model, {"--minutes", "0.01"});
    *(std::find(limited.begin(), limited.end(), "--steps") + 1) = "1000000000";
    CHECK(run_program("char_lm", limited, directory).exit_code == 0);
}
