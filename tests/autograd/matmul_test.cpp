#include "autograd/matmul.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

namespace {

/// a b of matrices, by three loops.
Numbers product(const Numbers& a, const Numbers& b) {
    Numbers y = xt::zeros<double>({a.shape()[0], b.shape()[1]});
    for (std::size_t i = 0; i < a.shape()[0]; ++i)
        for (std::size_t j = 0; j < b.shape()[1]; ++j)
            for (std::size_t k = 0; k < b.shape()[0]; ++k) y(i, j) += a(i, k) * b(k, j);
    return y;
}

Numbers turned(const Numbers& a) { return xt::transpose(a); }

/// h_t = tanh(x_s U + h_{t-1} W + b) with s the t-th of `order`, and the gradients of Σ_t Σ h_t c_t, by plain loops.
struct Recurrence {
    Numbers xs, u, w, b, h0, c;  // (T, B, D), (D, H), (H, H), (H), (B, H), (steps, B, H)
    std::vector<std::size_t> order;
    double loss = 0;
    Numbers dxs, du, dw, db, dh0;

    Recurrence(std::size_t T, std::size_t B, std::size_t D, std::size_t H, std::vector<std::size_t> steps)
        : xs(random({T, B, D}, 1)),
          u(random({D, H}, 2)),
          w(random({H, H}, 3, -0.4, 0.4)),
          b(random({H}, 4)),
          h0(random({B, H}, 5)),
          c(random({steps.size(), B, H}, 6)),
          order(std::move(steps)) {}

    void compute() {
        const std::size_t B = h0.shape()[0], D = u.shape()[0], H = w.shape()[0];
        std::vector<Numbers> h = {h0};
        for (std::size_t t = 0; t < order.size(); ++t) {
            Numbers next = xt::zeros<double>({B, H});
            for (std::size_t i = 0; i < B; ++i) {
                for (std::size_t j = 0; j < H; ++j) {
                    double z = b(j);
                    for (std::size_t k = 0; k < D; ++k) z += xs(order[t], i, k) * u(k, j);
                    for (std::size_t k = 0; k < H; ++k) z += h[t](i, k) * w(k, j);
                    next(i, j) = std::tanh(z);
                    loss += next(i, j) * c(t, i, j);
                }
            }
            h.push_back(next);
        }
        dxs = xt::zeros_like(xs);
        du = xt::zeros_like(u);
        dw = xt::zeros_like(w);
        db = xt::zeros_like(b);
        Numbers dh = xt::zeros<double>({B, H});
        for (std::size_t t = order.size(); t-- > 0;) {
            Numbers dz = xt::zeros<double>({B, H});
            for (std::size_t i = 0; i < B; ++i)
                for (std::size_t j = 0; j < H; ++j)
                    dz(i, j) = (dh(i, j) + c(t, i, j)) * (1 - h[t + 1](i, j) * h[t + 1](i, j));
            dh.fill(0);
            for (std::size_t i = 0; i < B; ++i) {
                for (std::size_t j = 0; j < H; ++j) {
                    db(j) += dz(i, j);
                    for (std::size_t k = 0; k < D; ++k) {
                        du(k, j) += xs(order[t], i, k) * dz(i, j);
                        dxs(order[t], i, k) += u(k, j) * dz(i, j);
                    }
                    for (std::size_t k = 0; k < H; ++k) {
                        dw(k, j) += h[t](i, k) * dz(i, j);
                        dh(i, k) += w(k, j) * dz(i, j);
                    }
                }
            }
        }
        dh0 = dh;
    }
};

using Look = std::function<Var<double>(const Var<double>&)>;
Var<double> itself(const Var<double>& x) { return x; }

/// How the leaves are laid out; each view must show the tensor of the recurrence.
struct Leaves {
    std::function<Numbers(const Numbers&)> store_xs = [](const Numbers& x) { return x; };
    Look xs = itself;
    std::function<Numbers(const Numbers&)> store_w = [](const Numbers& x) { return x; };
    Look w = itself;
    std::function<void(const Var<double>&)> watch = [](const Var<double>&) {};  // of w as it is used
};

/// Runs the recurrence on a tape and compares all gradients; the leaves' gradients are looked at the same way.
void check(Recurrence& r, const Leaves& leaves = {}, const BackwardOptions& options = {}) {
    r.compute();
    const double tolerance = 1e-12 * static_cast<double>(10 + r.order.size());
    Tape<double> tape;
    const auto xs_leaf = tape.variable(leaves.store_xs(r.xs));
    const auto w_leaf = tape.variable(leaves.store_w(r.w));
    const auto u = tape.variable(r.u), b = tape.variable(r.b), h0 = tape.variable(r.h0);
    const auto c = tape.constant(r.c);
    const Var<double> xs = leaves.xs(xs_leaf), w = leaves.w(w_leaf);
    leaves.watch(w);
    Var<double> h = h0, loss = tape.constant(0);
    for (std::size_t t = 0; t < r.order.size(); ++t) {
        h = tanh(matmul(xs[static_cast<std::ptrdiff_t>(r.order[t])], u) + matmul(h, w) + b);
        loss = loss + sum(h * c[static_cast<std::ptrdiff_t>(t)]);
    }
    CHECK(loss.item() == Approx(r.loss).epsilon(1e-12));
    backward(loss, options);

    const auto seen_through = [](const Look& view, const Numbers& gradient) {
        Tape<double> other;
        return Numbers(view(other.constant(gradient)).value());
    };
    CHECK(difference(u.grad(), r.du) < tolerance);
    CHECK(difference(b.grad(), r.db) < tolerance);
    CHECK(difference(h0.grad(), r.dh0) < tolerance);
    CHECK(difference(seen_through(leaves.xs, xs_leaf.grad()), r.dxs) < tolerance);
    CHECK(difference(seen_through(leaves.w, w_leaf.grad()), r.dw) < tolerance);
}

std::vector<std::size_t> steps(std::size_t count) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
}

}  // namespace

