#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it, at small sizes.

using Catch::Contains;

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
    CHECK(column(contents_of(directory / "word_language.csv"), "% of the held-out words told right").back() >
          85);
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
    CHECK_THAT(error({"--ask", "m0re"}), Contains("--ask 'm0re': expected letters from a to z"));
}
