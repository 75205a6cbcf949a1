#include "examples/csv.hpp"

#include <limits>

#include "examples/save.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;

TEST_CASE("csv: columns stand side by side, and what is missing or not a number is empty") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(csv({{"t", {1, 2, 3}}, {"loss", {0.5, nan}}}) == "t,loss\n1,0.5\n2,\n3,\n");
}

TEST_CASE("csv: names with commas, quotes and line ends are quoted") {
    CHECK(csv({{"a,b", {}}, {"say \"c\"", {}}, {"d\ne", {}}}) == "\"a,b\",\"say \"\"c\"\"\",\"d\ne\"\n");
}

TEST_CASE("csv: a number reads back as the same double") {
    const std::string text = csv({{"x", {0.1 + 0.2}}});
    CHECK(std::stod(text.substr(text.find('\n') + 1)) == 0.1 + 0.2);
}

TEST_CASE("save: the file is replaced as a whole and nothing is left beside it") {
    const TemporaryDirectory directory;
    const auto file = directory.write("a.txt", "old");
    save(file, "new");
    CHECK(contents_of(file) == "new");
    const auto entries = std::filesystem::directory_iterator(directory.path());
    CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("save: missing directories are made") {
    const TemporaryDirectory directory;
    save(directory / "x/y/a.txt", "text");
    CHECK(contents_of(directory / "x/y/a.txt") == "text");
}

TEST_CASE("save: an error names the file and the reason") {
    const TemporaryDirectory directory;
    const auto file = directory.write("a.txt", "not a directory");
    CHECK_THROWS_WITH(save(file / "b.txt", ""),
                      Catch::Contains("a.txt/b.txt") && Catch::Contains("directory"));
}