// ---- one product ------------------------------------------------------------------------------------------------

TEST_CASE("matmul: the product of matrices of any size, empty ones among them, and its gradients",
          "[matmul]") {
    for (std::size_t M : {0u, 1u, 2u, 5u, 17u}) {
        for (std::size_t K : {0u, 1u, 3u, 16u}) {
            for (std::size_t N : {0u, 1u, 4u, 33u}) {
                CAPTURE(M, K, N);
                const auto a = random({M, K}, 1), b = random({K, N}, 2), dy = random({M, N}, 3);
                Tape<double> tape;
                const auto va = tape.variable(a), vb = tape.variable(b);
                const Var<double> y = matmul(va, vb);
                CHECK(difference(y.value(), product(a, b)) < 1e-13);
                backward(y, tape.constant(dy));
                CHECK(difference(va.grad(), product(dy, turned(b))) < 1e-13);
                CHECK(difference(vb.grad(), product(turned(a), dy)) < 1e-13);
            }
        }
    }
}

TEST_CASE("matmul: vectors are a row on the left and a column on the right", "[matmul]") {
    const auto a = random({3, 4}, 1), x = random({4}, 2), y = random({3}, 3);
    Tape<double> tape;
    const auto va = tape.variable(a), vx = tape.variable(x), vy = tape.variable(y);
    const Var<double> ax = matmul(va, vx), ya = matmul(vy, va), xx = matmul(vx, vx);
    CHECK(difference(ax.value(), Numbers(xt::sum(a * x, {1}))) < 1e-15);
    CHECK(difference(ya.value(), Numbers(xt::sum(a * xt::view(y, xt::all(), xt::newaxis()), {0}))) < 1e-15);
    CHECK(xx.rank() == 0);
    CHECK(xx.item() == Approx(xt::sum(x * x)()));
    backward(Var<double>(sum(ax) + sum(ya) + xx));
    Numbers da = xt::zeros<double>({3, 4});
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 4; ++j) da(i, j) = x(j) + y(i);
    CHECK(difference(va.grad(), da) < 1e-15);
    CHECK(difference(vx.grad(), Numbers(xt::sum(a, {0}) + 2 * x)) < 1e-14);
    CHECK(difference(vy.grad(), Numbers(xt::sum(a, {1}))) < 1e-15);
}

TEST_CASE("matmul: leading axes of the left operand are rows", "[matmul]") {
    const auto a = random({2, 3, 4}, 1), b = random({4, 5}, 2), dy = random({2, 3, 5}, 3);
    for (bool strided : {false, true}) {
        Tape<double> tape;
        const auto va = tape.variable(strided ? Numbers(xt::transpose(a, {1, 0, 2})) : Numbers(a));
        const auto vb = tape.variable(b);
        const Var<double> y = matmul(strided ? transpose(va, {1, 0, 2}) : va, vb);
        backward(y, tape.constant(dy));
        Numbers db = xt::zeros<double>({4, 5});
        for (std::size_t i = 0; i < 2; ++i) {
            CHECK(difference(y[std::ptrdiff_t(i)].value(), product(xt::view(a, i), b)) < 1e-14);
            const Numbers da = product(xt::view(dy, i), turned(b));
            CHECK(difference(
                      strided ? Numbers(xt::view(va.grad(), xt::all(), i)) : Numbers(xt::view(va.grad(), i)),
                      da) < 1e-14);
            db += product(turned(xt::view(a, i)), xt::view(dy, i));
        }
        CHECK(difference(vb.grad(), db) < 1e-14);
    }
}

TEST_CASE("matmul: batches broadcast", "[matmul]") {
    const auto a = random({3, 1, 2, 4}, 1), b = random({5, 4, 3}, 2);
    Tape<double> tape;
    const auto va = tape.variable(a), vb = tape.variable(b);
    const Var<double> y = matmul(va, vb);
    REQUIRE(y.shape() == Shape{3, 5, 2, 3});
    backward(sum(y));
    Numbers da = xt::zeros_like(a), db = xt::zeros_like(b);
    const Numbers ones = xt::ones<double>({2, 3});
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 5; ++j) {
            const Numbers ai = xt::view(a, i, 0), bj = xt::view(b, j);
            CHECK(difference(y[std::ptrdiff_t(i)][std::ptrdiff_t(j)].value(), product(ai, bj)) < 1e-14);
            xt::view(da, i, 0) += product(ones, turned(bj));
            xt::view(db, j) += product(turned(ai), ones);
        }
    }
    CHECK(difference(va.grad(), da) < 1e-14);
    CHECK(difference(vb.grad(), db) < 1e-14);
}

