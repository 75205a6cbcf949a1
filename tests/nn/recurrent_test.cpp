// What torch.nn's layers can't say of nn::RNN, LSTM and GRU: see layers_golden_test.cpp.

#include "nn/recurrent.hpp"

#include <string>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using Catch::Contains;
using xtape::Shape;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 5, B = 2, D = 3, H = 4;

}  // namespace

TEST_CASE("recurrent: one layer in one direction is its cell") {
    nn::Engine engine(1);
    nn::GRU<double> gru(D, H, engine, {.reset = nn::Reset::before_product});
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const auto layer = gru(x);
    const auto cell = nn::unroll(gru.cell(0, 0), x);
    CHECK(distance(layer.outputs.value(), cell.outputs.value()) == 0);
    CHECK(distance(layer.state[0].value(), cell.state.value()) == 0);
    CHECK(gru.cell(0, 0).reset == nn::Reset::before_product);
}

TEST_CASE("recurrent: without a state every form of sequence starts from zeros") {
    nn::Engine engine(1);
    const auto check = [&](const auto& layer, const Shape& xs_shape, const Shape& outputs_shape,
                           const Shape& h_shape, const Shape& c_shape) {
        Tape<double> tape;
        xtape::Parameter<double> xs(xs_shape);
        nn::normal(xs, 1, engine);
        const Var<double> x = tape.constant(xs.value());
        const auto [outputs, last] = layer(x);
        const auto again = layer(x, {nn::zeros(tape, h_shape), nn::zeros(tape, c_shape)});
        CHECK(outputs.shape() == outputs_shape);
        CHECK(last.h.shape() == h_shape);
        CHECK(last.c.shape() == c_shape);
        CHECK(distance(outputs.value(), again.outputs.value()) < tolerance);
        CHECK(distance(last.c.value(), again.state.c.value()) < tolerance);
    };
    using LSTM = nn::LSTM<double>;
    check(LSTM(D, H, engine), {T, B, D}, {T, B, H}, {1, B, H}, {1, B, H});
    check(LSTM(D, H, engine), {T, D}, {T, H}, {1, H}, {1, H});
    const LSTM both(D, H, engine,
                    {.layers = 3, .bidirectional = true, .batch_first = true, .projection_size = 2});
    check(both, {B, T, D}, {B, T, 4}, {6, B, 2}, {6, B, H});
    check(both, {T, D}, {T, 4}, {6, 2}, {6, H});
    CHECK(both.layers() == 3);
    CHECK(both.directions() == 2);
    CHECK(both.input_size() == D);
    CHECK(both.hidden_size() == H);
}

TEST_CASE("recurrent: windows that carry their state give the whole sequence's outputs") {
    nn::Engine engine(1);
    const nn::LSTM<double> lstm(D, H, engine, {.layers = 2, .batch_first = true});
    const Sequence xs = random(engine, std::array{B, T, D});
    Tape<double> tape;
    const Sequence whole = lstm(tape.constant(xs)).outputs.value();
    nn::CarriedState<nn::LSTM<double>::State> carried;
    for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 2}, {2, 3}, {3, T}}) {
        tape.clear();
        const Sequence window = xt::view(xs, xt::all(), xt::range(begin, end), xt::all());
        const Sequence expected = xt::view(whole, xt::all(), xt::range(begin, end), xt::all());
        CHECK(distance(lstm(tape.constant(window), carried).outputs.value(), expected) < tolerance);
    }
}

TEST_CASE("recurrent: dropout is there in training only, and between layers only") {
    nn::Engine engine(1);
    nn::RNN<double> rnn(D, H, engine, {.layers = 2, .dropout = 0.5}), single(D, H, engine, {.dropout = 0.5});
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const auto twice = [&](const auto& layer) {
        const Sequence first = layer(x).outputs.value(), second = layer(x).outputs.value();
        return distance(first, second);
    };
    CHECK(twice(rnn) > 0.01);
    CHECK(twice(single) == 0);
    nn::eval(rnn);
    CHECK(twice(rnn) == 0);
    const auto above = nn::unroll(rnn.cell(1, 0), nn::unroll(rnn.cell(0, 0), x).outputs);
    CHECK(distance(rnn(x).outputs.value(), above.outputs.value()) == 0);
}

