#include "examples/copying_sequences.hpp"

#include <vector>

#include "tests/catch.hpp"

using namespace examples;

TEST_CASE("copying sequences: ten symbols, blanks, a mark and blanks, and wanted are the ten at the end") {
    xtape::nn::Engine engine(3);
    for (const std::size_t T : {1u, 2u, 6u}) {
        const CopyingSequences data(T, 20, engine);
        REQUIRE((data.reads.shape() == std::array<std::size_t, 2>{T + 20, 20}));
        REQUIRE((data.says.shape() == data.reads.shape()));
        for (std::size_t b = 0; b < 20; ++b) {
            for (std::size_t t = 0; t < T + 20; ++t) {
                INFO("step " << t << " of delay " << T);
                if (t < 10) {
                    CHECK(data.reads(t, b) >= 0);
                    CHECK(data.reads(t, b) < 8);
                } else {
                    CHECK(data.reads(t, b) == (t == T + 9 ? 9 : 8));
                }
                CHECK(data.says(t, b) == (t < T + 10 ? 8 : data.reads(t - T - 10, b)));
            }
        }
    }
}

TEST_CASE("copying sequences: each of the eight symbols comes as often") {
    xtape::nn::Engine engine(4);
    const CopyingSequences data(1, 2000, engine);
    std::vector<double> counts(8);
    for (std::size_t t = 0; t < 10; ++t)
        for (std::size_t b = 0; b < 2000; ++b) ++counts[static_cast<std::size_t>(data.reads(t, b))];
    for (const double count : counts) CHECK(count == Approx(20000 / 8.0).epsilon(0.1));
}

TEST_CASE("copying sequences: the baseline is the loss of knowing when to speak and guessing what") {
    // Scores that are certain of a blank until the end, and then give each symbol an eighth.
    xtape::nn::Engine engine(5);
    const std::size_t T = 7, B = 3;
    const CopyingSequences data(T, B, engine);
    xt::xtensor<double, 3> scores = xt::zeros<double>({T + 20, B, std::size_t{9}});
    for (std::size_t t = 0; t < T + 20; ++t)
        for (std::size_t b = 0; b < B; ++b) scores(t, b, 8) = t < T + 10 ? 100 : -100;
    xtape::Tape<double> tape;
    CHECK(xtape::nn::cross_entropy(tape.constant(scores), data.says).item() ==
          Approx(CopyingSequences::baseline(T)));
    CHECK(CopyingSequences::baseline(100) == Approx(0.17328680));  // 10 · 2.0794415 / 120
}

TEST_CASE("copying sequences: without a delay there is no room for the mark") {
    xtape::nn::Engine engine(6);
    CHECK_THROWS_AS(CopyingSequences(0, 4, engine), std::invalid_argument);
}
