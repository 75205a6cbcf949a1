#include "examples/text.hpp"

#include <algorithm>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

TEST_CASE("text: a file is read byte by byte") {
    const TemporaryDirectory directory;
    const std::string bytes("a\0b\xff\r\n", 6);
    CHECK(read_text(directory.write("a", bytes)) == bytes);
}

TEST_CASE("text: a directory is its text files in the order of their names") {
    const TemporaryDirectory directory;
    directory.write("b", "second ");
    directory.write("a", "first ");
    directory.write("c", "third");
    directory.write(".hidden", "hidden");
    directory.write("a.dat", std::string_view("\0\1index", 7));
    std::filesystem::create_symlink("a", directory / "z");
    std::filesystem::create_directory(directory / "aa");
    CHECK(read_text(directory.path()) == "first second third");
}

TEST_CASE("text: what cannot be read is named with the reason") {
    const TemporaryDirectory directory;
    CHECK_THROWS_WITH(read_text(directory / "none"), Contains("none") && Contains("No such file"));
    CHECK_THROWS_WITH(read_text(directory.write("empty", "")), Contains("empty"));
    CHECK_THROWS_WITH(read_text(directory.path()), Contains("no text file"));
}

TEST_CASE("text: the held-out part is every twentieth block, and the rest is the training part") {
    std::string text(20 * 4096 * 5, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i / 4096 % 20);
    const Corpus corpus = hold_out(text);
    REQUIRE(corpus.held_out.size() == 5);
    for (const std::string& piece : corpus.held_out) CHECK(piece == std::string(4096, 'a' + 10));
    CHECK(corpus.train.size() == text.size() - 5 * 4096);
    CHECK(corpus.train.find('a' + 10) == std::string::npos);
}

TEST_CASE("text: a short text still gives four pieces, and nothing of it is lost") {
    const std::string text(smallest_text + 7, 'x');
    const Corpus corpus = hold_out(text);
    REQUIRE(corpus.held_out.size() >= 4);
    std::size_t total = corpus.train.size();
    for (const std::string& piece : corpus.held_out) total += piece.size();
    CHECK(total == text.size());
}

TEST_CASE("text: of a large text about 64 blocks are held out, from all over it") {
    const Corpus corpus = hold_out(std::string(20'000'000, 'x'));
    CHECK(corpus.held_out.size() >= 64);
    CHECK(corpus.held_out.size() <= 66);
}

TEST_CASE("text: too short a text is an error that says what is needed") {
    CHECK_THROWS_WITH(hold_out("tiny"), Contains("4 bytes") && Contains("10000"));
}

TEST_CASE("vocabulary: bytes that occur are numbered from 1 in their order, all others are 0") {
    const Vocabulary vocabulary("banana\xe9");
    CHECK(vocabulary.size() == 5);
    CHECK(vocabulary.symbols("abn\xe9zA") == std::vector<Symbol>{1, 2, 3, 4, 0, 0});
    CHECK(vocabulary.byte(3) == 'n');
    CHECK(vocabulary.byte(4) == '\xe9');
    CHECK(vocabulary.byte(0) == '?');
    CHECK(vocabulary.hex() == "61626ee9");
}
