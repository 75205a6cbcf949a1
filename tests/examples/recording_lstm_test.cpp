#include "examples/recording_lstm.hpp"

#include <cmath>
#include <random>

#include "tests/catch.hpp"

namespace nn = xtape::nn;
using xtape::Tape;
using xtape::Var;

TEST_CASE("recording lstm: h and c are those of the cell, and the gates those of the formula") {
    constexpr std::size_t T = 6, B = 2, D = 3, H = 4;
    nn::Engine engine(5);
    std::normal_distribution<double> normal;
    const nn::LSTMCell<double> cell(D, H, engine);
    xt::xarray<double> inputs = xt::zeros<double>({T, B, D});
    for (double& x : inputs) x = normal(engine);

    Tape<double> tape;
    const Var<double> xs = tape.constant(inputs);
    const auto expected = nn::unroll_states(cell, xs);
    const auto recorded = nn::unroll_states(examples::RecordingLSTM<double>(cell), xs);
    const auto weight = cell.weight.value();
    const auto bias = cell.bias.value();
    for (std::size_t t = 0; t < T; ++t) {
        for (std::size_t b = 0; b < B; ++b) {
            for (std::size_t j = 0; j < H; ++j) {
                CHECK(recorded[t].h.value()(b, j) == Approx(expected[t].h.value()(b, j)).epsilon(1e-12));
                CHECK(recorded[t].c.value()(b, j) == Approx(expected[t].c.value()(b, j)).epsilon(1e-12));
            }
            for (std::size_t row = 0; row < 3 * H; ++row) {
                double z = bias(row);
                for (std::size_t d = 0; d < D; ++d) z += weight(row, d) * inputs(t, b, d);
                for (std::size_t j = 0; j < H && t > 0; ++j)
                    z += weight(row, D + j) * expected[t - 1].h.value()(b, j);
                CHECK(recorded[t].gates.value()(b, row) == Approx(1 / (1 + std::exp(-z))).epsilon(1e-12));
            }
        }
    }
}
