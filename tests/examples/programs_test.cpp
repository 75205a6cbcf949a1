#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/catch.hpp"
#include "tests/examples/run_program.hpp"

// The example programs as a user runs them, at small sizes.

using Catch::Contains;

namespace {

const char* const programs[] = {"gradient_flow",   "char_lm", "custom_cell", "adding_problem",
                                "copying_problem", "seq2seq", "forecast",    "word_language"};

/// Some 40 kB of sentences that a model can learn something about.
std::string simple_text() {
    const char* words[] = {"the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "slept"};
    std::string text;
    unsigned random = 1;
    while (text.size() < 40000) {
        random = random * 1664525 + 1013904223;
        text += words[(random >> 16) % 10];
        text += (random >> 8) % 8 == 0 ? ".\n" : " ";
    }
    return text;
}

const std::vector<std::string> small_model = {"--text",   "text", "--hidden", "8",       "--embedding", "4",
                                              "--batch",  "4",    "--window", "8",       "--steps",     "30",
                                              "--sample", "50",   "--out",    "out.svg", "--seed",      "3"};

std::vector<std::string> with(std::vector<std::string> arguments, std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
    return arguments;
}

std::size_t lines(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// The last row of a CSV file of numbers; empty cells are NaN.
std::vector<double> last_row(const std::string& csv) {
    const std::size_t end = csv.size() - 1, start = csv.rfind('\n', end - 1) + 1;
    std::istringstream row(csv.substr(start, end - start));
    std::vector<double> numbers;
    for (std::string cell; std::getline(row, cell, ',');)
        numbers.push_back(cell.empty() ? std::nan("") : std::stod(cell));
    return numbers;
}

/// The last row of a CSV file that has a number in its first column, which may be shorter than others.
std::vector<double> last_full_row(const std::string& csv) {
    std::string rows = csv;
    while (std::isnan(last_row(rows)[0])) rows.erase(rows.rfind('\n', rows.size() - 2) + 1);
    return last_row(rows);
}

}  // namespace

// ---- all of them
// -------------------------------------------------------------------------------------------------

TEST_CASE("programs: --help explains every option and is no error") {
    const TemporaryDirectory directory;
    for (const std::string name : programs) {
        const Run run = run_program(name, {"--help"}, directory);
        CHECK(run.exit_code == 0);
        CHECK_THAT(run.out, Contains("--seed") && Contains("--hidden") && Contains("--out"));
        CHECK(run.err.empty());
    }
}

TEST_CASE("programs: a wrong command line gives 2 and says what is wrong") {
    const TemporaryDirectory directory;
    for (const std::string name : programs) {
        CHECK(run_program(name, {"--no-such-option"}, directory).exit_code == 2);
        const Run run = run_program(name, {"--hidden", "0"}, directory);
        CHECK(run.exit_code == 2);
        CHECK_THAT(run.err, Contains("--hidden"));
    }
}

TEST_CASE("programs: a picture that cannot be drawn is refused before anything is computed") {
    const TemporaryDirectory directory;
    for (const std::string name : programs) {
        const Run run = run_program(name, {"--out", "picture.jpg"}, directory);
        CHECK(run.exit_code == 1);
        CHECK(run.err == name + ": chart: the picture's name must end in .svg or .png, not picture.jpg\n");
        CHECK(run.out.empty());

        directory.write("file", "");
        const Run nowhere = run_program(name, {"--out", "file/picture.svg"}, directory);
        CHECK(nowhere.exit_code == 1);
        CHECK_THAT(nowhere.err, Contains("cannot write file/picture.svg: Not a directory"));
        CHECK(nowhere.out.empty());
    }
}

TEST_CASE(
    "programs: without gnuplot the numbers are written all the same, and the error says what to install") {
    const TemporaryDirectory directory;
    const std::string path = std::getenv("PATH");
    setenv("PATH", "/nonexistent", 1);
    const Run run = run_program("gradient_flow", {"-T", "3", "-H", "4", "-D", "2"}, directory);
    setenv("PATH", path.c_str(), 1);
    CHECK(run.exit_code == 1);
    CHECK_THAT(run.err, Contains("apt install gnuplot-nox"));
    CHECK(std::filesystem::exists(directory / "gradient_flow.csv"));
    CHECK_FALSE(std::filesystem::exists(directory / "gradient_flow.svg"));
}

// ---- gradient_flow
// -----------------------------------------------------------------------------------------------

TEST_CASE("gradient_flow: writes a row for every step and a picture, and prints the ratios") {
    const TemporaryDirectory directory;
    const Run run =
        run_program("gradient_flow", {"-T", "7", "-H", "5", "-D", "3", "--out", "a.png"}, directory);
    CHECK(run.exit_code == 0);
    CHECK(run.err.empty());
    CHECK_THAT(run.out, Contains("first / last"));
    CHECK(lines(contents_of(directory / "a.csv")) == 8);
    CHECK(contents_of(directory / "a.png").substr(1, 3) == "PNG");
}

TEST_CASE("gradient_flow: at the defaults the gradient fades as is known of each cell") {
    const TemporaryDirectory directory;
    const Run run = run_program("gradient_flow", {"--mode", "last"}, directory);
    REQUIRE(run.exit_code == 0);
    // ‖∂L/∂h_t‖, in the order RNN, LSTM (forget bias 1), LSTM (0), GRU, GRU (update bias 2), follows t.
    const std::string csv = contents_of(directory / "gradient_flow.csv");
    const std::vector<double> last = last_row(csv), first = last_row(csv.substr(0, csv.find("\n2,") + 1));
    REQUIRE(first[0] == 1);
    REQUIRE(last[0] == 50);
    const auto ratio = [&](std::size_t column) { return first[column] / last[column]; };
    CHECK(ratio(1) < 1e-7);
    CHECK(ratio(2) > 1e-7);
    CHECK(ratio(3) < ratio(2) * 1e-2);
    CHECK(ratio(4) < 1e-6);
    CHECK(ratio(5) > 1e-5);
    for (std::size_t column = 1; column <= 5; ++column)
        CHECK(last[column] == Approx(std::sqrt(8 * 64)));  // of ones
}

TEST_CASE("gradient_flow: the local gradient is of one size at every step") {
    const TemporaryDirectory directory;
    const Run run = run_program("gradient_flow", {"--mode", "local"}, directory);
    REQUIRE(run.exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow.csv");
    const std::vector<double> last = last_row(csv), first = last_row(csv.substr(0, csv.find("\n2,") + 1));
    REQUIRE(last.size() == 6);
    for (std::size_t column = 1; column < 6; ++column) {
        CHECK(first[column] / last[column] > 0.5);
        CHECK(first[column] / last[column] < 2);
    }
}

TEST_CASE("gradient_flow: a seed gives the same numbers again, another seed others") {
    const TemporaryDirectory directory;
    const std::vector<std::string> small = {"-T", "4", "-H", "5", "-D", "3"};
    std::vector<std::string> numbers;
    for (const char* seed : {"1", "1", "2"}) {
        REQUIRE(run_program("gradient_flow", with(small, {"--seed", seed}), directory).exit_code == 0);
        numbers.push_back(contents_of(directory / "gradient_flow.csv"));
    }
    CHECK(numbers[0] == numbers[1]);
    CHECK(numbers[0] != numbers[2]);
}

// ---- char_lm
// -----------------------------------------------------------------------------------------------------

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

// ---- custom_cell
// -------------------------------------------------------------------------------------------------

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

// ---- the classic tasks
// -------------------------------------------------------------------------------------------

TEST_CASE("adding_problem: on short sequences each gated cell soon does better than always saying 1") {
    const TemporaryDirectory directory;
    for (const char* cell : {"lstm", "gru"}) {
        const Run run =
            run_program("adding_problem",
                        {"-T", "6", "-H", "16", "--goal", "0.05", "--lr", "0.01", "--cell", cell}, directory);
        INFO(run.err);
        REQUIRE(run.exit_code == 0);
        CHECK_THAT(run.out, Contains("test error") && Contains("always saying 1 has 0.1667"));
        CHECK(last_full_row(contents_of(directory / "adding_problem.csv"))[2] < 0.05);
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
    CHECK(last_full_row(contents_of(directory / "copying_problem.csv"))[2] < 0.9 * baseline);
    CHECK_THAT(contents_of(directory / "copying_problem.svg"), Contains("</svg>"));
}

TEST_CASE("seq2seq: learns to reverse short strings better than by copying, and shows what it answers") {
    const TemporaryDirectory directory;
    const Run run = run_program(
        "seq2seq", {"--task", "reverse", "--digits", "3", "-H", "48", "--steps", "600", "--examples", "3"},
        directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("copying:") && Contains("the most frequent:") && Contains("Some of them:"));
    const std::string csv = contents_of(directory / "seq2seq.csv");
    const std::vector<double> first = last_row(csv.substr(0, csv.find('\n', csv.find('\n') + 1) + 1));
    const double majority = first[3], copying = first[4];  // % of the held-out strings
    CHECK(majority < 50);
    CHECK(copying < 60);  // all strings of one digit, and palindromes
    CHECK(last_full_row(csv)[2] > copying + 10);
    CHECK_THAT(contents_of(directory / "seq2seq.svg"), Contains("</svg>"));
}

TEST_CASE("seq2seq: each task and each cell runs, with a seed to the same numbers") {
    const TemporaryDirectory directory;
    for (const char* cell : {"lstm", "gru", "rnn"}) {
        std::vector<std::string> numbers;
        for (const char* seed : {"1", "1", "2"}) {
            REQUIRE(run_program("seq2seq", {"-H", "8", "--steps", "20", "--cell", cell, "--seed", seed},
                                directory)
                        .exit_code == 0);
            numbers.push_back(contents_of(directory / "seq2seq.csv"));
        }
        CHECK((numbers[0] == numbers[1]));
        CHECK((numbers[0] != numbers[2]));
    }
}

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

TEST_CASE("word_language: two made-up languages are told apart better than by guessing") {
    const TemporaryDirectory directory;
    // The same letters in both: one alternates between vowels and consonants, the other one doesn't.
    std::string one, other;
    const std::string vowels = "aeiou", consonants = "bdgmn";
    unsigned random = 1;
    const auto draw = [&] { return (random = random * 1664525 + 1013904223) >> 24; };
    for (int k = 0; k < 600; ++k) {
        std::string a, b;
        for (unsigned t = 0, length = 4 + draw() % 6; t < length; ++t) {
            a += (t % 2 == 0 ? consonants : vowels)[draw() % 5];
            b += (t % 4 < 2 ? consonants : vowels)[draw() % 5];
        }
        one += a + "\n";
        other += b + "\n";
    }
    directory.write("one", one);
    directory.write("other", other);
    const Run run = run_program("word_language",
                                {"--list", "one=one", "--list", "other=other", "-H", "16", "--steps", "200",
                                 "--ask", "banana", "--cell", "gru"},
                                directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out,
               Contains("always saying the same: 50.0 %") && Contains("taken for") && Contains("banana"));
    CHECK(last_full_row(contents_of(directory / "word_language.csv"))[2] > 85);
    CHECK_THAT(contents_of(directory / "word_language.svg"), Contains("</svg>"));
}

TEST_CASE("word_language: lists that are missing, alone or misnamed, and what is no word, are clear errors") {
    const TemporaryDirectory directory;
    directory.write("list", "some\nwords\n");
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("word_language", arguments, directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    CHECK_THAT(error({"--list", "a=missing"}), Contains("missing: No such file"));
    CHECK_THAT(error({"--list", "a=list"}), Contains("expected at least two"));
    CHECK_THAT(error({"--list", "list"}), Contains("expected language=file"));
    CHECK_THAT(error({"--list", "a=list", "--list", "b=list"}), Contains("the list of a alone"));
    CHECK_THAT(error({"--ask", "m0re"}), Contains("'0' is no letter"));
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
