// nn::RNN, LSTM and GRU against torch.nn's: see golden/make_layers.py.

#include <string>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

using numbers::distance;
using numbers::tolerance;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t D = 3, H = 4, P = 2;

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("layers.txt");
    return file(name);
}

template <class Sequence>
Var<double> padded(const Sequence& xs) {
    if constexpr (xtape::is_var<Sequence>)
        return xs;
    else
        return nn::unpack(xs);
}

template <class Layer, class Sequence>
void check_results(const std::string& name, Layer& layer, const Var<double>& x, const Sequence& xs,
                   std::size_t parameters_expected) {
    INFO(name);
    nn::for_each_parameter(
        layer, [&](const std::string& parameter, auto& p) { p.value() = golden(name + "/" + parameter); });
    Tape<double>& tape = x.tape();
    using State = typename Layer::State;
    const std::string names[] = {"/h", "/c"};
    const State start =
        nn::state_of<State>([&](std::size_t k) { return tape.variable(golden(name + names[k])); });
    const auto starts = nn::vars_of(start);

    const auto [packed_or_not, last] = layer(xs, start);
    const auto lasts = nn::vars_of(last);
    const Var<double> outputs = padded(packed_or_not);
    Var<double> loss = sum(outputs * tape.constant(golden(name + "/outputs/weight")));
    for (std::size_t k = 0; k < lasts.size(); ++k)
        loss = loss + sum(lasts[k] * tape.constant(golden(name + names[k] + "_last/weight")));
    backward(loss);

    CHECK(distance(outputs.value(), golden(name + "/outputs")) < tolerance);
    CHECK(distance(x.grad(), golden(name + "/x/grad")) < tolerance);
    for (std::size_t k = 0; k < starts.size(); ++k) {
        CHECK(distance(lasts[k].value(), golden(name + names[k] + "_last")) < tolerance);
        CHECK(distance(starts[k].grad(), golden(name + names[k] + "/grad")) < tolerance);
    }
    std::size_t compared = 0;
    nn::for_each_parameter(layer, [&](const std::string& parameter, auto& p) {
        INFO(parameter);
        CHECK(distance(p.grad(), golden(name + "/" + parameter + "/grad")) < tolerance);
        ++compared;
    });
    CHECK(compared == parameters_expected);
}

template <class Layer>
void check(const std::string& name, Layer layer, std::size_t parameters_expected) {
    Tape<double> tape;
    const Var<double> x = tape.variable(golden(name + "/x"));
    check_results(name, layer, x, x, parameters_expected);
}

template <class Layer>
void check_packed(const std::string& name, Layer layer, std::size_t parameters_expected) {
    Tape<double> tape;
    const Var<double> x = tape.variable(golden(name + "/x"));
    const xt::xarray<double>& lengths = golden(name + "/lengths");
    const auto xs = nn::pack(x, std::vector<std::size_t>(lengths.begin(), lengths.end()));
    check_results(name, layer, x, xs, parameters_expected);
}

using RNN = nn::RNN<double>;
using LSTM = nn::LSTM<double>;
using GRU = nn::GRU<double>;

}  // namespace

TEST_CASE("layers: outputs, states and every gradient of an RNN are PyTorch's") {
    nn::Engine engine(1);
    check("rnn", RNN(D, H, engine, {.layers = 2}), 6);
    check("rnn_relu", RNN(D, H, engine, {.bidirectional = true, .activation = nn::Activation::relu}), 6);
}

TEST_CASE("layers: outputs, states and every gradient of an LSTM are PyTorch's") {
    nn::Engine engine(1);
    check("lstm", LSTM(D, H, engine, {.layers = 2, .bidirectional = true}), 8);
    check("lstm_projected", LSTM(D, H, engine, {.layers = 2, .bidirectional = true, .projection_size = P}),
          12);
    check("lstm_no_bias", LSTM(D, H, engine, {.bias = false}), 1);
    check("lstm_unbatched", LSTM(D, H, engine, {.layers = 2}), 4);
}

TEST_CASE("layers: outputs, states and every gradient of a GRU are PyTorch's") {
    nn::Engine engine(1);
    check("gru", GRU(D, H, engine, {.layers = 2, .bidirectional = true}), 16);
    check("gru_no_bias", GRU(D, H, engine, {.bias = false}), 2);
    check("gru_batch_first", GRU(D, H, engine, {.bidirectional = true, .batch_first = true}), 8);
}

TEST_CASE("layers: sequences of different lengths, in any order, go through as PyTorch's packed ones") {
    nn::Engine engine(1);
    check_packed("rnn_packed", RNN(D, H, engine), 3);
    check_packed("lstm_packed", LSTM(D, H, engine, {.layers = 2, .bidirectional = true}), 8);
    check_packed("gru_packed", GRU(D, H, engine, {.layers = 2, .bidirectional = true}), 16);
}