TEST_CASE("matmul: operands may be transposed, stepped, repeated or columns of another", "[matmul]") {
    struct Layout {
        const char* name;
        std::function<std::vector<std::size_t>(std::size_t, std::size_t)> shape;
        Look view;
    };
    const std::vector<Layout> layouts = {
        {"whole",
         [](auto m, auto n) {
             return std::vector{m, n};
         },
         itself},
        {"transposed",
         [](auto m, auto n) {
             return std::vector{n, m};
         },
         [](const auto& x) { return transpose(x); }},
        {"every other column",
         [](auto m, auto n) {
             return std::vector{m, 2 * n};
         },
         [](const auto& x) { return slice(x, 1, 1, 1000, 2); }},
        {"every other row",
         [](auto m, auto n) {
             return std::vector{2 * m, n};
         },
         [](const auto& x) { return slice(x, 0, 0, 1000, 2); }},
        {"columns",
         [](auto m, auto n) {
             return std::vector{m, n + 3};
         },
         [](const auto& x) { return slice(x, 1, 2, -1); }},
        {"every other row, transposed",
         [](auto m, auto n) {
             return std::vector{2 * n, m};
         },
         [](const auto& x) { return transpose(slice(x, 0, 0, 1000, 2)); }},
        {"a repeated row", [](auto, auto n) { return std::vector{n}; },
         [](const auto& x) {
             return broadcast_to(x, {5, x.shape()[0]});
         }},
        {"a step of a sequence",
         [](auto m, auto n) {
             return std::vector<std::size_t>{3, m, n};
         },
         [](const auto& x) { return x[1]; }},
    };
    for (const Layout& left : layouts) {
        for (const Layout& right : layouts) {
            CAPTURE(left.name, right.name);
            Tape<double> tape;
            const auto a = tape.variable(random(left.shape(5, 5), 1)),
                       b = tape.variable(random(right.shape(5, 5), 2));
            const Var<double> va = left.view(a).retain(), vb = right.view(b).retain();
            const auto dy = random({5, 5}, 3);
            const Var<double> y = matmul(va, vb);
            CHECK(difference(y.value(), product(va.value(), vb.value())) < 1e-14);
            backward(y, tape.constant(dy));
            const Numbers da = product(dy, turned(vb.value())), db = product(turned(va.value()), dy);
            CHECK(difference(va.grad(), da) < 1e-14);
            CHECK(difference(vb.grad(), db) < 1e-14);

            // The same without anyone asking for the views' own gradients: straight into the leaves.
            Tape<double> plain;
            const auto pa = plain.variable(random(left.shape(5, 5), 1));
            const auto pb = plain.variable(random(right.shape(5, 5), 2));
            const Var<double> py = matmul(left.view(pa), right.view(pb));
            backward(py, plain.constant(dy));
            CHECK(difference(pa.grad(), a.grad()) < 1e-14);
            CHECK(difference(pb.grad(), b.grad()) < 1e-14);
            CHECK(xt::sum(xt::abs(a.grad()))() > 0.1);
        }
    }
}

TEST_CASE("matmul: a product of a value with itself, and with its transpose", "[matmul]") {
    const auto x = random({4, 4}, 1), dy = random({4, 4}, 2);
    Tape<double> tape;
    const auto v = tape.variable(x);
    backward(Var<double>(matmul(v, v)), tape.constant(dy));
    CHECK(difference(v.grad(), Numbers(product(dy, turned(x)) + product(turned(x), dy))) < 1e-14);

    const auto w = tape.variable(x);
    const Var<double> y = matmul(w, transpose(w));
    CHECK(difference(y.value(), product(x, turned(x))) < 1e-14);
    backward(y, tape.constant(dy));
    CHECK(difference(w.grad(), Numbers(product(dy, x) + product(turned(dy), x))) < 1e-14);
}

TEST_CASE("matmul: two different views of one buffer multiply as two matrices", "[matmul]") {
    const auto z = random({4, 8}, 1);
    Tape<double> tape;
    const auto v = tape.variable(z);
    const auto [left, right] = split<2>(v, 1);
    const Var<double> y = matmul(left, transpose(right));
    CHECK(difference(y.value(), product(left.value(), turned(right.value()))) < 1e-14);
}

TEST_CASE("matmul: shapes that don't multiply are refused, with both in the message", "[matmul]") {
    Tape<double> tape;
    const auto a = tape.variable(random({2, 3}, 1)), b = tape.variable(random({2, 4}, 2));
    const auto batch = tape.variable(random({5, 3, 4}, 3)), other = tape.variable(random({6, 4, 2}, 4));
    CHECK_THROWS_AS(matmul(a, b), ShapeError);
    CHECK_THROWS_WITH(matmul(a, b), Catch::StartsWith("[matmul]") && Catch::Contains("(2, 3)") &&
                                        Catch::Contains("(2, 4)"));
    CHECK_THROWS_AS(matmul(a, tape.variable(random({2}, 1))), ShapeError);
    CHECK_THROWS_AS(matmul(a, tape.variable(1)), ShapeError);
    CHECK_THROWS_AS(matmul(tape.variable(1), a), ShapeError);
    CHECK_THROWS_AS(matmul(batch, other), ShapeError);
}

