#include "examples/utf8.hpp"

#include "tests/catch.hpp"

using examples::characters;
using examples::printable;
using examples::wrapped;

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

TEST_CASE("utf8: characters are counted, not bytes") { CHECK(characters("aé‖∂😀") == 5); }

TEST_CASE("utf8: text is wrapped between words, and a longer word has a line to itself") {
    CHECK(wrapped("‖∂‖ is a norm", 6) == std::vector<std::string>{"‖∂‖ is", "a norm"});
    CHECK(wrapped("one incomprehensible word", 5) ==
          std::vector<std::string>{"one", "incomprehensible", "word"});
    CHECK(wrapped("two\n\nparagraphs", 20) == std::vector<std::string>{"two", "", "paragraphs"});
    CHECK(wrapped("", 20).empty());
}
