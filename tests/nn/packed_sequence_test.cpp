#include "nn/packed_sequence.hpp"

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Shape;
using xtape::ShapeError;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 7, B = 5, D = 3, H = 4;
const std::vector<std::size_t> lengths{3, 7, 1, 3, 5};
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A batch whose padding is `filling`.
Sequence padded_with(double filling, const Sequence& xs) {
    Sequence padded = xs;
    for (std::size_t b = 0; b < B; ++b) {
        for (std::size_t t = lengths[b]; t < xs.shape()[0]; ++t) {
            for (std::size_t k = 0; k < xs.shape()[2]; ++k) padded(t, b, k) = filling;
        }
    }
    return padded;
}

}  // namespace

TEST_CASE("packed sequence: the layout takes the longest sequence first, and equal ones in their order") {
    const nn::PackedLayout layout(lengths);
    CHECK(layout.steps() == 7);
    CHECK(layout.size() == 19);
    CHECK(layout.order() == std::vector<std::size_t>{1, 4, 0, 3, 2});
    CHECK(layout.places() == std::vector<std::size_t>{2, 0, 4, 3, 1});
    CHECK(layout.running(0) == 5);
    CHECK(layout.running(2) == 4);
    CHECK(layout.running(3) == 2);
    CHECK(layout.running(6) == 1);
    CHECK(layout.start(1) == 5);
    CHECK(layout.row(2, 3) == 5 + 4 + 3);
}

TEST_CASE("packed sequence: no sequence, one of no steps, and lengths that don't fit are refused") {
    CHECK_THROWS_AS(nn::PackedLayout({}), ShapeError);
    CHECK_THROWS_AS(nn::PackedLayout({2, 0}), ShapeError);
    Tape<double> tape;
    const Var<double> xs = tape.constant(Sequence(xt::zeros<double>({T, B, D})));
    CHECK_THROWS_AS(nn::pack(xs, {7, 7, 7, 7}), ShapeError);
    CHECK_THROWS_AS(nn::pack(xs, {7, 7, 7, 7, 8}), ShapeError);
    CHECK_THROWS_AS(nn::pack(tape.constant(1.0), {1}), ShapeError);
    CHECK_THROWS_AS(nn::pack(std::span<const Var<double>>()), ShapeError);
}

TEST_CASE("packed sequence: unpacking gives the elements back, and zeros for the padding") {
    nn::Engine engine(1);
    Tape<double> tape;
    const Sequence xs = random(engine, std::array{T, B, D});
    const Var<double> x = tape.variable(padded_with(not_a_number, xs));
    const Var<double> back = nn::unpack(nn::pack(x, lengths));
    CHECK(distance(back.value(), padded_with(0, xs)) == 0);
    backward(sum(square(back)));
    CHECK(distance(x.grad(), Sequence(2 * padded_with(0, xs))) == 0);
}

TEST_CASE("packed sequence: a list of sequences packs as the padded batch does") {
    nn::Engine engine(1);
    Tape<double> tape;
    const Sequence xs = random(engine, std::array{T, B, D});
    std::vector<Var<double>> list;
    for (std::size_t b = 0; b < B; ++b) {
        const Matrix one = xt::view(xs, xt::range(0, lengths[b]), b, xt::all());
        list.push_back(tape.variable(one));
    }
    const auto packed = nn::pack(std::span<const Var<double>>(list));
    CHECK(distance(packed.rows.value(), nn::pack(tape.constant(xs), lengths).rows.value()) == 0);
    const auto each = nn::unpack_each(packed);
    REQUIRE(each.size() == B);
    for (std::size_t b = 0; b < B; ++b) CHECK(distance(each[b].value(), list[b].value()) == 0);
}

TEST_CASE("packed sequence: reversed, each sequence begins at its own end") {
    nn::Engine engine(1);
    Tape<double> tape;
    const Sequence xs = random(engine, std::array{T, B, D});
    const auto packed = nn::pack(tape.constant(xs), lengths);
    const Var<double> turned = nn::unpack(nn::reversed(packed));
    for (std::size_t b = 0; b < B; ++b) {
        for (std::size_t t = 0; t < lengths[b]; ++t)
            CHECK(turned.value()(t, b, 1) == xs(lengths[b] - 1 - t, b, 1));
    }
    CHECK(distance(nn::reversed(nn::reversed(packed)).rows.value(), packed.rows.value()) == 0);
}

