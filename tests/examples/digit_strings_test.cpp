#include "examples/digit_strings.hpp"

#include <algorithm>
#include <set>

#include "tests/catch.hpp"

using namespace examples;

TEST_CASE("digit strings: what is written is what is read, backwards") {
    xtape::nn::Engine engine(1);
    const DigitTask task(DigitTask::Kind::reverse, 5);
    std::set<std::size_t> lengths;
    for (const auto& [reads, writes] : task.draw(500, false, engine)) {
        REQUIRE(reads.size() == task.read_length());
        REQUIRE(writes.size() == task.write_length());
        const std::string digits = reads.substr(reads.find_first_not_of(' '));
        lengths.insert(digits.size());
        CHECK(writes.substr(0, writes.find('.')) == std::string(digits.rbegin(), digits.rend()));
        CHECK(writes.find_first_not_of('.', writes.find('.')) == std::string::npos);
    }
    CHECK((lengths == std::set<std::size_t>{1, 2, 3, 4, 5}));
}

TEST_CASE("digit strings: what is written is the sum of the two numbers that are read") {
    xtape::nn::Engine engine(2);
    const DigitTask task(DigitTask::Kind::add, 3);
    for (const auto& [reads, writes] : task.draw(500, false, engine)) {
        REQUIRE(reads.size() == 7);
        REQUIRE(writes.size() == 5);
        REQUIRE(reads[3] == '+');
        CHECK(std::stoi(writes) == std::stoi(reads.substr(0, 3)) + std::stoi(reads.substr(4)));
        CHECK(writes.back() == '.');
    }
}

TEST_CASE("digit strings: a tenth is held out, and never both") {
    xtape::nn::Engine engine(3);
    const DigitTask task(DigitTask::Kind::add, 2);
    for (const bool held_out : {false, true})
        for (const Translation& pair : task.draw(300, held_out, engine))
            CHECK(is_held_out(pair.reads) == held_out);
    std::size_t count = 0;
    for (int k = 0; k < 10000; ++k) count += is_held_out(std::to_string(k));
    CHECK(static_cast<double>(count) == Approx(1000).epsilon(0.15));
}

TEST_CASE("digit strings: characters are numbered in the order of the alphabet, time first") {
    const auto symbols = digit_symbols({" 7+", "10."});
    REQUIRE((symbols.shape() == std::array<std::size_t, 2>{3, 2}));
    CHECK((symbols == xt::xtensor<std::int32_t, 2>{{10, 1}, {7, 0}, {11, 12}}));
    CHECK_THROWS_AS(digit_symbols({"1", "22"}), std::invalid_argument);
    CHECK_THROWS_AS(digit_symbols({"x"}), std::invalid_argument);
}

TEST_CASE("digit strings: the majority at each place, a copy, and what is right of them, by hand") {
    const std::vector<Translation> pairs{{"12", "21."}, {" 3", "3.."}, {"22", "22."}, {"13", "31."}};
    // First place 2 3 2 3 (the smaller one wins), second 1 . 2 1, third always a full stop.
    CHECK(majority_string(pairs) == "21.");
    const Agreement majority = agreement(pairs, {"21.", "21.", "21.", "21."});
    CHECK(majority.strings == Approx(0.25));
    CHECK(majority.characters == Approx((3 + 1 + 2 + 2) / 12.0));

    CHECK(copied_string(pairs[0]) == "12.");
    CHECK(copied_string(pairs[1]) == "3..");
    CHECK(agreement({pairs[1], pairs[0]}, {"3..", "12."}).strings == Approx(0.5));
    CHECK_THROWS_AS(agreement(pairs, {"21."}), std::invalid_argument);
}

TEST_CASE("digit strings: too few digits to hold some out, and more than a number has, are refused") {
    CHECK_THROWS_AS(DigitTask(DigitTask::Kind::add, 1), std::invalid_argument);
    CHECK_THROWS_AS(DigitTask(DigitTask::Kind::add, 19), std::invalid_argument);
    xtape::nn::Engine engine(4);
    const DigitTask largest(DigitTask::Kind::add, 18);
    for (int k = 0; k < 50; ++k) CHECK(largest.draw(engine).writes.size() == 20);
}
