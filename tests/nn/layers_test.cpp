#include "nn/layers.hpp"

#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 5, B = 2, D = 3, H = 4;

/// As a user writes it: h' = tanh(x W + a ⊙ h). No State is given.
struct OwnCell {
    using value_type = double;
    Parameter<double> w, a;

    OwnCell(std::size_t inputs, nn::Engine& engine) : w(Shape{inputs, H}), a(Shape{H}) {
        nn::normal(w, 0.5, engine);
        nn::normal(a, 0.5, engine);
    }
    Var<double> operator()(const Var<double>& x, const Var<double>& h) const {
        return tanh(matmul(x, x.tape().watch(w)) + x.tape().watch(a) * h);
    }
    Var<double> initial_state(Tape<double>& tape, std::size_t batch) const {
        return nn::zeros(tape, {batch, H});
    }
    template <class F>
    void visit(F&& f) {
        f("w", w);
        f("a", a);
    }
};

/// The cell's steps by hand.
Sequence outputs_of(const OwnCell& cell, const Sequence& xs) {
    Sequence result = xt::zeros<double>(std::array{xs.shape(0), xs.shape(1), H});
    Matrix h = xt::zeros<double>(std::array{xs.shape(1), H});
    for (std::size_t t = 0; t < xs.shape(0); ++t) {
        h = xt::tanh(product(step(xs, t), matrix(cell.w)) + vector(cell.a) * h);
        xt::view(result, t, xt::all(), xt::all()) = h;
    }
    return result;
}
Sequence from_the_end(const Sequence& xs) { return xt::flip(xs, 0); }
Sequence side_by_side(const Sequence& a, const Sequence& b) { return xt::concatenate(xt::xtuple(a, b), 2); }
Sequence outputs_of(const nn::Bidirectional<OwnCell>& layer, const Sequence& xs) {
    return side_by_side(outputs_of(layer.forwards, xs),
                        from_the_end(outputs_of(layer.backwards, from_the_end(xs))));
}

}  // namespace

TEST_CASE("layers: a cell of one's own runs backwards, both ways and stacked, as by hand") {
    nn::Engine engine(1);
    const Sequence xs = random(engine, std::array{T, B, D});
    const OwnCell low(D, engine), back(D, engine), high(2 * H, engine), high_back(2 * H, engine);
    Tape<double> tape;
    const Var<double> x = tape.constant(xs);

    const nn::Reversed reversed(low);
    const auto from_end = nn::unroll(reversed, x);
    CHECK(distance(from_end.outputs.value(), from_the_end(outputs_of(low, from_the_end(xs)))) < tolerance);
    CHECK(distance(from_end.state.value(), step(Sequence(from_end.outputs.value()), 0)) == 0);

    const nn::Bidirectional both(low, back);
    const auto [outputs, last] = nn::unroll(both, x);
    CHECK(distance(outputs.value(), outputs_of(both, xs)) < tolerance);
    CHECK(distance(last.forwards.value(), columns(step(Sequence(outputs.value()), T - 1), 0, H)) == 0);
    CHECK(distance(last.backwards.value(), columns(step(Sequence(outputs.value()), 0), H, 2 * H)) == 0);

    const nn::Stacked stacked(std::vector{both, nn::Bidirectional(high, high_back)});
    const auto result = nn::unroll(stacked, x);
    const Sequence expected = outputs_of(stacked.layers[1], outputs_of(both, xs));
    CHECK(distance(result.outputs.value(), expected) < tolerance);
    REQUIRE(result.state.size() == 2);
    CHECK(distance(result.state[0].forwards.value(), last.forwards.value()) == 0);
}

TEST_CASE("layers: all gradients of stacked bidirectional cells are those of finite differences") {
    nn::Engine engine(1);
    using Both = nn::Bidirectional<OwnCell>;
    nn::Stacked<Both> layers({Both({D, engine}, {D, engine}), Both({2 * H, engine}, {2 * H, engine})});
    const auto run = [&](std::span<const Var<double>> in) {
        const auto [outputs, last] = nn::unroll(layers, in[0], {{in[1], in[2]}, {in[2], in[1]}});
        return Var<double>(sum(square(outputs)) + sum(last[0].backwards * last[1].forwards));
    };
    xtape::gradcheck(run,
                     {random(engine, std::array{T, B, D}), random(engine, std::array{B, H}),
                      random(engine, std::array{B, H})},
                     {.parameters = nn::parameters(layers)});
}

TEST_CASE("layers: dropout acts on the outputs of all layers but the last, while training") {
    nn::Engine engine(1), masks(5);
    const OwnCell low(D, engine), high(H, engine);
    nn::Stacked layers(std::vector{low, high}, nn::Dropout(0.5, masks));
    Tape<double> tape;
    const Var<double> x = tape.constant(random(engine, std::array{T, B, D}));
    const Sequence dropped = nn::unroll(layers, x).outputs.value();

    masks.seed(5);
    const Var<double> between = (*layers.dropout)(nn::unroll(low, x).outputs);
    CHECK(distance(dropped, nn::unroll(high, between).outputs.value()) == 0);

    nn::eval(layers);
    const Sequence whole = nn::unroll(high, nn::unroll(low, x).outputs).outputs.value();
    CHECK(distance(nn::unroll(layers, x).outputs.value(), whole) == 0);
    CHECK(distance(dropped, whole) > 0.01);
}

