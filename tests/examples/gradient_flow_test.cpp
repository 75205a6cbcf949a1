#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

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