// ---- sums of products -------------------------------------------------------------------------------------------

TEST_CASE("matmul: products and addends in one expression are one node", "[matmul]") {
    const auto x = random({3, 4}, 1), u = random({4, 5}, 2), h = random({3, 5}, 3), w = random({5, 5}, 4);
    const auto b = random({5}, 5), column = random({3, 1}, 6);
    Tape<double> tape;
    const auto vx = tape.variable(x), vu = tape.variable(u), vh = tape.variable(h), vw = tape.variable(w);
    const auto vb = tape.variable(b), vc = tape.variable(column);
    const std::size_t before = tape.size();
    const Var<double> y = vb + matmul(vx, vu) + vc + matmul(vh, vw);
    CHECK(tape.size() == before + 1);
    CHECK(difference(y.value(), Numbers(product(x, u) + product(h, w) + b + column)) < 1e-14);
    const auto dy = random({3, 5}, 7);
    backward(y, tape.constant(dy));
    CHECK(difference(vx.grad(), product(dy, turned(u))) < 1e-14);
    CHECK(difference(vu.grad(), product(turned(x), dy)) < 1e-14);
    CHECK(difference(vh.grad(), product(dy, turned(w))) < 1e-14);
    CHECK(difference(vw.grad(), product(turned(h), dy)) < 1e-14);
    CHECK(difference(vb.grad(), Numbers(xt::sum(dy, {0}))) < 1e-14);
    CHECK(difference(vc.grad(), Numbers(xt::sum(dy, {1}, xt::keep_dims))) < 1e-14);
}

TEST_CASE("matmul: numbers, many parts and parts of other shapes are added up", "[matmul]") {
    const auto x = random({3, 4}, 1), u = random({4, 5}, 2), row = random({1, 4}, 3),
               big = random({2, 3, 5}, 4);
    Tape<double> tape;
    const auto vx = tape.variable(x), vu = tape.variable(u), vrow = tape.variable(row),
               vbig = tape.variable(big);
    const Numbers p = product(x, u), q = product(row, u);
    CHECK(difference(Var<double>(1 + matmul(vx, vu)).value(), Numbers(p + 1)) < 1e-14);
    CHECK(difference(Var<double>(matmul(vx, vu) + 2).value(), Numbers(p + 2)) < 1e-14);
    CHECK(difference(Var<double>(matmul(vx, vu) - matmul(vrow, vu)).value(), Numbers(p - q)) < 1e-14);
    CHECK(difference(Var<double>(matmul(vx, vu) + matmul(vrow, vu)).value(), Numbers(p + q)) < 1e-14);
    CHECK(difference(Var<double>(matmul(vrow, vu) + matmul(vx, vu)).value(), Numbers(p + q)) < 1e-14);
    CHECK(difference(Var<double>(matmul(vx, vu) + vbig).value(), Numbers(p + big)) < 1e-14);
    Affine<double> many;
    for (int k = 0; k < 7; ++k) many = many + matmul(vx, vu) + 1;
    CHECK(difference(Var<double>(many).value(), Numbers(7 * p + 7)) < 1e-13);
    backward(sum(Var<double>(many)));
    CHECK(difference(vx.grad(), Numbers(7 * product(xt::ones<double>({3, 5}), turned(u)))) < 1e-13);
}

TEST_CASE("matmul: an addend that repeats, twice the same, counts twice", "[matmul]") {
    const auto x = random({3, 4}, 1), u = random({4, 5}, 2), b = random({5}, 3);
    Tape<double> tape;
    const auto xs = tape.variable(random({4, 3, 4}, 4));
    const auto vu = tape.variable(u), vb = tape.variable(b);
    Var<double> total = tape.constant(0);
    for (std::ptrdiff_t t = 0; t < 4; ++t) {
        const Var<double> y = matmul(xs[t], vu) + vb + vb;
        CHECK(difference(y.value(), Numbers(product(xs[t].value(), u) + 2 * b)) < 1e-14);
        total = total + sum(y);
    }
    backward(total);
    CHECK(difference(vb.grad(), Numbers(24 * xt::ones<double>({5}))) < 1e-13);
}

// ---- weights used many times ------------------------------------------------------------------------------------

TEST_CASE("matmul: a weight used once to 600 times receives its whole gradient", "[matmul]") {
    // Gradients wait in chunks of 256 rows: 85 or 86 steps of 3 rows fill one.
    for (std::size_t T : {1u, 2u, 3u, 85u, 86u, 87u, 171u, 172u, 173u, 600u}) {
        CAPTURE(T);
        Recurrence r(T, 3, 2, 4, steps(T));
        check(r);
    }
    for (std::size_t T : {255u, 256u, 257u}) {
        CAPTURE(T);
        Recurrence r(T, 1, 3, 2, steps(T));
        check(r);
    }
    for (std::size_t B : {255u, 256u, 257u}) {
        CAPTURE(B);
        Recurrence r(3, B, 2, 2, steps(3));
        check(r);
    }
}