namespace {

/// Checks outputs, states and gradients against each sequence run by itself.
template <class Cell>
void check_against_single_sequences(Cell cell) {
    using State = typename Cell::State;
    nn::Engine engine(2);
    const Sequence xs = random(engine, std::array{T, B, D});
    const Sequence weights = random(engine, std::array{T, B, H});
    const Matrix start = random(engine, std::array{B, H});
    std::vector<xt::xarray<double>> expected;

    Tape<double> tape;
    const Var<double> x = tape.variable(padded_with(not_a_number, xs));
    const Var<double> h0 = tape.variable(start);
    const auto initial = nn::state_of<State>([&](std::size_t) { return h0; });
    const auto [outputs, last] = nn::unroll(cell, nn::pack(x, lengths), initial);
    const Var<double> padded = nn::unpack(outputs);
    Var<double> loss = sum(padded * tape.constant(weights));
    for (const Var<double>& var : nn::vars_of(last)) loss = loss + sum(square(var));
    backward(loss);
    nn::for_each_parameter(cell, [&](xtape::Parameter<double>& p) {
        expected.emplace_back(p.grad());
        p.zero_grad();
    });

    for (std::size_t b = 0; b < B; ++b) {
        Tape<double> single;
        const Sequence own = xt::view(xs, xt::range(0, lengths[b]), xt::range(b, b + 1), xt::all());
        const Matrix own_start = xt::view(start, xt::range(b, b + 1), xt::all());
        const Sequence own_weights =
            xt::view(weights, xt::range(0, lengths[b]), xt::range(b, b + 1), xt::all());
        const Var<double> own_x = single.variable(own);
        const Var<double> own_h0 = single.variable(own_start);
        const auto from = nn::state_of<State>([&](std::size_t) { return own_h0; });
        const auto [own_outputs, own_last] = nn::unroll(cell, own_x, from);
        Var<double> own_loss = sum(own_outputs * single.constant(own_weights));
        for (const Var<double>& var : nn::vars_of(own_last)) own_loss = own_loss + sum(square(var));
        backward(own_loss);

        const Sequence outputs_here =
            xt::view(padded.value(), xt::range(0, lengths[b]), xt::range(b, b + 1), xt::all());
        CHECK(distance(outputs_here, own_outputs.value()) < tolerance);
        const auto lasts = nn::vars_of(last), own_lasts = nn::vars_of(own_last);
        for (std::size_t k = 0; k < lasts.size(); ++k) {
            const Matrix last_here = xt::view(lasts[k].value(), xt::range(b, b + 1), xt::all());
            CHECK(distance(last_here, own_lasts[k].value()) < tolerance);
        }
        const Sequence dx_here = xt::view(x.grad(), xt::range(0, lengths[b]), xt::range(b, b + 1), xt::all());
        CHECK(distance(dx_here, own_x.grad()) < tolerance);
        const Matrix dh_here = xt::view(h0.grad(), xt::range(b, b + 1), xt::all());
        CHECK(distance(dh_here, own_h0.grad()) < tolerance);
        for (std::size_t t = lengths[b]; t < T; ++t) {
            for (std::size_t k = 0; k < D; ++k) CHECK(x.grad()(t, b, k) == 0);
            for (std::size_t k = 0; k < H; ++k) CHECK(padded.value()(t, b, k) == 0);
        }
    }
    std::size_t k = 0;
    nn::for_each_parameter(
        cell, [&](xtape::Parameter<double>& p) { CHECK(distance(p.grad(), expected[k++]) < tolerance); });
}

/// No promise, no lookup, a state of one's own.
struct PlainCell {
    using State = Var<double>;
    xtape::Parameter<double> w, u;
    Var<double> operator()(const Var<double>& x, const Var<double>& h) const {
        xtape::Tape<double>& tape = x.tape();
        return tanh(matmul(x, tape.watch(w)) + matmul(h, tape.watch(u))) + 0.5 * h;
    }
    template <class F>
    void visit(F&& f) {
        f("w", w);
        f("u", u);
    }
};

}  // namespace

TEST_CASE("packed sequence: each sequence is as if it were alone, whatever the padding holds") {
    nn::Engine engine(1);
    check_against_single_sequences(nn::RNNCell<double>(D, H, engine));
    check_against_single_sequences(nn::LSTMCell<double>(D, H, engine));
    check_against_single_sequences(nn::GRUCell<double>(D, H, engine));
    check_against_single_sequences(nn::GRUCell<double>(D, H, engine, nn::Reset::before_product));
    check_against_single_sequences(PlainCell{xtape::Parameter<double>(random(engine, std::array{D, H})),
                                             xtape::Parameter<double>(random(engine, std::array{H, H}))});
}

TEST_CASE("packed sequence: from the cell's initial state, and from a carried one") {
    nn::Engine engine(1);
    const nn::LSTMCell<double> cell(D, H, engine);
    Tape<double> tape;
    const auto packed = nn::pack(tape.constant(random(engine, std::array{T, B, D})), lengths);
    const Var<double> zero = nn::zeros(tape, {B, H});
    const auto from_zero = nn::unroll(cell, packed, {zero, zero});
    nn::CarriedState<nn::LSTMCell<double>::State> carried;
    const auto first = nn::unroll(cell, packed, carried);
    CHECK(distance(first.outputs.rows.value(), from_zero.outputs.rows.value()) < tolerance);
    const xt::xarray<double> second = nn::unroll(cell, packed, first.state).outputs.rows.value();
    CHECK(distance(nn::unroll(cell, packed, carried).outputs.rows.value(), second) < tolerance);
}

TEST_CASE("packed sequence: a state for another number of sequences is refused") {
    nn::Engine engine(1);
    const nn::RNNCell<double> cell(D, H, engine);
    Tape<double> tape;
    const auto packed = nn::pack(tape.constant(random(engine, std::array{T, B, D})), lengths);
    CHECK_THROWS_AS(nn::unroll(cell, packed, nn::zeros(tape, {B - 1, H})), ShapeError);
}

TEST_CASE("packed sequence: labels in the order of the rows make the loss that a mask makes") {
    nn::Engine engine(1);
    Tape<double> tape;
    const Var<double> logits = tape.constant(random(engine, std::array{T, B, D}));
    xt::xarray<int> labels(std::vector<std::size_t>{T, B});
    for (std::size_t i = 0; i < labels.size(); ++i) labels.flat(i) = static_cast<int>(i % D);
    const auto packed = nn::pack(logits, lengths);
    const Var<double> by_rows = nn::cross_entropy(packed.rows, nn::pack_labels(labels, *packed.layout));
    const Var<double> by_mask = nn::cross_entropy(logits, labels, nn::length_mask(lengths, T));
    CHECK(std::abs(by_rows.item() - by_mask.item()) < 1e-14);
    CHECK_THROWS_AS(nn::pack_labels(xt::xarray<int>({1, 2}), *packed.layout), ShapeError);
}
