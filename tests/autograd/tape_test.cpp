#include "autograd/tape.hpp"

#include <stdexcept>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::random;

TEST_CASE("tape: any xtensor expression, Array or number becomes a leaf, copied at once", "[tape]") {
    Tape<double> tape;
    xt::xarray<double> x = {{1.0, 2.0}, {3.0, 4.0}};
    const auto whole = tape.variable(x);
    const auto lazy = tape.variable(xt::transpose(x) * 2);
    const auto part = tape.constant(xt::view(x, 1));
    const auto array = tape.constant(Array<double>(x));
    const auto number = tape.variable(3);
    x.fill(0);
    CHECK(difference(whole.value(), xt::xarray<double>{{1.0, 2.0}, {3.0, 4.0}}) == 0);
    CHECK(difference(lazy.value(), xt::xarray<double>{{2.0, 6.0}, {4.0, 8.0}}) == 0);
    CHECK(difference(part.value(), xt::xarray<double>{3.0, 4.0}) == 0);
    CHECK(difference(array.value(), whole.value()) == 0);
    CHECK(number.rank() == 0);
    CHECK(number.item() == 3);
    CHECK(whole.needs_gradient());
    CHECK(!part.needs_gradient());
}

TEST_CASE("tape: a Var tells its shape", "[tape]") {
    Tape<float> tape;
    const auto x = tape.variable(xt::xarray<float>(xt::zeros<float>({2, 3, 4})));
    CHECK(x.shape() == Shape{2, 3, 4});
    CHECK(x.size() == 24);
    CHECK(x.rank() == 3);
    CHECK(x.extent(1) == 3);
    CHECK(x.extent(-1) == 4);
    CHECK_THROWS_AS(x.extent(3), IndexError);
    CHECK(x[1].shape() == Shape{3, 4});
    CHECK_THROWS_AS(x.item(), ShapeError);
}

TEST_CASE("tape: a handle from before clear is refused, even where a new value has its place", "[tape]") {
    Tape<double> tape;
    const auto old = tape.variable(random({3}, 1));
    const Var<double> sum_of_old = old + 1;
    tape.clear();
    CHECK(tape.size() == 0);
    CHECK_THROWS_AS(old.value(), TapeError);
    const auto fresh = tape.variable(random({3}, 2));
    CHECK(fresh.index() == old.index());
    CHECK_THROWS_AS(old.value(), TapeError);
    CHECK_THROWS_AS(old.shape(), TapeError);
    CHECK_THROWS_AS(Var<double>(old + fresh), TapeError);
    CHECK_THROWS_AS(Var<double>(fresh * sum_of_old), TapeError);
    CHECK_THROWS_AS(matmul(fresh, old), TapeError);
    CHECK_THROWS_AS(sum(old), TapeError);
    CHECK_THROWS_AS(concatenate({fresh, old}), TapeError);
    CHECK_THROWS_AS(backward(sum_of_old), TapeError);
    CHECK_THROWS_WITH(old.value(), Catch::Contains("cleared or rewound"));
}

TEST_CASE("tape: values of two tapes don't mix", "[tape]") {
    Tape<double> one, other;
    const auto a = one.variable(random({2, 2}, 1));
    const auto b = other.variable(random({2, 2}, 2));
    CHECK_THROWS_AS(Var<double>(a + b), TapeError);
    CHECK_THROWS_AS(Var<double>(matmul(a, b)), TapeError);
    CHECK_THROWS_AS(stack({a, b}), TapeError);
    CHECK_THROWS_AS(grad(Var<double>(sum(a)), {b}), TapeError);
    CHECK_THROWS_AS(backward(Var<double>(a * 2), b), TapeError);
    CHECK_THROWS_WITH(Var<double>(a + b), Catch::Contains("another tape"));
}

TEST_CASE("tape: an empty Var is refused", "[tape]") {
    Tape<double> tape;
    const Var<double> nothing;
    CHECK(!nothing);
    CHECK_THROWS_AS(nothing.value(), TapeError);
    CHECK_THROWS_AS(nothing.tape(), TapeError);
    CHECK_THROWS_AS(Var<double>(tape.variable(1) + nothing), TapeError);
    CHECK_THROWS_AS(backward(nothing), TapeError);
}

TEST_CASE("tape: watching a parameter twice gives the same leaf, and its elements in place", "[tape]") {
    Parameter<double> weight(random({3, 2}, 1), "weight");
    Tape<double> tape;
    const auto first = tape.watch(weight);
    const auto second = tape.watch(weight);
    CHECK(first.index() == second.index());
    CHECK(tape.size() == 1);
    CHECK(first.value().data() == weight.data());
    backward(sum(first * second));  // Σ w²
    CHECK(difference(weight.grad(), tensors::Numbers(2 * weight.value())) == 0);
}

TEST_CASE("tape: many parameters are each found again", "[tape]") {
    std::vector<Parameter<double>> parameters;
    for (int k = 0; k < 500; ++k) parameters.emplace_back(xt::xarray<double>(xt::ones<double>({2}) * k));
    Tape<double> tape;
    for (int round = 0; round < 2; ++round) {
        std::vector<NodeIndex> indices;
        for (const auto& parameter : parameters) indices.push_back(tape.watch(parameter).index());
        for (std::size_t k = 0; k < parameters.size(); ++k) {
            CHECK(tape.watch(parameters[k]).index() == indices[k]);
            CHECK(tape.watch(parameters[k]).value()(0) == double(k));
        }
        CHECK(tape.size() == parameters.size());
        tape.clear();
    }
}

