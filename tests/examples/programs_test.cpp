#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <utility>

#include "tests/catch.hpp"
#include "tests/examples/run_program.hpp"

// The example programs as a user runs them, at small sizes.

using Catch::Contains;

namespace {

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

/// The cells of a row, without the quotes that they may have.
std::vector<std::string> cells(const std::string& row) {
    std::vector<std::string> all(1);
    bool quoted = false;
    for (const char c : row) {
        if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            all.emplace_back();
        else if (c != '\r')
            all.back() += c;
    }
    return all;
}

/// A column of a CSV file of numbers, as far as its cells are not empty.
std::vector<double> column(const std::string& csv, const std::string& name) {
    std::istringstream rows(csv);
    std::string row;
    std::getline(rows, row);
    const std::vector<std::string> names = cells(row);
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) throw std::runtime_error("no column " + name);
    std::vector<double> numbers;
    while (std::getline(rows, row)) {
        const std::string cell = cells(row)[static_cast<std::size_t>(place - names.begin())];
        if (!cell.empty()) numbers.push_back(std::stod(cell));
    }
    return numbers;
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

// ---- attention_vs_recurrence
// -------------------------------------------------------------------------------------

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

TEST_CASE("gradient_flow: through a linear recurrence by λQ the ratio is λ^T, and under tanh no larger") {
    const TemporaryDirectory directory;
    const Run run = run_program("gradient_flow", {"radius", "-T", "12", "-H", "6"}, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow_radius.csv");
    const std::vector<double> radius = column(csv, "λ"), linear = column(csv, "linear");
    const std::vector<double> squashed = column(csv, "tanh"), driven = column(csv, "tanh, inputs");
    REQUIRE(radius.size() == 21);
    CHECK(radius.front() == 0.5);
    CHECK(radius.back() == 1.5);
    for (std::size_t k = 0; k < radius.size(); ++k) {
        CHECK(linear[k] == Approx(std::pow(radius[k], 12)).epsilon(1e-10));
        CHECK(squashed[k] < linear[k]);
        CHECK(driven[k] < linear[k]);
    }
    CHECK_THAT(contents_of(directory / "gradient_flow_radius.svg"), Contains("</svg>"));
}

TEST_CASE(
    "gradient_flow: inputs that saturate an RNN make its gradient vanish, a state that does lets it "
    "explode") {
    const TemporaryDirectory directory;
    REQUIRE(run_program("gradient_flow", {"saturation"}, directory).exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow_saturation.csv");
    for (const std::string weight : {"W_xh", "W_hh"}) {
        const std::vector<double> slope = column(csv, weight + " 1-h²");
        const std::vector<double> saturated = column(csv, weight + " |h|>.99");
        REQUIRE(slope.size() == 15);
        CHECK((std::is_sorted(slope.rbegin(), slope.rend())));
        CHECK((std::is_sorted(saturated.begin(), saturated.end())));
        CHECK(slope.back() < 0.1);
        CHECK(saturated.back() > 0.8);
    }
    const std::vector<double> by_input = column(csv, "W_xh ratio"), by_state = column(csv, "W_hh ratio");
    CHECK(by_input[4] == by_state[4]);  // nothing is scaled
    CHECK(by_input.back() < by_input[4] * 1e-20);
    CHECK(by_state.back() > by_state[4] * 1e20);
}

TEST_CASE(
    "gradient_flow: along the cell path a gradient of an LSTM is its forget gates, and a larger bias opens "
    "them") {
    const TemporaryDirectory directory;
    const Run run = run_program("gradient_flow", {"forget", "-T", "20", "-H", "16"}, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow_forget.csv");
    const std::vector<double> bias = column(csv, "forget bias"), gate = column(csv, "mean f");
    const std::vector<double> path = column(csv, "cell path alone"), complete = column(csv, "complete");
    CHECK((std::is_sorted(path.begin(), path.end())));
    CHECK(path.back() < 1);
    for (std::size_t k = 0; k < bias.size(); ++k) {
        const double alone = 1 / (1 + std::exp(-bias[k]));
        CHECK(gate[k] == Approx(alone).margin(0.1));
        CHECK(column(csv, "σ(bias)^(T-1)")[k] == Approx(std::pow(alone, 19)));
    }
    const auto at_0 = std::find(bias.begin(), bias.end(), 0) - bias.begin();
    CHECK(complete[static_cast<std::size_t>(at_0)] * 1e2 < complete[static_cast<std::size_t>(at_0 + 2)]);
}

TEST_CASE("gradient_flow: the gradient of a cell state is what comes by the forget gate and by the output") {
    const TemporaryDirectory directory;
    REQUIRE(run_program("gradient_flow", {"--study", "cell", "-T", "9", "-H", "5", "-B", "2"}, directory)
                .exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow_cell.csv");
    for (const std::string bias : {", forget bias 1", ", forget bias 4"}) {
        const std::vector<double> h = column(csv, "‖∂L_T/∂h_t‖" + bias),
                                  c = column(csv, "‖∂L_T/∂c_t‖" + bias);
        const std::vector<double> gate = column(csv, "by the forget gate" + bias),
                                  by_h = column(csv, "by h_t" + bias);
        REQUIRE(h.size() == 9);
        CHECK(h.back() == Approx(std::sqrt(2 * 5)));  // of ones
        CHECK(gate.back() == 0);
        for (std::size_t t = 0; t < h.size(); ++t) {
            CHECK(by_h[t] < h[t]);
            CHECK(c[t] <= (gate[t] + by_h[t]) * (1 + 1e-12));
            CHECK(c[t] >= std::abs(gate[t] - by_h[t]) * (1 - 1e-12));
        }
    }
}

TEST_CASE("gradient_flow: clipping bounds the norm, and saves a training run that would be thrown off") {
    const TemporaryDirectory directory;
    const Run run = run_program("gradient_flow", {"clip", "--max-norm", "3"}, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const std::string csv = contents_of(directory / "gradient_flow_clip.csv");
    const std::vector<double> before = column(csv, "before"), after = column(csv, "after");
    CHECK(before.front() < 3);
    CHECK(before.back() > 300);
    for (std::size_t k = 0; k < before.size(); ++k) CHECK(after[k] == Approx(std::min(before[k], 3.0)));
    CHECK(column(csv, "loss, clipped").back() < 1);         // of always saying 0
    const std::vector<double> plain = column(csv, "loss");  // where it ends depends on how sums are rounded
    CHECK(*std::max_element(plain.begin(), plain.end()) > 10);
}

TEST_CASE("gradient_flow: all studies go beside the picture that is named, a single one into it") {
    const TemporaryDirectory directory;
    REQUIRE(
        run_program("gradient_flow", {"all", "-T", "4", "-H", "5", "-D", "3", "-o", "flow.svg"}, directory)
            .exit_code == 0);
    for (const char* name :
         {"flow", "flow_radius", "flow_tied", "flow_saturation", "flow_forget", "flow_cell", "flow_clip"}) {
        CHECK(std::filesystem::exists(directory / (std::string(name) + ".svg")));
        CHECK(std::filesystem::exists(directory / (std::string(name) + ".csv")));
    }
    REQUIRE(run_program("gradient_flow", {"cell", "-T", "4", "-H", "5", "-o", "my cell.svg"}, directory)
                .exit_code == 0);
    CHECK(std::filesystem::exists(directory / "my cell.svg"));
    const Run unknown = run_program("gradient_flow", {"colour"}, directory);
    CHECK(unknown.exit_code == 2);
    CHECK_THAT(unknown.err, Contains("colour") && Contains("radius"));
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

// ---- gates
// ------------------------------------------------------------------------------------------------------

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

TEST_CASE("gates: shows what char_lm has learnt, of the same sizes only") {
    const TemporaryDirectory directory;
    directory.write("text", simple_text());
    REQUIRE(run_program("char_lm", small_model, directory).exit_code == 0);
    std::vector<std::string> start = with(small_gates, {"--start", "out.safetensors"});
    *(std::find(start.begin(), start.end(), "--steps") + 1) = "0";
    const Run other = run_program("gates", start, directory);
    CHECK(other.exit_code == 1);
    CHECK_THAT(other.err, Contains("out.safetensors was not saved from this model"));

    *(std::find(start.begin(), start.end(), "--hidden") + 1) = "8";
    const Run run = run_program("gates", start, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    const auto [before, after] = held_out_bits(run.out);
    CHECK(before == after);
    CHECK(before <
          std::log2(13));  // it has learnt something: of 13 different symbols each would need so much
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
