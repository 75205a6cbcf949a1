#include "autograd/checkpoint.hpp"

#include <random>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using tensors::Numbers;
using tensors::random;
using xtape::backward;
using xtape::checkpoint;
using xtape::GradientError;
using xtape::Parameter;
using xtape::Tape;
using xtape::TapeError;
using xtape::Var;

namespace {

using V = Var<double>;

struct Gradients {
    Numbers value, dx, dw, du;
};

/// Four segments of a recurrence of three steps each, whose weights are shared by all of them.
Gradients run(Tape<double>& tape, Parameter<double>& w, bool recompute, bool release = false) {
    tape.clear();
    w.zero_grad();
    const V x = tape.variable(random({3, 4}, 1)), u = tape.variable(random({4, 4}, 2));
    V h = x;
    for (int segment = 0; segment < 4; ++segment) {
        const auto steps = [&tape, &w, h, u]() -> std::vector<V> {
            V state = h;
            for (int t = 0; t < 3; ++t) state = tanh(matmul(state, tape.watch(w)) + matmul(state, u) + h);
            return {state, sum(square(state))};
        };
        h = checkpoint<double>(tape, steps, {.recompute = recompute})[0];
    }
    const V loss = sum(square(h));
    const Numbers value = h.value();
    backward(loss, {.release_values = release});
    return {value, Numbers(x.grad()), Numbers(w.grad()), Numbers(u.grad())};
}

}  // namespace

TEST_CASE("checkpoint: gradients have the bits of a run that keeps everything") {
    Tape<double> tape;
    Parameter<double> w(random({4, 4}, 3));
    const Gradients kept = run(tape, w, false);
    for (const bool release : {false, true}) {
        const Gradients again = run(tape, w, true, release);
        CHECK(tensors::difference(again.value, kept.value) == 0);
        CHECK(tensors::difference(again.dx, kept.dx) == 0);
        CHECK(tensors::difference(again.dw, kept.dw) == 0);
        CHECK(tensors::difference(again.du, kept.du) == 0);
    }
}

TEST_CASE("checkpoint: only the results stay on the tape, before and after a sweep") {
    Tape<double> tape;
    Parameter<double> w(random({4, 4}, 3));
    const V x = tape.variable(random({3, 4}, 1));
    int runs = 0;
    const auto compute = [&]() -> std::vector<V> {
        ++runs;
        V y = x;
        for (int k = 0; k < 100; ++k) y = tanh(y) * x;
        return {y};
    };
    const V y = checkpoint<double>(tape, compute)[0];
    CHECK(runs == 1);
    const std::size_t size = tape.size();
    CHECK(size < 10);
    backward(sum(y));
    CHECK(runs == 2);
    CHECK(tape.size() == size + 1);  // the sum
}

TEST_CASE("checkpoint: a parameter that only the computation watches receives its gradient") {
    Tape<double> tape;
    Parameter<double> w(random({4}, 3));
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> { return {square(tape.watch(w))}; })[0];
    backward(sum(y));
    CHECK(tensors::difference(w.grad(), Numbers(2 * w.value())) == 0);
}

TEST_CASE("checkpoint: of values that no gradient is wanted for, it is a constant") {
    Tape<double> tape;
    const V x = tape.constant(random({3}, 1));
    int runs = 0;
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> { return {V(x * double(++runs))}; })[0];
    CHECK_FALSE(y.needs_gradient());
    const V z = tape.variable(2.0);
    backward(sum(y * z));
    CHECK(runs == 1);
}

TEST_CASE("checkpoint: within a checkpoint there may be others") {
    Tape<double> tape;
    const V x = tape.variable(random({3}, 1));
    const auto inner = [&](const V& from) {
        return checkpoint<double>(tape, [&tape, from]() -> std::vector<V> {
            return {
                checkpoint<double>(tape, [from]() -> std::vector<V> { return {V(exp(from) * from)}; })[0]};
        })[0];
    };
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> { return {V(inner(inner(x)) + x)}; })[0];
    backward(sum(y));
    const Numbers a = x.value(), b = a * xt::exp(a);
    const Numbers expected = (1 + b) * xt::exp(b) * (1 + a) * xt::exp(a) + 1;
    CHECK(tensors::difference(x.grad(), expected) < 1e-12);
}

TEST_CASE("checkpoint: a result that is handed on as it came, or twice, adds up its gradients") {
    Tape<double> tape;
    const V x = tape.variable(random({3}, 1));
    const V scaled = 3 * x;
    const auto parts = checkpoint<double>(tape, [=]() -> std::vector<V> { return {scaled, x, scaled}; });
    backward(sum(parts[0]) + sum(2 * parts[1]) + sum(5 * parts[2]));
    for (std::size_t k = 0; k < 3; ++k) CHECK(x.grad()(k) == 3 + 2 + 15);
}

TEST_CASE("checkpoint: grad and hooks work through it, and touch no parameter") {
    Tape<double> tape;
    Parameter<double> w(random({3}, 2));
    const V x = tape.variable(random({3}, 1));
    int hooked = 0;
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> {
        const V product = x * tape.watch(w);
        product.on_gradient([&](const V&) { ++hooked; });
        return {square(product)};
    })[0];
    const Numbers dx = grad(sum(y), {x})[0].value();
    CHECK(hooked == 1);
    CHECK_FALSE(w.has_grad());
    const Numbers expected = 2 * x.value() * w.value() * w.value();
    CHECK(tensors::difference(dx, expected) < 1e-14);
}

