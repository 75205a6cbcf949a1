#include "autograd/sweep.hpp"

#include <cmath>
#include <stdexcept>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("sweep: a variable used twice receives both gradients", "[sweep]") {
    const auto x = random({4}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> a = exp(v), b = sin(v);
    backward(sum(a * b));
    CHECK(difference(v.grad(), Numbers(xt::exp(x) * (xt::sin(x) + xt::cos(x)))) < 1e-14);
}

TEST_CASE("sweep: backward adds to what is there", "[sweep]") {
    Tape<double> tape;
    Parameter<double> weight(random({3}, 1));
    const auto v = tape.variable(random({3}, 2));
    const Var<double> loss = sum(tape.watch(weight) * v);
    backward(loss);
    backward(loss);
    CHECK(difference(v.grad(), Numbers(2 * weight.value())) == 0);
    CHECK(difference(weight.grad(), Numbers(2 * v.value())) == 0);
    weight.zero_grad();
    CHECK(!weight.has_grad());
    backward(loss);
    CHECK(difference(weight.grad(), v.value()) == 0);
}

TEST_CASE("sweep: a non-scalar has no gradient without a seed", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({3}, 1));
    const Var<double> y = square(v);
    CHECK_THROWS_AS(backward(y), GradientError);
    CHECK_THROWS_AS(grad(y, {v}), GradientError);
    CHECK_THROWS_WITH(backward(y), Catch::StartsWith("[backward]") && Catch::Contains("(3,)"));
    CHECK_THROWS_AS(backward(y, tape.constant(random({4}, 2))), ShapeError);
    CHECK_THROWS_AS(backward(y, tape.constant(1)), ShapeError);
    CHECK(!v.has_grad());

    const auto seed = random({3}, 2);
    backward(y, tape.constant(seed));
    CHECK(difference(v.grad(), Numbers(2 * v.value() * seed)) < 1e-15);
    CHECK_NOTHROW(backward(reshape(sum(y), {1, 1})));  // one element is as good as a scalar
}

TEST_CASE("sweep: a seed may be a view that repeats", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({3, 2}, 1));
    const auto seed = tape.constant(random({2}, 2));
    backward(Var<double>(2 * v), broadcast_to(seed, {3, 2}));
    CHECK(difference(v.grad(), Numbers(xt::broadcast(Numbers(2 * seed.value()), {3, 2}))) == 0);
}

TEST_CASE("sweep: what depends on nothing has no gradient", "[sweep]") {
    Tape<double> tape;
    const auto c = tape.constant(random({3}, 1));
    const auto v = tape.variable(random({3}, 2));
    CHECK_THROWS_AS(backward(sum(c)), GradientError);
    CHECK_THROWS_AS(grad(Var<double>(sum(v)), {c}), GradientError);
    CHECK_THROWS_AS(c.grad(), GradientError);
    CHECK_THROWS_AS(v.grad(), GradientError);  // backward was not called
}

TEST_CASE("sweep: grad gives zeros for what the value doesn't depend on, and touches no parameter",
          "[sweep]") {
    Tape<double> tape;
    Parameter<double> weight(random({3}, 1));
    const auto w = tape.watch(weight);
    const auto v = tape.variable(random({3}, 2)), other = tape.variable(random({2, 2}, 3));
    const Var<double> y = sum(w * v);
    const auto late = tape.variable(random({2}, 4));
    for (bool create_graph : {false, true}) {
        const auto g = grad(y, {v, other, w, late, v, y}, {.create_graph = create_graph});
        CHECK(difference(g[0].value(), w.value()) == 0);
        CHECK(difference(g[1].value(), Numbers(xt::zeros<double>({2, 2}))) == 0);
        CHECK(difference(g[2].value(), v.value()) == 0);
        CHECK(difference(g[3].value(), Numbers(xt::zeros<double>({2}))) == 0);
        CHECK(difference(g[4].value(), w.value()) == 0);
        CHECK(g[5].item() == 1);
    }
    CHECK(!weight.has_grad());
    CHECK(!v.has_grad());
}

