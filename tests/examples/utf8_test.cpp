#include "examples/utf8.hpp"

#include "tests/catch.hpp"

using examples::printable;

TEST_CASE("utf8: valid text stays as it is") { CHECK(printable("aé‖∂😀") == "aé‖∂😀"); }

TEST_CASE("utf8: stray, cut, overlong and surrogate bytes become question marks, one each") {
    CHECK(printable("a\xffz") == "a?z");
    CHECK(printable("\xe2\x80") == "??");
    CHECK(printable("\xc0\xaf") == "??");
    CHECK(printable("\xe0\x80\xaf") == "???");
    CHECK(printable("\xed\xa0\x80") == "???");
    CHECK(printable("\xf5\x80\x80\x80") == "????");
}

TEST_CASE("utf8: control characters become spaces, but line ends and tabs may stay") {
    CHECK(printable("a\nb\tc\x1b[1m\x7f") == "a b c [1m ");
    CHECK(printable("a\nb\tc\x08", true) == "a\nb\tc ");
}
