// Formulas 2 and 9: what a layer costs, in multiplications and in parameters.

#include "autograd/count.hpp"
#include "nn/nn.hpp"
#include "tests/catch.hpp"

using xtape::Shape;
using xtape::Tape;
namespace nn = xtape::nn;

TEST_CASE("formula 2: unrolling costs T H (D + H) multiplications for each sample") {
    constexpr std::size_t T = 7, B = 3, D = 4, H = 5;
    nn::Engine engine(2);
    Tape<double> tape;
    const auto xs = nn::zeros(tape, {T, B, D});
    const auto count = [&](const auto& cell) {
        const std::size_t before = multiplications(tape);
        nn::unroll(cell, xs);
        return multiplications(tape) - before;
    };
    CHECK(count(nn::RNNCell<double>(D, H, engine)) == T * H * (D + H) * B);
    CHECK(count(nn::LSTMCell<double>(D, H, engine)) == 4 * T * H * (D + H) * B);
    CHECK(count(nn::GRUCell<double>(D, H, engine, nn::Reset::after_product)) == 3 * T * H * (D + H) * B);
    CHECK(count(nn::GRUCell<double>(D, H, engine, nn::Reset::before_product)) == 3 * T * H * (D + H) * B);
}

TEST_CASE("formula 2: multiplications are counted for each op") {
    Tape<double> tape;
    const auto a = nn::zeros(tape, {2, 3, 4}), b = nn::zeros(tape, {2, 4, 5}), w = nn::zeros(tape, {4, 7});
    const xtape::Var<double> batched = matmul(a, b), plain = matmul(a, w), pointwise = a * a;
    CHECK(multiplications(tape, "matmul") == 2 * 3 * 4 * 7);
    CHECK(multiplications(tape, "batched_matmul") == 2 * 3 * 4 * 5);
    CHECK(multiplications(tape) == 2 * 3 * 4 * 12);
    CHECK(multiplications(tape, batched.index()) == 2 * 3 * 4 * 5);
    CHECK(multiplications(tape, plain.index()) == 2 * 3 * 4 * 7);
    CHECK(multiplications(tape, pointwise.index()) == 0);
}

TEST_CASE(
    "formula 9: without biases a layer has H² + HD parameters, four times that as LSTM, three times as GRU") {
    constexpr std::size_t D = 4, H = 5;
    nn::Engine engine(9);
    const nn::RNNCell<double> rnn(D, H, engine);
    const nn::LSTMCell<double> lstm(D, H, engine);
    const nn::GRUCell<double> after(D, H, engine, nn::Reset::after_product);
    const nn::GRUCell<double> before(D, H, engine, nn::Reset::before_product);
    CHECK(nn::parameter_count(rnn) - rnn.b_h.size() == H * H + H * D);
    CHECK(nn::parameter_count(lstm) - lstm.bias.size() == 4 * (H * H + H * D));
    CHECK(nn::parameter_count(after) - after.bias.size() - after.bias_n.size() == 3 * (H * H + H * D));
    CHECK(nn::parameter_count(before) - before.bias.size() == 3 * (H * H + H * D));
}