TEST_CASE("matmul: a sequence may be walked backwards, in jumps, and a step be used twice", "[matmul]") {
    for (std::size_t T : {5u, 90u, 200u}) {
        CAPTURE(T);
        auto order = steps(T);
        std::reverse(order.begin(), order.end());
        Recurrence reversed(T, 3, 2, 4, order);
        check(reversed);

        for (std::size_t t = 0; t < T; ++t) order[t] = t * 7 % T;
        Recurrence jumping(T, 3, 2, 4, order);
        check(jumping);

        for (std::size_t t = 0; t < T; ++t) order[t] = t / 2;
        Recurrence each_twice(T, 3, 2, 4, order);
        check(each_twice);

        std::fill(order.begin(), order.end(), std::size_t{1});
        Recurrence always_one(T, 3, 2, 4, order);
        check(always_one);

        order = steps(T);
        for (std::size_t t = 0; t < T; ++t) order.push_back(t);
        Recurrence two_passes(T, 3, 2, 4, order);
        check(two_passes);
    }
}

TEST_CASE("matmul: a sequence's gradient is zero where no step was used, and adds what came from elsewhere",
          "[matmul]") {
    // Products of chunks of steps are written to it, from the last chunk on, in memory that held other numbers before.
    constexpr std::size_t T = 600, D = 3, N = 4;
    const auto x = random({T, 1, D}, 1), w = random({D, N}, 2), v = random({D, N}, 3), c = random({T}, 4);
    enum class Elsewhere { never, before, after };
    for (const Elsewhere elsewhere : {Elsewhere::never, Elsewhere::before, Elsewhere::after}) {
        for (const auto& [first, end] :
             {std::pair{0u, 600u}, {0u, 599u}, {1u, 600u}, {100u, 300u}, {300u, 310u}}) {
            CAPTURE(static_cast<int>(elsewhere), first, end);
            Tape<double> tape;
            for (int run = 0; run < 2; ++run) {
                tape.clear();
                const auto xs = tape.variable(x);
                const auto by_w = tape.constant(w), by_v = tape.constant(v);
                Var<double> total = tape.constant(0.0);
                if (elsewhere == Elsewhere::before) total = sum(square(xs));
                Numbers expected = Numbers::from_shape({T, 1, D});
                expected.fill(0);
                for (std::size_t t = first; t < end; ++t) {
                    const auto step = xs[static_cast<std::ptrdiff_t>(t)];
                    // Two sums of products by the same sequence; the second misses the first steps.
                    total = total + c(t) * sum(Var<double>(matmul(step, by_w)));
                    if (t > first + 5) total = total + sum(Var<double>(matmul(step, by_v)));
                    for (std::size_t d = 0; d < D; ++d)
                        for (std::size_t n = 0; n < N; ++n)
                            expected(t, 0, d) += c(t) * w(d, n) + (t > first + 5 ? v(d, n) : 0);
                }
                if (elsewhere == Elsewhere::after) total = total + sum(square(xs));
                if (elsewhere != Elsewhere::never) expected += 2 * x;
                backward(total);
                CHECK(difference(xs.grad(), expected) < 1e-12);
            }
        }
    }
}

TEST_CASE("matmul: a sequence may be a view", "[matmul]") {
    for (std::size_t T : {2u, 5u, 90u}) {
        CAPTURE(T);
        Recurrence r(T, 3, 2, 4, steps(T));
        check(r, {.store_xs =
                      [](const Numbers& x) {
                          return Numbers(xt::transpose(x, {1, 0, 2}));
                      },
                  .xs =
                      [](const auto& x) {
                          return transpose(x, {1, 0, 2});
                      }});
        Recurrence s(T, 3, 2, 4, steps(T));
        check(s,
              {.store_xs = [](const Numbers& x) { return Numbers(xt::concatenate(xt::xtuple(x, x, x), 0)); },
               .xs = [T](const auto& x) { return slice(x, 0, std::ptrdiff_t(T), std::ptrdiff_t(2 * T)); }});
        Recurrence e(T, 3, 2, 4, steps(T));
        check(e, {.store_xs = [](const Numbers& x) { return Numbers(xt::repeat(x, 2, 0)); },
                  .xs = [](const auto& x) { return slice(x, 0, 1, 100000, 2); }});
        Recurrence c(T, 3, 2, 4, steps(T));
        check(c, {.store_xs = [](const Numbers& x) { return Numbers(xt::concatenate(xt::xtuple(x, x), 2)); },
                  .xs = [](const auto& x) { return slice(x, 2, 2, 4); }});
        // Computed on the tape.
        Recurrence k(T, 3, 2, 4, steps(T));
        check(k, {.xs = [](const auto& x) { return Var<double>(x + 0); }});
    }
}

