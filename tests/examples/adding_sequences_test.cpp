#include "examples/adding_sequences.hpp"

#include "tests/catch.hpp"

using namespace examples;

TEST_CASE("adding sequences: two numbers are marked, one in each half, and the sum is theirs") {
    xtape::nn::Engine engine(3);
    for (const std::size_t T : {2u, 3u, 7u, 10u}) {
        const AddingSequences data(T, 50, engine);
        REQUIRE((data.xs.shape() == std::array<std::size_t, 3>{T, 50, 2}));
        REQUIRE((data.sums.shape() == std::array<std::size_t, 2>{50, 1}));
        for (std::size_t b = 0; b < 50; ++b) {
            float in_first_half = 0, in_second_half = 0, sum = 0;
            for (std::size_t t = 0; t < T; ++t) {
                const float number = data.xs(t, b, 0), mark = data.xs(t, b, 1);
                CHECK(number >= 0);
                CHECK(number <= 1);
                CHECK((mark == 0 || mark == 1));
                (t < T / 2 ? in_first_half : in_second_half) += mark;
                sum += number * mark;
            }
            CHECK(in_first_half == 1);
            CHECK(in_second_half == 1);
            CHECK(data.sums(b, 0) == Approx(sum));
        }
    }
}

TEST_CASE("adding sequences: every place of a half is marked as often") {
    xtape::nn::Engine engine(4);
    const std::size_t T = 5, B = 6000;
    const AddingSequences data(T, B, engine);
    const double expected[] = {B / 2.0, B / 2.0, B / 3.0, B / 3.0, B / 3.0};
    for (std::size_t t = 0; t < T; ++t) {
        double marks = 0;
        for (std::size_t b = 0; b < B; ++b) marks += data.xs(t, b, 1);
        CHECK(marks == Approx(expected[t]).epsilon(0.1));
    }
}

TEST_CASE("adding sequences: always saying 1 has the error of the baseline") {
    xtape::nn::Engine engine(5);
    const AddingSequences data(20, 20000, engine);
    double error = 0;
    for (const float sum : data.sums) error += (sum - 1) * (sum - 1);
    CHECK(error / 20000 == Approx(AddingSequences::baseline).epsilon(0.03));
}

TEST_CASE("adding sequences: a seed gives the same sequences, and one step is too few") {
    xtape::nn::Engine one(6), other(6);
    const AddingSequences a(9, 4, one), b(9, 4, other);
    CHECK((a.xs == b.xs));
    CHECK((a.sums == b.sums));
    CHECK_THROWS_AS(AddingSequences(1, 4, one), std::invalid_argument);
}
