#include "examples/name_list.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

namespace {

/// A hundred names and words of letters a to j, and what comes with them.
std::string list_with(const std::string& others) {
    std::string text;
    for (char a = 'a'; a <= 'j'; ++a) {
        for (char b = 'a'; b <= 'j'; ++b) {
            text += {static_cast<char>(a - 'a' + 'A'), b, 'x', '\n'};
            text += {a, b, 'x', '\n'};
        }
    }
    return text + others;
}

}  // namespace

TEST_CASE("name list: names begin with a capital letter, words don't, in any alphabet") {
    const TemporaryDirectory directory;
    directory.write("list",
                    list_with("Åsa\nåsna\nЖанна\nAaron's\nJean-Paul\nSt. Ives\nx2y\nQ\nAax\r\n-Ab\n"));
    const auto read = [&](Keep keep) { return read_names(directory / "list", keep); };
    const std::vector<std::string> names = read(Keep::names), words = read(Keep::words),
                                   all = read(Keep::all);
    CHECK(names.size() == 104);
    CHECK((std::vector<std::string>(names.end() - 4, names.end()) ==
           std::vector<std::string>{"Åsa", "Жанна", "Jean-Paul", "St. Ives"}));
    CHECK(words.size() == 101);
    CHECK(words.back() == "åsna");
    CHECK(all.size() == 205);
    CHECK(names.front() == "Aax");
}

TEST_CASE("name list: files that can't be used are clear errors") {
    const TemporaryDirectory directory;
    directory.write("few", "Anna\nBerta\n");
    directory.write("latin1", list_with("\xC5sa\n"));
    CHECK_THROWS_WITH(read_names(directory / "none", Keep::all), Contains("none: No such file"));
    CHECK_THROWS_WITH(read_names(directory.path(), Keep::all), Contains("Is a directory"));
    CHECK_THROWS_WITH(read_names(directory / "few", Keep::names),
                      Contains("holds 2 names, which begin with") && Contains("at least 100"));
    CHECK_THROWS_WITH(read_names(directory / "latin1", Keep::all),
                      Contains("line 201") && Contains("not UTF-8"));
}

TEST_CASE("alphabet: characters are numbered from 1 in the order of their code points, and come back") {
    const Alphabet alphabet({"Åsa", "bad", "Жb"});
    CHECK(alphabet.text() == "abdsÅЖ");
    CHECK(alphabet.size() == 7);
    CHECK((alphabet.symbols("bÅЖ") == std::vector<Symbol>{2, 5, 6}));
    CHECK(alphabet.character(6) == "Ж");
    CHECK_THROWS_WITH(alphabet.symbols("baz"), Contains("'z' is not in the alphabet"));
    CHECK((Alphabet(alphabet.text()).symbols("dЖ") == alphabet.symbols("dЖ")));
}
