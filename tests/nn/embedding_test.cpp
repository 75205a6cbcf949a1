#include "nn/embedding.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::gradcheck;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t V = 5, E = 3;

}  // namespace

TEST_CASE("embedding: gives the rows that ids name, and repeated ids add up their gradients") {
    nn::Engine engine(1);
    nn::Embedding<double> embedding(V, E, engine);
    const xt::xtensor<int, 2> ids{{4, 0, 4}, {1, 4, -5}};
    const Sequence dy = random(engine, std::array<std::size_t, 3>{2, 3, E});
    Tape<double> tape;
    const Var<double> y = embedding(tape, ids);
    backward(y, tape.constant(dy));
    Sequence rows = xt::zeros<double>({std::size_t(2), std::size_t(3), E});
    Matrix gradient = xt::zeros<double>({V, E});
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < E; ++k) {
                const std::size_t row = ids(i, j) < 0 ? 0 : static_cast<std::size_t>(ids(i, j));
                rows(i, j, k) = embedding.weight.value()(row, k);
                gradient(row, k) += dy(i, j, k);
            }
    CHECK(distance(y.value(), rows) == 0);
    CHECK(distance(embedding.weight.grad(), gradient) < 1e-14);
}

TEST_CASE("embedding: the padding row starts with zeros and receives no gradient") {
    nn::Engine engine(1);
    nn::Embedding<double> embedding(V, E, engine, {.padding_index = 3});
    for (std::size_t k = 0; k < E; ++k) CHECK(embedding.weight.value()(3, k) == 0);
    embedding.weight.value()(3, 1) = 7;  // a value it may have all the same
    Tape<double> tape;
    const Var<double> y = embedding(tape, std::vector<std::uint8_t>{3, 1, 3, 1});
    const Var<double> z = embedding(tape, xt::xtensor<long, 1>{-2, -1});  // -2 is the padding index too
    CHECK(y.value()(0, 1) == 7);
    CHECK(z.value()(0, 1) == 7);
    backward(sum(y) + 10 * sum(z));
    Matrix gradient = xt::zeros<double>({V, E});
    for (std::size_t k = 0; k < E; ++k) {
        gradient(1, k) = 2;
        gradient(4, k) = 10;
    }
    CHECK(distance(embedding.weight.grad(), gradient) == 0);
}

TEST_CASE("embedding: its gradient agrees with differences") {
    nn::Engine engine(1);
    nn::Embedding<double> embedding(V, E, engine);
    const auto rows = [&](std::span<const Var<double>> in) -> Var<double> {
        return in[0] * embedding(in[0].tape(), std::array{2, 0, 2});
    };
    gradcheck(rows, {random(engine, std::array<std::size_t, 2>{3, E})},
              {.parameters = nn::parameters(embedding)});
}

TEST_CASE("embedding: starts normal with the given deviation") {
    nn::Engine engine(1);
    const nn::Embedding<float> wide(100, 100, engine, {.deviation = 0.1});
    double squares = 0;
    for (float w : wide.weight.value()) squares += double(w) * double(w);
    CHECK(std::sqrt(squares / 10000) == Approx(0.1).epsilon(0.03));
}

TEST_CASE("embedding: an id or a padding index out of range is refused") {
    nn::Engine engine(1);
    const nn::Embedding<double> embedding(V, E, engine);
    Tape<double> tape;
    CHECK_THROWS_AS(embedding(tape, std::array{0, 5}), xtape::IndexError);
    CHECK_THROWS_AS(embedding(tape, std::array{-6}), xtape::IndexError);
    CHECK_THROWS_WITH(nn::Embedding<double>(V, E, engine, {.padding_index = 5}),
                      Catch::Contains("[Embedding] padding index 5") && Catch::Contains("(5, 3)"));
    CHECK_THROWS_AS(nn::Embedding<double>(V, E, engine, {.deviation = -1}), std::invalid_argument);
}