TEST_CASE("matmul: a weight may be a view, or computed", "[matmul]") {
    const std::vector<Leaves> ways = {
        {.store_w = turned, .w = [](const auto& w) { return transpose(w); }},
        {.store_w = [](const Numbers& w) { return Numbers(xt::concatenate(xt::xtuple(w, w), 1)); },
         .w = [](const auto& w) { return slice(w, 1, 4, 8); }},
        {.store_w = [](const Numbers& w) { return Numbers(xt::concatenate(xt::xtuple(w, w), 0)); },
         .w = [](const auto& w) { return slice(w, 0, 4, 8); }},
        {.store_w = [](const Numbers& w) { return Numbers(xt::repeat(w, 2, 1)); },
         .w = [](const auto& w) { return slice(w, 1, 0, 8, 2); }},
        {.w = [](const auto& w) { return Var<double>(w + 0); }},
    };
    for (std::size_t T : {1u, 4u, 100u}) {
        for (std::size_t way = 0; way < ways.size(); ++way) {
            CAPTURE(T, way);
            Recurrence r(T, 3, 2, 4, steps(T));
            check(r, ways[way]);
        }
    }
}

TEST_CASE("matmul: a masked weight, computed once and used in each step, passes its gradient on",
          "[matmul]") {
    Recurrence r(100, 3, 2, 4, steps(100));
    const Numbers full = r.w;
    const Numbers mask = xt::cast<double>(random({4, 4}, 9) > 0);
    r.w = full * mask;
    r.compute();
    Tape<double> tape;
    const auto xs = tape.constant(r.xs), u = tape.constant(r.u), b = tape.constant(r.b),
               c = tape.constant(r.c);
    const auto w = tape.variable(full);
    const Var<double> masked = tape.constant(mask) * w;
    Var<double> h = tape.constant(r.h0), loss = tape.constant(0);
    for (std::ptrdiff_t t = 0; t < 100; ++t) {
        h = tanh(matmul(xs[t], u) + matmul(h, masked) + b);
        loss = loss + sum(h * c[t]);
    }
    CHECK(loss.item() == Approx(r.loss));
    backward(loss);
    CHECK(difference(w.grad(), Numbers(r.dw * mask)) < 1e-11);
}

TEST_CASE("matmul: hooks and requests see a weight's whole gradient once", "[matmul]") {
    for (std::size_t T : {1u, 3u, 100u}) {
        for (bool as_view : {false, true}) {
            CAPTURE(T, as_view);
            Recurrence r(T, 3, 2, 4, steps(T));
            int calls = 0;
            Numbers seen, retained;
            Leaves leaves;
            if (as_view) {
                leaves.store_w = [](const Numbers& w) {
                    return Numbers(xt::concatenate(xt::xtuple(w, w), 1));
                };
                leaves.w = [](const auto& w) { return slice(w, 1, 4, 8); };
            }
            leaves.watch = [&](const Var<double>& w) {
                w.on_gradient([&](Var<double> g) {
                    ++calls;
                    seen = g.value();
                });
                w.retain();
            };
            check(r, leaves);
            CHECK(calls == 1);
            CHECK(difference(seen, r.dw) < 1e-10);
        }
    }
}

TEST_CASE("matmul: releasing values gives the same gradients", "[matmul]") {
    for (std::size_t T : {1u, 2u, 90u, 200u}) {
        CAPTURE(T);
        Recurrence r(T, 3, 2, 4, steps(T));
        check(r, {}, {.release_values = true});
        Recurrence computed(T, 3, 2, 4, steps(T));
        check(computed,
              {.store_xs = [](const Numbers& x) { return x; },
               .xs = [](const auto& x) { return Var<double>(x + 0); },
               .store_w = [](const Numbers& w) { return w; },
               .w = [](const auto& w) { return Var<double>(w + 0); }},
              {.release_values = true});
        Recurrence reversed(T, 3, 2, 4, [&] {
            auto order = steps(T);
            std::reverse(order.begin(), order.end());
            return order;
        }());
        check(reversed, {}, {.release_values = true});
    }
}

TEST_CASE("matmul: a rewind in the middle of a sequence changes nothing of what follows", "[matmul]") {
    for (std::size_t T : {6u, 120u}) {
        for (std::size_t cut : {std::size_t(1), T / 2, T - 1}) {
            CAPTURE(T, cut);
            Recurrence r(T, 3, 2, 4, steps(T));
            r.compute();
            Tape<double> tape;
            const auto xs = tape.variable(r.xs), u = tape.variable(r.u), w = tape.variable(r.w);
            const auto b = tape.variable(r.b), c = tape.constant(r.c);
            Var<double> h = tape.constant(r.h0), loss = tape.constant(0);
            const auto step = [&](std::size_t t) {
                h = tanh(matmul(xs[std::ptrdiff_t(t)], u) + matmul(h, w) + b);
                loss = loss + sum(h * c[std::ptrdiff_t(t)]);
            };
            for (std::size_t t = 0; t < cut; ++t) step(t);
            const Var<double> h_before = h, loss_before = loss;
            const auto mark = tape.mark();
            for (std::size_t t = cut; t < T; ++t) step(t);  // a look ahead
            tape.rewind(mark);
            h = h_before;
            loss = loss_before;
            for (std::size_t t = cut; t < T; ++t) step(t);
            CHECK(loss.item() == Approx(r.loss).epsilon(1e-12));
            backward(loss);
            CHECK(difference(xs.grad(), r.dxs) < 1e-10);
            CHECK(difference(u.grad(), r.du) < 1e-10);
            CHECK(difference(w.grad(), r.dw) < 1e-10);
            CHECK(difference(b.grad(), r.db) < 1e-10);
        }
    }
}