TEST_CASE("checkpoint: without recording it computes, and that is all") {
    Tape<double> tape;
    const V x = tape.variable(random({3}, 1));
    const xtape::NoRecording values_only(tape);
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> { return {V(2 * x)}; })[0];
    CHECK_FALSE(y.needs_gradient());
    CHECK(y.value()(1) == 2 * x.value()(1));
}

TEST_CASE("checkpoint: a computation that does otherwise the second time is found out, and nothing changes") {
    Tape<double> tape;
    Parameter<double> w(random({3}, 2));
    std::mt19937_64 engine(1);
    const V y = checkpoint<double>(
        tape, [&]() -> std::vector<V> { return {V(tape.watch(w) * double(engine() % 1000))}; })[0];
    CHECK_THROWS_AS(backward(sum(y)), TapeError);
    CHECK_FALSE(w.has_grad());
    CHECK(y.value()(0) / w.value()(0) > 0);
}

TEST_CASE("checkpoint: what throws the second time leaves every gradient as it was") {
    Tape<double> tape;
    Parameter<double> w(random({3}, 2));
    bool fails = false;
    const V x = tape.watch(w);
    const V y = checkpoint<double>(tape, [&]() -> std::vector<V> {
        const V z = exp(x);
        if (fails) throw std::runtime_error("on purpose");
        return {z};
    })[0];
    const V loss = sum(y) + sum(x);
    fails = true;
    CHECK_THROWS_AS(backward(loss), std::runtime_error);
    CHECK_FALSE(w.has_grad());
    fails = false;
    backward(loss);
    CHECK(tensors::difference(w.grad(), Numbers(xt::exp(w.value()) + 1)) < 1e-15);
}

TEST_CASE("checkpoint: many of them keep to the memory of one") {
    Tape<float> tape;
    const auto peak = [&](bool recompute) {
        Tape<float> own;
        const Var<float> x = own.variable(xt::xarray<float>(xt::ones<float>({1000})));
        Var<float> y = x;
        for (int segment = 0; segment < 30; ++segment) {
            y = checkpoint<float>(own,
                                  [y, x]() -> std::vector<Var<float>> {
                                      Var<float> z = y;
                                      for (int k = 0; k < 30; ++k) z = tanh(z) * x;
                                      return {z};
                                  },
                                  {.recompute = recompute})[0];
        }
        backward(sum(y));
        return own.capacity();
    };
    CHECK(5 * peak(true) < peak(false));
}

TEST_CASE("checkpoint: within a checkpoint finds weights unpacked as it did at first, also in a graph") {
    const auto gradient = [](bool recompute, bool create_graph) {
        Tape<double> tape;
        Parameter<double> w(random({8, 16}, 1), "w"), u(random({16, 16}, 2), "u");
        const V xs = tape.variable(random({12, 3, 8}, 3));
        V h = tape.constant(random({3, 16}, 4));
        for (std::ptrdiff_t begin = 0; begin < 12; begin += 4) {
            h = checkpoint<double>(
                tape,
                [&, h, begin]() -> std::vector<V> {
                    V state = h;
                    for (std::ptrdiff_t t = begin; t < begin + 4; ++t) {
                        state = checkpoint<double>(
                            tape,
                            [&, state, t]() -> std::vector<V> {
                                return {tanh(matmul(xs[t], tape.watch(w)) + matmul(state, tape.watch(u)))};
                            },
                            {.recompute = recompute})[0];
                    }
                    return {state};
                },
                {.recompute = recompute})[0];
        }
        const V loss = sum(square(h));
        if (!create_graph) {
            backward(loss);
            backward(loss);
            return Numbers(xs.grad());
        }
        const V slope = grad(loss, {xs}, {.create_graph = true})[0];
        backward(sum(square(slope)));
        return Numbers(xs.grad());
    };
    CHECK(tensors::difference(gradient(true, false), gradient(false, false)) == 0);
    CHECK(tensors::difference(gradient(true, true), gradient(false, true)) < 1e-12);
}

TEST_CASE("checkpoint: a graph of gradients goes through it while nothing is recorded") {
    Tape<double> tape;
    const V x = tape.variable(3.0);
    const V y = checkpoint<double>(tape, [x]() -> std::vector<V> { return {x * x}; })[0];
    const xtape::NoRecording values_only(tape);
    CHECK(grad(y, {x}, {.create_graph = true})[0].item() == 6);
}

TEST_CASE("checkpoint: memory stays as it is over many sweeps, whatever is asked for in there") {
    Tape<double> tape;
    const V x = tape.variable(random({1000}, 1));
    const V y = checkpoint<double>(tape, [&tape, x]() -> std::vector<V> {
        const V factor = tape.variable(random({1000}, 2));
        const V z = tanh(x * factor);
        z.retain();
        return {z * z};
    })[0];
    const V loss = sum(y);
    for (int k = 0; k < 3; ++k) backward(loss);
    const std::size_t capacity = tape.capacity();
    for (int k = 0; k < 100; ++k) backward(loss);
    CHECK(tape.capacity() == capacity);
}