TEST_CASE("recurrent: a layer is trained by an optimizer, to which its copy means nothing") {
    nn::Engine engine(1);
    nn::GRU<float> gru(1, 8, engine, {.layers = 2, .bidirectional = true});
    const nn::GRU<float> copy = gru;
    nn::Adam optimizer(gru, {.learning_rate = 0.01});
    Tape<float> tape;
    xt::xarray<float> xs = xt::zeros<float>({6, 4, 1});
    for (std::size_t k = 0; k < xs.size(); ++k) xs.flat(k) = static_cast<float>(k % 5) / 5;
    const auto loss_of = [&](const nn::GRU<float>& layer) {
        return nn::mse(mean(layer(tape.constant(xs)).outputs, {2}), tape.constant(xt::squeeze(xs)));
    };
    const float start = loss_of(gru).item();
    for (int k = 0; k < 100; ++k) {
        tape.clear();
        backward(loss_of(gru));
        optimizer.step();
        nn::zero_grad(gru);
    }
    CHECK(loss_of(gru).item() < 0.1f * start);
    CHECK(loss_of(copy).item() == start);
}

TEST_CASE("recurrent: wrong shapes are refused, with the layer's name, the shape and what was expected") {
    nn::Engine engine(1);
    const nn::LSTM<double> lstm(D, H, engine, {.layers = 2});
    const nn::GRU<double> gru(D, H, engine, {.bidirectional = true, .batch_first = true});
    Tape<double> tape;
    const auto of = [&](const Shape& shape) { return nn::zeros(tape, shape); };
    const Var<double> x = of({T, B, D}), h = of({2, B, H});
    CHECK_THROWS_WITH(lstm(of({T, B, D + 1})),
                      Contains("[LSTM]") && Contains("(5, 2, 4)") && Contains("(T, B, 3)"));
    CHECK_THROWS_WITH(lstm(of({D})), Contains("[LSTM]") && Contains("(3,)"));
    CHECK_THROWS_WITH(gru(of({H})), Contains("[GRU]") && Contains("(B, T, 3)"));
    CHECK_THROWS_AS(lstm(of({0, B, D})), ShapeError);
    CHECK_THROWS_WITH(lstm(x, {of({1, B, H}), h}), Contains("[LSTM] a state of shape (1, 2, 4)") &&
                                                       Contains("(2, 2, H), 2 layers in 1 direction"));
    CHECK_THROWS_AS(lstm(x, {h, of({2, B + 1, H})}), ShapeError);
    CHECK_THROWS_AS(lstm(x, {h, of({2, B, H + 1})}), ShapeError);
    CHECK_THROWS_AS(lstm(x, {h, of({B, H})}), ShapeError);
    CHECK_THROWS_WITH(lstm(of({T, D}), {h, h}), Contains("expected (2, H)"));
    CHECK_THROWS_WITH(gru(x, of({2, T + 1, H})), Contains("(2, 5, H), 1 layers in 2 directions"));
}

TEST_CASE("recurrent: options out of range are refused") {
    nn::Engine engine(1);
    using LSTM = nn::LSTM<double>;
    CHECK_THROWS_WITH(LSTM(0, H, engine), Contains("[LSTM] input_size is 0"));
    CHECK_THROWS_WITH(LSTM(D, 0, engine), Contains("[LSTM] hidden_size is 0"));
    CHECK_THROWS_WITH(LSTM(D, H, engine, {.layers = 0}), Contains("[LSTM] layers is 0"));
    CHECK_THROWS_WITH(LSTM(D, H, engine, {.dropout = 1.5}), Contains("[LSTM] dropout is 1.5"));
    CHECK_THROWS_WITH(LSTM(D, H, engine, {.projection_size = H}),
                      Contains("projection_size is 4") && Contains("less than the hidden size, 4"));
}