TEST_CASE("matmul: truncated sweeps between rewinds add up", "[matmul]") {
    // Each window of 10 steps is swept and forgotten; the state is carried by value.
    Recurrence r(10, 3, 2, 4, steps(10));
    r.compute();
    Tape<double> tape;
    Parameter<double> w(r.w);
    const auto xs = tape.constant(r.xs), u = tape.constant(r.u), b = tape.constant(r.b),
               c = tape.constant(r.c);
    const auto mark = tape.mark();
    for (int window = 0; window < 5; ++window) {
        Var<double> h = tape.constant(r.h0), loss = tape.constant(0);
        for (std::ptrdiff_t t = 0; t < 10; ++t) {
            h = tanh(matmul(xs[t], u) + matmul(h, tape.watch(w)) + b);
            loss = loss + sum(h * c[t]);
        }
        CHECK(loss.item() == Approx(r.loss).epsilon(1e-12));
        backward(loss);
        tape.rewind(mark);
        CHECK(difference(w.grad(), Numbers((window + 1) * r.dw)) < 1e-10);
    }
}

TEST_CASE("matmul: a second sweep, and grad to the weight, the sequence or the state alone, agree",
          "[matmul]") {
    for (std::size_t T : {3u, 100u}) {
        Recurrence r(T, 3, 2, 4, steps(T));
        r.compute();
        Tape<double> tape;
        const auto xs = tape.variable(r.xs), u = tape.variable(r.u), w = tape.variable(r.w);
        const auto b = tape.variable(r.b), h0 = tape.variable(r.h0), c = tape.constant(r.c);
        Var<double> h = h0, loss = tape.constant(0);
        for (std::size_t t = 0; t < T; ++t) {
            h = tanh(matmul(xs[std::ptrdiff_t(t)], u) + matmul(h, w) + b);
            loss = loss + sum(h * c[std::ptrdiff_t(t)]);
        }
        for (bool create_graph : {false, true}) {
            CAPTURE(T, create_graph);
            const GradOptions<double> options{.create_graph = create_graph};
            CHECK(difference(grad(loss, {w}, options)[0].value(), r.dw) < 1e-10);
            CHECK(difference(grad(loss, {xs}, options)[0].value(), r.dxs) < 1e-10);
            CHECK(difference(grad(loss, {h0}, options)[0].value(), r.dh0) < 1e-10);
            const auto all = grad(loss, {u, w, b, xs, h0}, options);
            CHECK(difference(all[0].value(), r.du) < 1e-10);
            CHECK(difference(all[1].value(), r.dw) < 1e-10);
            CHECK(difference(all[2].value(), r.db) < 1e-10);
            CHECK(difference(all[3].value(), r.dxs) < 1e-10);
            CHECK(difference(all[4].value(), r.dh0) < 1e-10);
        }
        backward(loss);
        backward(loss);
        CHECK(difference(w.grad(), Numbers(2 * r.dw)) < 1e-10);
        CHECK(difference(xs.grad(), Numbers(2 * r.dxs)) < 1e-10);
    }
}

TEST_CASE("matmul: tied weights, x W and y Wᵀ, add up over many steps", "[matmul]") {
    const auto x = random({50, 2, 3}, 1), w = random({3, 4}, 2, -0.5, 0.5);
    Tape<double> tape;
    const auto xs = tape.constant(x);
    const auto v = tape.variable(w);
    Var<double> loss = tape.constant(0);
    Numbers dw = xt::zeros<double>({3, 4});
    for (std::size_t t = 0; t < 50; ++t) {
        const Var<double> code = matmul(xs[std::ptrdiff_t(t)], v);
        loss = loss + sum(matmul(code, transpose(v)) * (double(t) + 1));
        // L = k Σ (x W) Wᵀ with ones G (2, 3): dW = k (xᵀ G W + Gᵀ x W)
        const Numbers xt_ = xt::view(x, t), ones = xt::ones<double>({2, 3});
        dw += (double(t) + 1) *
              (product(product(turned(xt_), ones), w) + product(product(turned(ones), xt_), w));
    }
    backward(loss);
    CHECK(difference(v.grad(), dw) < 1e-10);
}

