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

TEST_CASE(
    "char_lm: a saved model writes without a text, the same again, at the temperature that is asked for") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    const Run run = run_program("char_lm", small_model, directory);
    REQUIRE(run.exit_code == 0);
    std::filesystem::remove(directory / "text");
    const auto write = [&](const char* temperature) {
        const Run written = run_program("char_lm",
                                        {"--from", "out.safetensors", "--sample", "50", "--seed", "3",
                                         "--temperature", temperature, "--prime", "the cat"},
                                        directory);
        INFO(written.err);
        CHECK(written.exit_code == 0);
        return written.out;
    };
    const std::string text = write("0.7");
    CHECK(text.size() == 58);
    CHECK(text.substr(0, 7) == "the cat");
    CHECK(text == write("0.7"));
    CHECK(text != write("5"));
    const Run plain =
        run_program("char_lm", {"--from", "out.safetensors", "--sample", "50", "--seed", "3"}, directory);
    CHECK_THAT(run.out, Contains("----\n" + plain.out + "----"));

    directory.write("torn", contents_of(directory / "out.safetensors").substr(0, 1000));
    CHECK_THAT(run_program("char_lm", {"--from", "torn"}, directory).err, Contains("torn"));
}

TEST_CASE("char_lm: a run that is ended or killed goes on, and ends as if it had never been") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    std::vector<std::string> longer = with(small_model, {"--minutes", "0"});
    *(std::find(longer.begin(), longer.end(), "--steps") + 1) =
        "6000";  // some seconds, to be ended in between
    REQUIRE(run_program("char_lm", longer, directory).exit_code == 0);
    const std::string model = contents_of(directory / "out.safetensors");
    const std::string log = contents_of(directory / "out.csv");
    const auto losses = [](const std::string& csv) {
        return std::pair(column(csv, "train bits/char"), column(csv, "held-out bits/char"));
    };

    for (const int signal : {SIGINT, SIGKILL}) {
        INFO("signal " << signal);
        for (const char* file : {"out.safetensors", "out.run.safetensors", "out.csv"})
            std::filesystem::remove(directory / file);
        bool sent = false;
        const Run broken = run_program("char_lm", longer, directory, [&](pid_t process, const std::string&) {
            if (sent || !std::filesystem::exists(directory / "out.run.safetensors")) return;
            kill(process, signal);
            sent = true;
        });
        CHECK(broken.exit_code == (signal == SIGINT ? 130 : -SIGKILL));
        const Run rest =
            run_program("char_lm", {"--resume", "out.run.safetensors", "--sample", "0"}, directory);
        INFO(rest.err);
        REQUIRE(rest.exit_code == 0);
        CHECK_THAT(rest.out, Contains("goes on after step"));
        CHECK((contents_of(directory / "out.safetensors") == model));
        CHECK((losses(contents_of(directory / "out.csv")) == losses(log)));
    }

    std::string renamed = simple_text();
    std::replace(renamed.begin(), renamed.end(), 'c', 'z');
    directory.write("text", renamed);
    const Run other = run_program("char_lm", {"--resume", "out.run.safetensors"}, directory);
    CHECK(other.exit_code == 1);
    CHECK_THAT(other.err, Contains("out.run.safetensors is a run on another text than"));
    CHECK(run_program("char_lm", {"--resume", "out.run.safetensors", "--hidden", "9"}, directory).exit_code ==
          2);
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
