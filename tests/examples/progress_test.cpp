#include "examples/progress.hpp"

#include <cstdio>
#include <string>

#include "tests/catch.hpp"

using namespace examples;
using Catch::Contains;

namespace {
const Standing halfway{0.5, 100, 20, "2.31 bits/char"};

std::string printed(std::FILE* file) {
    std::rewind(file);
    std::string text;
    for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
    return text;
}
}  // namespace

TEST_CASE("progress: a line tells the part done, steps, loss, speed and time left") {
    CHECK(plain_line(halfway) == " 50%  100 steps  2.31 bits/char  5.0 steps/s  0:20 left");
    CHECK(plain_line({1, 100, 20, ""}) == "100%  100 steps  5.0 steps/s  in 0:20");
    CHECK(plain_line({0, 0, 0, ""}) == "  0%  0 steps");
}

TEST_CASE("progress: the speed is told in samples too, where these are known") {
    const auto line = [](std::size_t per_step) {
        return plain_line({0.5, 100, 20, "", {per_step, "chars"}});
    };
    CHECK(line(1) == " 50%  100 steps  5.0 steps/s  5.0 chars/s  0:20 left");
    CHECK(line(32) == " 50%  100 steps  5.0 steps/s  160 chars/s  0:20 left");
    CHECK(line(2048) == " 50%  100 steps  5.0 steps/s  10.2k chars/s  0:20 left");
    CHECK(line(2'000'000) == " 50%  100 steps  5.0 steps/s  10.0M chars/s  0:20 left");
}

TEST_CASE("progress: a run that goes on is as fast as its own steps, and the time left is theirs") {
    // 20 steps of 100 in 4 seconds, from the 30th on: 50 are left.
    CHECK(plain_line({0.5, 50, 4, "", {}, 0.3, 30}) == " 50%  50 steps  5.0 steps/s  0:10 left");
}

TEST_CASE("progress: the bar is as long as the part done and the line fits the terminal") {
    const std::string line = bar_line(halfway, 71, false);
    CHECK(line == " 50%|#######-------| 100 steps  2.31 bits/char  5.0 steps/s  0:20 left");
    for (int width = 1; width < 120; ++width) {
        CHECK(static_cast<int>(bar_line(halfway, width, false).size()) < width);
    }
}

TEST_CASE("progress: a narrow terminal gets the numbers without the bar") {
    CHECK(bar_line(halfway, 30, false) == " 50%  100 steps  2.31 bits/ch");
}

TEST_CASE("progress: times read as on a clock") {
    CHECK(clock_text(5.4) == "0:05");
    CHECK(clock_text(75) == "1:15");
    CHECK(clock_text(4000) == "1:06:40");
    CHECK(clock_text(-1) == "0:00");
}

TEST_CASE("progress: into a file go plain lines, about one for each tenth of the run, and every note") {
    std::FILE* file = std::tmpfile();
    {
        Progress progress({}, file);
        for (std::size_t step = 1; step <= 1000; ++step) {
            progress.update(static_cast<double>(step) / 1000, step, "loss");
            if (step == 500) progress.note("half of it");
        }
    }
    const std::string text = printed(file);
    std::fclose(file);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    CHECK(lines >= 11);
    CHECK(lines <= 13);
    CHECK_THAT(text, Contains("\nhalf of it\n"));
    CHECK_THAT(text, Contains("100%  1000 steps"));
    CHECK_THAT(text, !Contains("\r") && !Contains("\x1b"));
}