TEST_CASE("sweep: grad with regard to an intermediate value and to what it was computed from", "[sweep]") {
    const auto x = random({3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> h = square(v);
    const Var<double> y = sum(h * h * v);
    for (bool create_graph : {false, true}) {
        const auto g = grad(y, {h, v}, {.create_graph = create_graph});
        CHECK(difference(g[0].value(), Numbers(2 * x * x * x)) < 1e-15);
        CHECK(difference(g[1].value(), Numbers(5 * x * x * x * x)) < 1e-14);
    }
}

TEST_CASE("sweep: grad with regard to views, beside their base", "[sweep]") {
    const auto x = random({3, 4}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> row = v[1];
    const Var<double> part = slice(row, 0, 1, 4, 2);
    const Var<double> y = sum(square(part)) + sum(row) + sum(v);
    Numbers dpart = xt::zeros<double>({2}), drow = xt::ones<double>({4}), dv = xt::ones<double>({3, 4});
    for (std::size_t k = 0; k < 2; ++k) {
        dpart(k) = 2 * x(1, 1 + 2 * k);
        drow(1 + 2 * k) += dpart(k);
    }
    for (std::size_t j = 0; j < 4; ++j) dv(1, j) += drow(j);
    for (bool create_graph : {false, true}) {
        const auto g = grad(y, {part, row, v}, {.create_graph = create_graph});
        CHECK(difference(g[0].value(), dpart) < 1e-15);
        CHECK(difference(g[1].value(), drow) < 1e-15);
        CHECK(difference(g[2].value(), dv) < 1e-15);
        CHECK(difference(grad(y, {row}, {.create_graph = create_graph})[0].value(), drow) < 1e-15);
        CHECK(difference(grad(y, {v}, {.create_graph = create_graph})[0].value(), dv) < 1e-15);
    }
}

TEST_CASE("sweep: retained values keep their gradient, views among them", "[sweep]") {
    const auto x = random({4, 3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> h = square(v);
    const Var<double> turned = transpose(h);
    const Var<double> step = turned[2];
    h.retain();
    turned.retain();
    step.retain();
    const Var<double> y = sum(step * step) + sum(h);
    backward(y);
    Numbers dstep = 2 * xt::view(Numbers(x * x), xt::all(), 2);
    Numbers dh = xt::ones<double>({4, 3});
    for (std::size_t i = 0; i < 4; ++i) dh(i, 2) += dstep(i);
    Numbers dturned = xt::zeros<double>({3, 4});
    for (std::size_t i = 0; i < 4; ++i) dturned(2, i) = dstep(i);
    CHECK(difference(step.grad(), dstep) < 1e-15);
    CHECK(difference(turned.grad(), dturned) < 1e-15);
    CHECK(difference(h.grad(), dh) < 1e-15);
    CHECK(difference(v.grad(), Numbers(2 * x * dh)) < 1e-15);
    backward(y);
    CHECK(difference(h.grad(), Numbers(2 * dh)) < 1e-14);
    CHECK(difference(v.grad(), Numbers(4 * x * dh)) < 1e-14);
}

TEST_CASE("sweep: what isn't retained keeps no gradient", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({3}, 1));
    const Var<double> h = square(v);
    backward(sum(h));
    CHECK(!h.has_grad());
    CHECK_THROWS_AS(h.grad(), GradientError);
}

TEST_CASE("sweep: a hook sees the complete gradient once, and may replace it", "[sweep]") {
    const auto x = random({3}, 1);
    for (bool on_view : {false, true}) {
        Tape<double> tape;
        const auto v = tape.variable(x);
        const Var<double> h = on_view ? slice(v, 0, 0, 3) : Var<double>(v * 1);
        int calls = 0;
        Numbers seen;
        h.on_gradient([&](Var<double> g) {
            ++calls;
            seen = g.value();
        });
        h.on_gradient([](Var<double> g) { return Var<double>(10 * g); });
        backward(Var<double>(sum(square(h)) + sum(h)));
        CHECK(calls == 1);
        CHECK(difference(seen, Numbers(2 * x + 1)) < 1e-15);
        CHECK(difference(v.grad(), Numbers(10 * (2 * x + 1))) < 1e-14);
    }
}

TEST_CASE("sweep: hooks on variables and parameters change what is kept", "[sweep]") {
    Tape<double> tape;
    Parameter<double> weight(random({3}, 1));
    const auto w = tape.watch(weight);
    const auto v = tape.variable(random({3}, 2));
    w.on_gradient([](Var<double> g) { return Var<double>(clamp(g, -0.1, 0.1)); });
    v.on_gradient([](Var<double> g) { return Var<double>(-g); });
    backward(sum(w * v));
    CHECK(difference(weight.grad(), Numbers(xt::clip(Numbers(v.value()), -0.1, 0.1))) == 0);
    CHECK(difference(v.grad(), Numbers(-weight.value())) == 0);
}

TEST_CASE("sweep: a hook's replacement is part of the graph", "[sweep]") {
    const auto x = random({3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> h = v * 1;
    h.on_gradient([&](Var<double> g) { return Var<double>(g * v); });
    const auto g = grad(Var<double>(sum(square(h))), {v}, {.create_graph = true})[0];  // 2x · x
    CHECK(difference(g.value(), Numbers(2 * x * x)) < 1e-15);
}

TEST_CASE("sweep: a replacement of another shape is refused", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({3}, 1));
    const Var<double> h = 2 * v;
    h.on_gradient([](Var<double> g) { return sum(g); });
    CHECK_THROWS_AS(backward(sum(h)), ShapeError);
    CHECK(!v.has_grad());
}

TEST_CASE("sweep: after an exception in a hook no gradient has changed, and the tape still works",
          "[sweep]") {
    Tape<double> tape;
    Parameter<double> fresh(random({3}, 1)), used(random({3}, 2));
    used.grad() = xt::ones<double>({3});
    const auto v = tape.variable(random({3}, 3));
    const auto a = tape.watch(fresh), b = tape.watch(used);
    backward(sum(v));
    const Var<double> h = v * 1;
    bool fail = true;
    h.on_gradient([&](Var<double>) {
        if (fail) throw std::runtime_error("stop");
    });
    const Var<double> y = sum(a * b * h);  // a's and b's gradients are computed before the hook is reached
    for (int round = 0; round < 3; ++round) {
        CHECK_THROWS_AS(backward(y), std::runtime_error);
        CHECK_THROWS_AS(grad(y, {a, v}), std::runtime_error);
        CHECK(!fresh.has_grad());
        CHECK(difference(used.grad(), Numbers(xt::ones<double>({3}))) == 0);
        CHECK(difference(v.grad(), Numbers(xt::ones<double>({3}))) == 0);
    }
    fail = false;
    backward(y);
    CHECK(difference(fresh.grad(), Numbers(b.value() * v.value())) < 1e-15);
    CHECK(difference(used.grad(), Numbers(1 + a.value() * v.value())) < 1e-15);
    CHECK(difference(v.grad(), Numbers(1 + a.value() * b.value())) < 1e-15);
}

TEST_CASE("sweep: stop_gradient is the value without its past", "[sweep]") {
    const auto x = random({3}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    const Var<double> h = square(v);
    const auto stopped = stop_gradient(h);
    CHECK(difference(stopped.value(), h.value()) == 0);
    CHECK(!stopped.needs_gradient());
    backward(sum(stopped * v));
    CHECK(difference(v.grad(), Numbers(x * x)) < 1e-15);
}

TEST_CASE("sweep: a second backward is allowed unless the values were released", "[sweep]") {
    Tape<double> tape;
    Parameter<double> weight(random({4, 4}, 1));
    const auto loss = [&] {
        Var<double> h = tape.constant(random({3, 4}, 2));
        for (int t = 0; t < 5; ++t) h = tanh(matmul(h, tape.watch(weight)) + h);
        return sum(h);
    };
    const Var<double> kept = loss();
    backward(kept);
    const Numbers once = weight.grad();
    weight.zero_grad();
    tape.clear();

    const Var<double> released = loss();
    const auto mark = tape.mark();
    backward(released, {.release_values = true});
    CHECK(difference(weight.grad(), once) == 0);
    CHECK_THROWS_AS(backward(released), GradientError);
    CHECK_THROWS_AS(grad(released, {tape.watch(weight)}), GradientError);
    CHECK_THROWS_AS(released.item(), TapeError);
    CHECK_THROWS_AS(tape.rewind(mark), TapeError);
    CHECK_THROWS_WITH(backward(released), Catch::Contains("release"));
    CHECK(difference(weight.grad(), once) == 0);

    tape.clear();
    weight.zero_grad();
    const Var<double> again = loss();
    backward(again);
    CHECK(difference(weight.grad(), once) == 0);
}

TEST_CASE("sweep: released values can't be computed with", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({64}, 1));
    const Var<double> h = square(v);
    const Var<double> loss = sum(exp(h));
    backward(loss, {.release_values = true});
    CHECK_NOTHROW(Var<double>(v + 1));  // a leaf keeps its value
    CHECK_THROWS_AS(Var<double>(h + 1), TapeError);
    CHECK_THROWS_AS(sum(h), TapeError);
    CHECK_THROWS_AS(slice(h, 0, 0, 2), TapeError);
}

TEST_CASE("sweep: derivatives of sin to third order", "[sweep]") {
    const auto x = random({5}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    Var<double> y = sin(v);
    const std::vector<Numbers> expected = {xt::cos(x), -xt::sin(x), -xt::cos(x)};
    for (const Numbers& derivative : expected) {
        y = grad(Var<double>(sum(y)), {v}, {.create_graph = true})[0];
        CHECK(difference(y.value(), derivative) < 1e-14);
    }
    backward(sum(y));  // and the fourth, by values
    CHECK(difference(v.grad(), Numbers(xt::sin(x))) < 1e-14);
}

TEST_CASE("sweep: mixed third derivatives of a product, through broadcasting and matmul", "[sweep]") {
    // y = Σ (x W)³ b, x (2, 3), W (3, 4), b (4)
    const auto x = random({2, 3}, 1), w = random({3, 4}, 2), b = random({4}, 3);
    Tape<double> tape;
    const auto vx = tape.variable(x), vw = tape.variable(w), vb = tape.variable(b);
    const Var<double> z = matmul(vx, vw);
    const Var<double> y = sum(z * z * z * vb);
    const auto gb = grad(y, {vb}, {.create_graph = true})[0];                     // Σ_i z³
    const auto gx = grad(Var<double>(sum(gb)), {vx}, {.create_graph = true})[0];  // 3 z² Wᵀ
    const auto gw = grad(Var<double>(sum(gx)), {vw}, {.create_graph = true})[0];
    Numbers product = xt::zeros<double>({2, 4}), dx = xt::zeros<double>({2, 3}),
            dw = xt::zeros<double>({3, 4});
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 4; ++j)
            for (std::size_t k = 0; k < 3; ++k) product(i, j) += x(i, k) * w(k, j);
    for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t j = 0; j < 4; ++j) {
            double row = 0;  // Σ_k w(k, j)
            for (std::size_t k = 0; k < 3; ++k) row += w(k, j);
            for (std::size_t k = 0; k < 3; ++k) {
                dx(i, k) += 3 * product(i, j) * product(i, j) * w(k, j);
                dw(k, j) += 3 * product(i, j) * product(i, j) + 6 * product(i, j) * x(i, k) * row;
            }
        }
    }
    CHECK(difference(gb.value(), Numbers(xt::sum(product * product * product, {0}))) < 1e-14);
    CHECK(difference(gx.value(), dx) < 1e-13);
    CHECK(difference(gw.value(), dw) < 1e-13);
}

TEST_CASE("sweep: a chain of 100,000 steps goes forward and backward", "[sweep]") {
    Tape<double> tape;
    Parameter<double> a(0.5 * xt::ones<double>({1}));
    const auto x = tape.variable(2.0);
    Var<double> y = x;
    const int steps = 100000;
    for (int t = 0; t < steps; ++t) y = y + 0.25 * (1 - y);  // 1 - y shrinks by 3/4
    CHECK(y.item() == Approx(1));
    backward(y);
    CHECK(x.grad()() >= 0);
    CHECK(x.grad()() < 1e-300);

    tape.clear();
    const auto w = tape.watch(a);
    y = tape.constant(1.0);
    for (int t = 0; t < steps; ++t) y = sin(y) + w[0] * 0;  // dy/dw is 0; every step adds a view of w
    backward(y);
    CHECK(a.grad()(0) == 0);

    tape.clear();
    const auto v = tape.variable(1.0);
    y = v;
    for (int t = 0; t < steps; ++t) y = y * 1.00001;
    const auto g = grad(y, {v}, {.create_graph = true})[0];
    CHECK(g.item() == Approx(std::pow(1.00001, steps)).epsilon(1e-9));
}

TEST_CASE("sweep: float and double agree", "[sweep]") {
    const auto run = []<class T>(T) {
        Tape<T> tape;
        const auto x = tape.variable(random<T>({3, 4}, 1));
        const auto w = tape.variable(random<T>({4, 5}, 2));
        const Var<T> y = log_softmax(tanh(matmul(x, w)) * 2);
        backward(sum(y * y));
        return std::pair(Numbers(x.grad()), Numbers(w.grad()));
    };
    const auto [x, w] = run(1.0);
    const auto [xf, wf] = run(1.0F);
    CHECK(difference(x, xf) < 2e-5);
    CHECK(difference(w, wf) < 2e-5);
    CHECK(difference(x, Numbers(xt::zeros<double>({3, 4}))) > 0.1);
}

TEST_CASE("sweep: the same computation gives the same bits", "[sweep]") {
    Tape<float> tape;
    Parameter<float> weight(random<float>({33, 33}, 1));
    xt::xarray<float> first;
    for (int round = 0; round < 3; ++round) {
        tape.clear();
        weight.zero_grad();
        Var<float> h = tape.constant(random<float>({7, 33}, 2));
        for (int t = 0; t < 60; ++t) h = tanh(matmul(h, tape.watch(weight)));
        backward(sum(h));
        if (round == 0) first = weight.grad();
        CHECK(difference(weight.grad(), first) == 0);
    }
}