TEST_CASE("tape: a parameter that is destroyed or moved stays readable until the tape is cleared", "[tape]") {
    Tape<double> tape;
    Var<double> y;
    {
        Parameter<double> gone(random({4}, 1));
        y = 2 * tape.watch(gone);
        Parameter<double> moved = std::move(gone);
        CHECK(tape.watch(moved).index() == 0);
    }
    backward(sum(y));
    CHECK(difference(tape[0].grad(), tensors::Numbers(2 * xt::ones<double>({4}))) == 0);
}

TEST_CASE("tape: rewind forgets what came after the mark and keeps what came before", "[tape]") {
    Tape<double> tape;
    Parameter<double> early(random({3}, 1)), late(random({3}, 2));
    const auto x = tape.watch(early);
    const Var<double> y = square(x);
    const auto mark = tape.mark();
    for (int round = 0; round < 3; ++round) {
        const Var<double> z = exp(y) * tape.watch(late);
        const auto v = tape.variable(random({100}, 3));
        backward(Var<double>(sum(z) + sum(v * v)));
        CHECK(v.has_grad());
        tape.rewind(mark);
        CHECK(tape.size() == 2);
        CHECK_THROWS_AS(z.value(), TapeError);
        CHECK_THROWS_AS(v.grad(), TapeError);
    }
    CHECK(difference(y.value(), tensors::Numbers(early.value() * early.value())) == 0);
    const tensors::Numbers once = 2 * early.value() * xt::exp(early.value() * early.value()) * late.value();
    CHECK(difference(early.grad(), tensors::Numbers(3 * once)) < 1e-14);
    backward(sum(y));  // still works
    CHECK(difference(early.grad(), tensors::Numbers(3 * once + 2 * early.value())) < 1e-14);
}

TEST_CASE("tape: rewind to a mark that is gone is refused", "[tape]") {
    Tape<double> tape;
    const auto x = tape.variable(random({3}, 1));
    const auto early = tape.mark();
    (void)Var<double>(exp(x));
    const auto late = tape.mark();
    tape.rewind(early);
    CHECK_THROWS_AS(tape.rewind(late), TapeError);
    (void)Var<double>(exp(x));
    CHECK_THROWS_AS(tape.rewind(late), TapeError);
    tape.rewind(early);
    tape.clear();
    CHECK_THROWS_AS(tape.rewind(early), TapeError);
}

TEST_CASE("tape: memory stays constant over repeated steps", "[tape]") {
    Tape<double> tape;
    Parameter<double> weight(random({30, 30}, 1));
    const auto step = [&] {
        tape.clear();
        Var<double> h = tape.constant(random({5, 30}, 2));
        for (int t = 0; t < 20; ++t) h = tanh(matmul(h, tape.watch(weight)));
        backward(sum(h));
        (void)softmax(h);
        (void)max(h, {0});
    };
    // The second step adds to gradients that the first one wrote, and takes more for that.
    step();
    step();
    step();
    const std::size_t capacity = tape.capacity();
    for (int k = 0; k < 20; ++k) step();
    CHECK(tape.capacity() == capacity);
}

TEST_CASE("tape: memory stays constant over marks and rewinds", "[tape]") {
    Tape<double> tape;
    Parameter<double> weight(random({30, 30}, 1));
    const Var<double> start = tape.constant(random({5, 30}, 2)) * 1;
    const auto mark = tape.mark();
    const auto step = [&] {
        Var<double> h = start;
        for (int t = 0; t < 20; ++t) h = tanh(matmul(h, tape.watch(weight)) + log_softmax(h));
        backward(sum(h));
        tape.rewind(mark);
    };
    step();
    step();
    const std::size_t capacity = tape.capacity();
    for (int k = 0; k < 20; ++k) step();
    CHECK(tape.capacity() == capacity);
}

TEST_CASE("tape: without recording values are computed and gradients are not", "[tape]") {
    Tape<double> tape;
    const auto x = tape.variable(random({3}, 1));
    CHECK(tape.recording());
    {
        NoRecording evaluation(tape);
        CHECK(!tape.recording());
        const Var<double> y = square(x);
        CHECK(difference(y.value(), tensors::Numbers(x.value() * x.value())) == 0);
        CHECK(!y.needs_gradient());
        CHECK_THROWS_AS(backward(sum(y)), GradientError);
        { NoRecording nested(tape); }
        CHECK(!tape.recording());
    }
    CHECK(tape.recording());
    CHECK(Var<double>(square(x)).needs_gradient());
    CHECK_THROWS_AS(
        [&] {
            NoRecording evaluation(tape);
            throw std::runtime_error("in between");
        }(),
        std::runtime_error);
    CHECK(tape.recording());
}

TEST_CASE("tape: a tensor has at most eight axes", "[tape]") {
    Tape<double> tape;
    CHECK_NOTHROW(tape.variable(xt::xarray<double>(xt::zeros<double>({1, 2, 1, 2, 1, 2, 1, 2}))));
    CHECK_THROWS_AS(tape.variable(xt::xarray<double>(xt::zeros<double>({1, 2, 1, 2, 1, 2, 1, 2, 1}))),
                    ShapeError);
    CHECK_THROWS_AS(
        unsqueeze(tape.variable(xt::xarray<double>(xt::zeros<double>({1, 2, 1, 2, 1, 2, 1, 2}))), 0),
        ShapeError);
}