TEST_CASE("matmul: products that are hooked or retained, among others that wait, change nothing",
          "[matmul]") {
    for (std::size_t T : {4u, 100u}) {
        for (std::size_t every : {1u, 3u, 50u}) {
            CAPTURE(T, every);
            Recurrence r(T, 3, 2, 4, steps(T));
            r.compute();
            Tape<double> tape;
            const auto xs = tape.variable(r.xs), u = tape.variable(r.u), w = tape.variable(r.w);
            const auto b = tape.variable(r.b), h0 = tape.variable(r.h0), c = tape.constant(r.c);
            Var<double> h = h0, loss = tape.constant(0);
            std::size_t calls = 0, hooked = 0;
            Numbers sum_of_hooked = xt::zeros<double>({4});
            for (std::size_t t = 0; t < T; ++t) {
                const Var<double> z = matmul(xs[std::ptrdiff_t(t)], u) + matmul(h, w) + b;
                if (t % every == 0) {
                    ++hooked;
                    z.retain();
                    z.on_gradient([&](Var<double> g) {
                        ++calls;
                        sum_of_hooked += xt::sum(Numbers(g.value()), {0});
                    });
                }
                h = tanh(z);
                loss = loss + sum(h * c[std::ptrdiff_t(t)]);
            }
            backward(loss);
            CHECK(calls == hooked);
            if (every == 1) CHECK(difference(sum_of_hooked, r.db) < 1e-10);
            CHECK(difference(xs.grad(), r.dxs) < 1e-10);
            CHECK(difference(u.grad(), r.du) < 1e-10);
            CHECK(difference(w.grad(), r.dw) < 1e-10);
            CHECK(difference(b.grad(), r.db) < 1e-10);
            CHECK(difference(h0.grad(), r.dh0) < 1e-10);
        }
    }
}

TEST_CASE("matmul: after an exception while gradients wait nothing has changed, and the next sweep is right",
          "[matmul]") {
    for (std::size_t T : {5u, 200u}) {
        CAPTURE(T);
        Recurrence r(T, 3, 2, 4, steps(T));
        r.compute();
        Tape<double> tape;
        Parameter<double> w(r.w), u(r.u);
        const auto xs = tape.variable(r.xs), b = tape.constant(r.b), c = tape.constant(r.c);
        Var<double> h = tape.constant(r.h0), loss = tape.constant(0);
        bool fail = true;
        for (std::size_t t = 0; t < T; ++t) {
            h = tanh(matmul(xs[std::ptrdiff_t(t)], tape.watch(u)) + matmul(h, tape.watch(w)) + b);
            loss = loss + sum(h * c[std::ptrdiff_t(t)]);
            if (t == T / 2) {
                h.on_gradient([&](Var<double>) {
                    if (fail) throw std::runtime_error("stop");
                });
            }
        }
        CHECK_THROWS_AS(backward(loss), std::runtime_error);
        CHECK(!w.has_grad());
        CHECK(!u.has_grad());
        CHECK(!xs.has_grad());
        fail = false;
        backward(loss);
        CHECK(difference(w.grad(), r.dw) < 1e-10);
        CHECK(difference(u.grad(), r.du) < 1e-10);
        CHECK(difference(xs.grad(), r.dxs) < 1e-10);
    }
}

TEST_CASE("matmul: products computed without recording in between change nothing", "[matmul]") {
    Recurrence r(100, 3, 2, 4, steps(100));
    r.compute();
    Tape<double> tape;
    const auto xs = tape.variable(r.xs), u = tape.variable(r.u), w = tape.variable(r.w);
    const auto b = tape.variable(r.b), c = tape.constant(r.c);
    Var<double> h = tape.constant(r.h0), loss = tape.constant(0);
    for (std::ptrdiff_t t = 0; t < 100; ++t) {
        if (t % 10 == 5) {
            NoRecording look_ahead(tape);
            Var<double> g = h;
            for (std::ptrdiff_t s = t; s < t + 5; ++s) g = tanh(matmul(xs[s], u) + matmul(g, w) + b);
        }
        h = tanh(matmul(xs[t], u) + matmul(h, w) + b);
        loss = loss + sum(h * c[t]);
    }
    CHECK(loss.item() == Approx(r.loss).epsilon(1e-12));
    backward(loss);
    CHECK(difference(xs.grad(), r.dxs) < 1e-10);
    CHECK(difference(u.grad(), r.du) < 1e-10);
    CHECK(difference(w.grad(), r.dw) < 1e-10);
    CHECK(difference(b.grad(), r.db) < 1e-10);
}

TEST_CASE("matmul: second derivatives are right across many uses of a weight", "[matmul]") {
    const auto x = random({40, 8, 1}, 1), start = random({8, 2}, 2);
    const auto f = [&](std::span<const Var<double>> inputs) {
        Tape<double>& tape = inputs[0].tape();
        const auto xs = tape.constant(x);
        Var<double> h = tape.constant(start);
        for (std::ptrdiff_t t = 0; t < 40; ++t)
            h = tanh(matmul(xs[t], inputs[0]) + matmul(h, inputs[1]) + inputs[2]);
        return sum(h, {0});
    };
    const std::vector<Array<double>> inputs = {random({1, 2}, 3), random({2, 2}, 4, -0.5, 0.5),
                                               random({2}, 5)};
    CHECK_NOTHROW(gradcheck(f, inputs));
    CHECK_NOTHROW(gradgradcheck(f, inputs));
}
