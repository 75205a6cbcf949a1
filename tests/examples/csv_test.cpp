#include "examples/csv.hpp"

#include <limits>

#include "nn/file.hpp"
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

TEST_CASE("csv: a table is saved under its name, or an error gives the name and the reason") {
    const TemporaryDirectory directory;
    save_csv(directory / "new/a.csv", {{"t", {1, 2}}});
    CHECK(contents_of(directory / "new/a.csv") == "t\n1\n2\n");
    CHECK_THROWS_AS(save_csv(directory / "new/a.csv/b.csv", {}), xtape::nn::FileError);
    CHECK_THROWS_WITH(save_csv(directory / "new/a.csv/b.csv", {}),
                      Catch::Contains("a.csv/b.csv") && Catch::Contains("Not a directory"));
}