TEST_CASE("layers: windows that carry their state give the whole sequence's outputs") {
    nn::Engine engine(1);
    const nn::Stacked layers(
        std::vector{nn::LSTMCell<double>(D, H, engine), nn::LSTMCell<double>(H, H, engine)});
    const Sequence xs = random(engine, std::array{T, B, D});
    Tape<double> tape;
    const Sequence whole = nn::unroll(layers, tape.constant(xs)).outputs.value();
    nn::CarriedState<decltype(layers)::State> carried;
    for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 2}, {2, 3}, {3, T}}) {
        tape.clear();
        const Sequence window = xt::view(xs, xt::range(begin, end), xt::all(), xt::all());
        const Sequence expected = xt::view(whole, xt::range(begin, end), xt::all(), xt::all());
        CHECK(distance(nn::unroll(layers, tape.constant(window), carried).outputs.value(), expected) <
              tolerance);
    }
}

TEST_CASE("layers: in a packed batch each sequence has what it has by itself") {
    nn::Engine engine(1);
    using Both = nn::Bidirectional<nn::GRUCell<double>>;
    const nn::Stacked layers(
        std::vector{Both({D, H, engine}, {D, H, engine}), Both({2 * H, H, engine}, {2 * H, H, engine})});
    Tape<double> tape;
    std::vector<Var<double>> sequences;
    for (std::size_t length : {std::size_t{1}, std::size_t{4}, std::size_t{2}})
        sequences.push_back(tape.constant(random(engine, std::array{length, D})));
    const auto packed = nn::pack(std::span<const Var<double>>(sequences));
    const auto [outputs, last] = nn::unroll(layers, packed);
    const auto each = nn::unpack_each(outputs);
    for (std::size_t b = 0; b < sequences.size(); ++b) {
        const auto alone = nn::unroll(layers, unsqueeze(sequences[b], 1));
        CHECK(distance(each[b].value(), squeeze(alone.outputs, {1}).value()) < tolerance);
        const auto row = static_cast<std::ptrdiff_t>(b);
        for (std::size_t k = 0; k < 2; ++k) {
            CHECK(distance(last[k].forwards[row].value(), alone.state[k].forwards[0].value()) < tolerance);
            CHECK(distance(last[k].backwards[row].value(), alone.state[k].backwards[0].value()) < tolerance);
        }
    }
}

TEST_CASE("layers: with checkpoints they give the same numbers and gradients") {
    nn::Engine engine(1);
    using Both = nn::Bidirectional<nn::LSTMCell<double>>;
    nn::Stacked layers(
        std::vector{Both({D, H, engine}, {D, H, engine}), Both({2 * H, H, engine}, {2 * H, H, engine})});
    nn::GRU<double> gru(D, H, engine, {.layers = 2});
    const Sequence xs = random(engine, std::array{std::size_t{11}, B, D});
    const auto compare = [&](auto& layer) {
        const auto run = [&](auto... options) {
            nn::zero_grad(layer);
            Tape<double> tape;
            const Var<double> x = tape.variable(xs);
            const auto [outputs, last] = nn::unroll(layer, x, layer.initial_state(tape, B), options...);
            backward(sum(square(outputs)));
            std::vector<xt::xarray<double>> results{outputs.value(), x.grad()};
            nn::for_each_parameter(layer, [&](auto& p) { results.emplace_back(p.grad()); });
            return results;
        };
        const auto kept = run(), again = run(nn::CheckpointOptions{.every = 4});
        REQUIRE(kept.size() == again.size());
        for (std::size_t k = 0; k < kept.size(); ++k) CHECK(distance(kept[k], again[k]) < tolerance);
    };
    compare(layers);
    compare(gru);
}

TEST_CASE("layers: say what they are made of, and refuse to be made of nothing") {
    nn::Engine engine(1);
    nn::Stacked layers(std::vector{nn::Bidirectional(OwnCell(D, engine), OwnCell(D, engine))});
    std::vector<std::string> names;
    nn::for_each_parameter(layers, [&](const std::string& name, auto&) { names.push_back(name); });
    CHECK(names == std::vector<std::string>{"layers.0.forwards.w", "layers.0.forwards.a",
                                            "layers.0.backwards.w", "layers.0.backwards.a"});
    CHECK(nn::parameters(layers).size() == 4);
    CHECK_THROWS_WITH(nn::Stacked(std::vector<OwnCell>{}), Catch::Contains("[Stacked] no layers"));
    Tape<double> tape;
    const Var<double> x = nn::zeros(tape, {T, B, D});
    CHECK_THROWS_WITH(nn::unroll(layers, x, decltype(layers)::State()),
                      Catch::Contains("[Stacked] 0 states for 1 layers"));
}
