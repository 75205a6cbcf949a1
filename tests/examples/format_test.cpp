#include "examples/format.hpp"

#include "tests/catch.hpp"

TEST_CASE("format: gives what printf prints, long or empty") {
    CHECK(examples::format("%d %s %.2f", 7, "λ", 0.125) == "7 λ 0.12");
    CHECK(examples::format("%s", std::string(5000, 'a').c_str()) == std::string(5000, 'a'));
    CHECK(examples::format("%s", "").empty());
}
