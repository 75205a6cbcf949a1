#include "examples/bigram.hpp"

#include <cmath>
#include <random>

#include "tests/catch.hpp"

using namespace examples;

TEST_CASE("bigram: probabilities are the counts mixed with the frequencies, as by hand") {
    // Sequence 0 1 0 1 1: pairs 01, 10, 01, 11.  c(0)=2, c(1)=2;  as successors 0: 1, 1: 3.
    const std::vector<Symbol> text = {0, 1, 0, 1, 1};
    const Bigram model(text, 3);
    const double alpha = model.alpha();
    const double u0 = 2.0 / 7, u1 = 4.0 / 7, u2 = 1.0 / 7;
    CHECK(model.probability(0, 1) == Approx((2 + alpha * u1) / (2 + alpha)));
    CHECK(model.probability(0, 0) == Approx(alpha * u0 / (2 + alpha)));
    CHECK(model.probability(1, 0) == Approx((1 + alpha * u0) / (2 + alpha)));
    CHECK(model.probability(2, 2) == Approx(u2));  // nothing is known after 2
}

TEST_CASE("bigram: after each symbol the probabilities add up to 1") {
    const std::vector<Symbol> text = {0, 1, 2, 2, 1, 0, 1, 4};
    const Bigram model(text, 6);
    for (Symbol a = 0; a < 6; ++a) {
        double sum = 0;
        for (Symbol b = 0; b < 6; ++b) sum += model.probability(a, b);
        CHECK(sum == Approx(1));
    }
}

TEST_CASE("bigram: the leave-one-out likelihood of five symbols, by hand") {
    // Pairs 01 (twice), 10, 11 of the first test, each predicted from the others with α = 2:
    // 01: (1 + 2·4/7)/(1 + 2) twice;  10: (0 + 2·2/7)/(1 + 2);  11: (0 + 2·4/7)/(1 + 2).
    const std::vector<Symbol> text = {0, 1, 0, 1, 1};
    const double expected = 2 * std::log((1 + 8.0 / 7) / 3) + std::log(4.0 / 7 / 3) + std::log(8.0 / 7 / 3);
    CHECK(Bigram(text, 3).leave_one_out(2) == Approx(expected));
}

TEST_CASE("bigram: the smoothing is the best one for the training part") {
    std::mt19937 random(7);
    std::vector<Symbol> text(3000);  // a walk over 20 symbols that sometimes jumps
    for (std::size_t i = 1; i < text.size(); ++i) {
        text[i] = static_cast<Symbol>(
            (random() % 10 == 0 ? random() : static_cast<unsigned>(text[i - 1]) + random() % 3) % 20);
    }
    const Bigram model(text, 20);
    for (const double factor : {0.8, 0.95, 1.05, 1.25}) {
        CHECK(model.leave_one_out(model.alpha()) > model.leave_one_out(model.alpha() * factor));
    }
}

TEST_CASE("bigram: bits per symbol, by hand, count only pairs inside a piece") {
    const std::vector<Symbol> text = {0, 1, 0, 1, 1};
    const Bigram model(text, 3);
    const double expected = -(std::log2(model.probability(0, 1)) + std::log2(model.probability(1, 2)) +
                              std::log2(model.probability(1, 1))) /
                            3;
    CHECK(model.bits({{0, 1, 2}, {1, 1}, {2}}) == Approx(expected));
}

TEST_CASE(
    "bigram: text whose next symbol is certain has no entropy, independent symbols have that of a coin") {
    std::vector<Symbol> alternating(20001), coin(200001);
    std::mt19937 random(3);
    for (std::size_t i = 0; i < alternating.size(); ++i) alternating[i] = static_cast<Symbol>(i % 2);
    for (Symbol& s : coin) s = static_cast<Symbol>(random() >> 31);
    CHECK(Bigram(alternating, 2).bits({alternating}) == Approx(0).margin(1e-3));
    CHECK(Bigram(coin, 2).bits({coin}) == Approx(1).margin(1e-3));
}

TEST_CASE("bigram: sequences without a pair and symbols outside the vocabulary are errors") {
    const std::vector<Symbol> one = {0}, outside = {0, 3}, negative = {0, -1};
    CHECK_THROWS_AS(Bigram(one, 2), std::invalid_argument);
    CHECK_THROWS_AS(Bigram(outside, 3), std::invalid_argument);
    CHECK_THROWS_AS(Bigram(negative, 3), std::invalid_argument);
}
