#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// What holds for every example program.

using Catch::Contains;

namespace {

const char* const programs[] = {"gradient_flow", "gates",          "attention_vs_recurrence", "char_lm",
                                "custom_cell",   "adding_problem", "copying_problem",         "seq2seq",
                                "forecast",      "word_language"};

}  // namespace

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
