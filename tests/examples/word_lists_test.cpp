#include "examples/word_lists.hpp"

#include <algorithm>
#include <set>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

namespace {

std::vector<std::string> many_words(const std::string& beginning) {
    std::vector<std::string> words;
    for (char a = 'a'; a <= 'z'; ++a)
        for (char b = 'a'; b <= 'd'; ++b) words.push_back(beginning + a + b);
    return words;
}

}  // namespace

TEST_CASE("word lists: of a file the words of 3 to 20 plain letters are kept, in lower case, each once") {
    const TemporaryDirectory directory;
    const auto file =
        directory.write("words", "Haus\r\nhaus\nM\xC3\xA4use\nab\nit's\nabc\nabcdefghijklmnopqrstu\n\nZug");
    const WordList list = read_words("german", file);
    CHECK(list.language == "german");
    CHECK((list.words == std::vector<std::string>{"abc", "haus", "zug"}));
    CHECK_THROWS_WITH(read_words("x", directory / "none"), Contains("none: No such file"));
    CHECK_THROWS_WITH(read_words("x", directory.path()), Contains("cannot read"));
    CHECK_THROWS_WITH(read_words("x", directory.write("empty", "a\n")),
                      Contains("no word of 3 to 20 letters"));
}

TEST_CASE("word lists: as many words of each language, none of several, and a tenth for the test") {
    std::vector<WordList> lists{{"one", many_words("x")}, {"other", many_words("y")}};
    lists[0].words.push_back("both");
    lists[1].words.push_back("both");
    lists[1].words.push_back("more");
    const LabelledWords words = label_words(lists, 1000, 1);
    CHECK(words.training.size() == 2 * (104 - 10));
    CHECK(words.test.size() == 2 * 10);
    std::set<std::string> seen;
    for (const auto* part : {&words.training, &words.test}) {
        for (const auto& [word, language] : *part) {
            CHECK(word != "both");
            CHECK(seen.insert(word).second);
            if (word != "more") CHECK(word[0] == (language == 0 ? 'x' : 'y'));
        }
    }
    CHECK(label_words(lists, 30, 1).training.size() == 2 * 27);
    lists[1].words = lists[0].words;
    CHECK_THROWS_WITH(label_words(lists, 30, 1), Contains("the list of one alone"));
}

TEST_CASE("word lists: pairs of letters tell languages apart, the spaces around a word included") {
    std::vector<LabelledWord> training;
    for (int k = 0; k < 20; ++k) {
        training.push_back({"abab", 0});
        training.push_back({"baba", 1});  // the same letters, and nearly the same pairs
        training.push_back({"ccc", 2});
    }
    const BigramClassifier classify(training, 3);
    CHECK(classify("ab") == 0);
    CHECK(classify("ba") == 1);
    CHECK(classify("bababa") == 1);
    CHECK(classify("cccccc") == 2);
    CHECK_THROWS_AS(classify("A"), std::invalid_argument);
}
