#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

namespace {

/// Names in which a consonant and a vowel take turns.
std::string made_up_names() {
    const std::string vowels = "aeiou", consonants = "bdgmn", capitals = "BDGMN";
    unsigned random = 1;
    const auto draw = [&] { return (random = random * 1664525 + 1013904223) >> 24; };
    std::string list;
    for (int k = 0; k < 1000; ++k) {
        list += capitals[draw() % 5];
        for (unsigned t = 1, length = 4 + 2 * (draw() % 3); t < length; ++t)
            list += (t % 2 == 0 ? consonants : vowels)[draw() % 5];
        list += '\n';
    }
    return list;
}

}  // namespace

TEST_CASE("names: what it learned is saved, and another run writes the same names from the file") {
    const TemporaryDirectory directory;
    directory.write("list", made_up_names());
    const Run run =
        run_program("names", {"--list", "list", "-H", "24", "--steps", "300", "--count", "6"}, directory);
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("pairs of letters, counted") && Contains("model: names.safetensors"));
    // At each place one of five, and the length: less than what counting pairs needs, which can't tell the length.
    CHECK(column(contents_of(directory / "names.csv"), "bits per character of the names held out").back() <
          2.4);
    CHECK_THAT(contents_of(directory / "names.svg"), Contains("</svg>"));

    const Run again = run_program("names", {"--from", "names.safetensors", "--count", "6"}, directory);
    INFO(again.err);
    REQUIRE(again.exit_code == 0);
    CHECK(lines(again.out) == 2);
    std::string first = again.out.substr(0, again.out.find(' '));
    CHECK_THAT(run.out, Contains(first));

    const Run begun = run_program(
        "names", {"--from", "names.safetensors", "--count", "1", "--beginning", "Ba", "--temperature", "0.1"},
        directory);
    CHECK(begun.out.substr(0, 2) == "Ba");
}

TEST_CASE("names: lists, beginnings and files that can't be used are clear errors") {
    const TemporaryDirectory directory;
    directory.write("list", made_up_names());
    directory.write("few", "Anna\n");
    directory.write("torn.safetensors", "12345678");
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("names", arguments, directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    CHECK_THAT(error({"--list", "missing"}), Contains("missing: No such file"));
    CHECK_THAT(error({"--list", "few"}), Contains("holds 1 names") && Contains("at least 100"));
    CHECK_THAT(error({"--list", "list", "--beginning", "Zo"}), Contains("'Z' is not in the alphabet"));
    CHECK_THAT(error({"--from", "torn.safetensors"}), Contains("torn.safetensors"));
}
