// What a sweep does with memory must not change a bit of any gradient.

#include "autograd/value_sweep.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;
using V = Var<double>;

namespace {

constexpr std::size_t T = 20, B = 3, D = 2;

/// A recurrence whose step makes products z = x_t W + h U + b, (B, 4 H), and from them the next state.
struct Reader {
    std::string what;
    std::function<V(const V& z, const V& h, V& loss)> next;  // may add to the loss
};

/// The state that doesn't read the last of the four gates.
V three_gates(const V& z, const V& h) {
    const auto [i, f, o, g] = split<4>(z);
    const V c = sigmoid(f) * h + sigmoid(i);
    return sigmoid(o) * tanh(c);
}

/// Reads each gate once, as an LSTM does.
V all_gates(const V& z, const V& h) {
    const auto [i, f, o, g] = split<4>(z);
    const V c = sigmoid(f) * h + sigmoid(i) * tanh(g);
    return sigmoid(o) * tanh(c);
}

const std::vector<Reader> readers = {
    {"each gate is read once", [](const V& z, const V& h, V&) { return all_gates(z, h); }},
    {"one gate is never read", [](const V& z, const V& h, V&) { return three_gates(z, h); }},
    {"the products are read as a whole",
     [](const V& z, const V& h, V&) {
         const V y = tanh(z);
         return V(slice(y, 1, 0, std::ptrdiff_t(h.extent(1))) + 0.5 * h);
     }},
    {"a gate is read by two statements",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         const V a = sin(i) * h;
         return V(tanh(i) * sigmoid(f) + a * o);
     }},
    {"a gate is read by two statements, of which the later one wants no gradient for it",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         const V a = sin(i) * tanh(g) * h;
         return where(i > 0, V(a * o), f);
     }},
    {"a gate occurs twice in a statement",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         const V c = sin(i) * h + exp(i) * sin(f);
         return V(tanh(g) * c + square(o));
     }},
    {"a statement reads the whole and a part",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         const V y = tanh(z) * slice(i, 1, 0, 1);
         return V(slice(y, 1, 0, std::ptrdiff_t(h.extent(1))) + h);
     }},
    {"a view of other columns is used elsewhere",
     [](const V& z, const V& h, V& loss) {
         loss = loss + sum(square(slice(z, 1, 1, 4)));
         return all_gates(z, h);
     }},
    {"a view of a gate is summed",
     [](const V& z, const V& h, V& loss) {
         const V y = all_gates(z, h) * sin(split<4>(z)[0]);
         loss = loss + sum(split<4>(z)[1]);
         return y;
     }},
    {"the transposed products are used elsewhere",
     [](const V& z, const V& h, V& loss) {
         loss = loss + sum(square(transpose(z)));
         return all_gates(z, h);
     }},
    {"the products are used as a constant",
     [](const V& z, const V& h, V&) {
         const V y = all_gates(z, h);
         return V(y * split<4>(tanh(stop_gradient(z)))[2]);
     }},
    {"a gate is used as a constant by the statement that reads it",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         return V(sigmoid(i) * stop_gradient(i) + tanh(f) * h * o);
     }},
    {"the products are used by ops that are no statements",
     [](const V& z, const V& h, V& loss) {
         loss = loss + sum(softmax(z) * z);
         return all_gates(z, h);
     }},
    {"softmax goes over a gate",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         return V(softmax(i) * h + f * sin(i));
     }},
    {"the products are multiplied",
     [](const V& z, const V& h, V& loss) {
         const V w = h.tape().constant(random({z.extent(1), 2}, 9));
         loss = loss + sum(square(matmul(z, w)));
         return all_gates(z, h);
     }},
    {"a row of the products is spread over the others",
     [](const V& z, const V& h, V&) {
         const V y = all_gates(z, h);
         return V(y * sigmoid(split<4>(slice(z, 0, 0, 1))[0]));
     }},
    {"a checkpoint computes with the products",
     [](const V& z, const V& h, V& loss) {
         const V y = checkpoint<double>(h.tape(), [=]() -> std::vector<V> { return {sum(square(z))}; })[0];
         loss = loss + y;
         return all_gates(z, h);
     }},
    {"a checkpoint computes with them before others do",
     [](const V& z, const V& h, V&) {
         const auto [i, f, o, g] = split<4>(z);
         const V y =
             checkpoint<double>(h.tape(), [=, i = i]() -> std::vector<V> { return {tanh(i) * h}; })[0];
         return V(y * sigmoid(i) + sigmoid(f) * tanh(g));
     }},
    {"the products are stacked",
     [](const V& z, const V& h, V& loss) {
         loss = loss + sum(square(stack(std::vector<V>{z, z})));
         return all_gates(z, h);
     }},
    {"everything is read by the next step again",
     [before = std::make_shared<V>()](const V& z, const V& h, V&) {
         const bool first = !*before || &before->tape() != &z.tape() || before->index() > z.index();
         const V y = all_gates(z, h);
         const V next = first ? y : V(y * sigmoid(split<4>(*before)[3]));
         *before = z;
         return next;
     }},
};

struct Swept {
    std::vector<Numbers> gradients;
    std::size_t bytes = 0;  // of the tape
};

struct Options {
    bool release = false;
    std::size_t threads = 1;
    bool as_sequence = true;  // the tape knows how many steps come
    /// May ask the tape for something about the products of a step.
    std::function<void(const V& z, std::size_t t)> watch = {};
};

Swept sweep(const Reader& reader, std::size_t H, const Options& options = {}) {
    Tape<double> tape;
    tape.set_threads(options.threads);
    Parameter<double> w(random({D, 4 * H}, 1)), u(random({H, 4 * H}, 2)), b(random({4 * H}, 3));
    const V xs = tape.variable(random({T, B, D}, 4));
    const V start = tape.variable(random({B, H}, 5));
    V h = start, loss = tape.constant(0);
    {
        std::optional<Steps<double>> recorder;
        if (options.as_sequence) recorder.emplace(tape, T, false);
        for (std::size_t t = 0; t < T; ++t) {
            const V z =
                matmul(xs[std::ptrdiff_t(t)], tape.watch(w)) + matmul(h, tape.watch(u)) + tape.watch(b);
            if (options.watch) options.watch(z, t);
            h = reader.next(z, h, loss);
            if (recorder) recorder->done({});
        }
    }
    loss = loss + sum(square(h));
    backward(loss, {.release_values = options.release});
    return {{w.grad(), u.grad(), b.grad(), xs.grad(), start.grad()}, tape.capacity()};
}

bool same(const Swept& a, const Swept& b) {
    for (std::size_t k = 0; k < a.gradients.size(); ++k) {
        if (difference(a.gradients[k], b.gradients[k]) != 0) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("value sweep: releasing values changes no bit of a gradient, whoever reads the products",
          "[sweep]") {
    for (const Reader& reader : readers) {
        for (std::size_t H : {5u, 8u}) {
            for (bool as_sequence : {true, false}) {
                CAPTURE(reader.what, H, as_sequence);
                const Swept kept = sweep(reader, H, {.as_sequence = as_sequence});
                for (std::size_t threads : {1u, 2u}) {
                    CHECK(same(sweep(reader, H, {true, threads, as_sequence}), kept));
                }
            }
        }
    }
}

TEST_CASE("value sweep: steps that read the products in different ways keep every bit", "[sweep]") {
    for (const Reader& other : readers) {
        for (std::size_t every : {2u, 7u, 19u}) {
            CAPTURE(other.what, every);
            std::size_t t = 0;
            const Reader mixed{"", [&](const V& z, const V& h, V& loss) {
                                   return (t++ % T % every == 0 ? other : readers[0]).next(z, h, loss);
                               }};
            CHECK(same(sweep(mixed, 5, {.release = true}), sweep(mixed, 5)));
        }
    }
}

TEST_CASE("value sweep: gradients of gates are written over their pre-activations, if those are released",
          "[sweep]") {
    constexpr std::size_t H = 64, products = T * B * 4 * H * sizeof(double);
    for (std::size_t k : {0u, 1u, 2u}) {
        CAPTURE(readers[k].what);
        const Swept kept = sweep(readers[k], H), released = sweep(readers[k], H, {.release = true});
        CHECK(same(released, kept));
        CHECK(released.bytes + products * 9 / 10 < kept.bytes);
    }
}

TEST_CASE("value sweep: what a hook or retain asks for is there although values are released", "[sweep]") {
    for (std::size_t every : {1u, 3u, 19u}) {
        for (bool of_gate : {false, true}) {
            CAPTURE(every, of_gate);
            const auto run = [&](bool release) {
                std::vector<Numbers> seen(T);
                const auto watch = [&](const V& z, std::size_t t) {
                    if (t % every != 0) return;
                    const V asked = of_gate ? split<4>(z)[1] : z;
                    asked.on_gradient([&seen, t](V gradient) { seen[t] = gradient.value(); });
                };
                Swept swept = sweep(readers[0], 5, {.release = release, .watch = watch});
                swept.gradients.insert(swept.gradients.end(), seen.begin(), seen.end());
                return swept;
            };
            CHECK(same(run(true), run(false)));
        }
    }
}

TEST_CASE("value sweep: a gradient is retained although values are released", "[sweep]") {
    const auto run = [](bool release, bool of_gate) {
        Tape<double> tape;
        Parameter<double> w(random({D, 20}, 1)), u(random({5, 20}, 2));
        const V xs = tape.variable(random({T, B, D}, 4));
        V h = tape.constant(random({B, 5}, 5));
        std::vector<V> asked;
        {
            Steps<double> recorder(tape, T, false);
            for (std::size_t t = 0; t < T; ++t) {
                const V z = matmul(xs[std::ptrdiff_t(t)], tape.watch(w)) + matmul(h, tape.watch(u));
                const auto [i, f, o, g] = split<4>(z);
                if (t % 4 == 1) asked.push_back(of_gate ? f : z);
                if (t % 4 == 1) asked.back().retain();
                h = sigmoid(o) * tanh(sigmoid(f) * h + sigmoid(i) * tanh(g));
                recorder.done({});
            }
        }
        backward(sum(square(h)), {.release_values = release});
        Swept swept{{w.grad(), u.grad(), xs.grad()}};
        for (const V& each : asked) swept.gradients.emplace_back(each.grad());
        return swept;
    };
    for (bool of_gate : {false, true}) {
        CAPTURE(of_gate);
        CHECK(same(run(true, of_gate), run(false, of_gate)));
    }
}

TEST_CASE("value sweep: a hook sees that a product's value is gone", "[sweep]") {
    bool refused = false;
    V first;
    const auto watch = [&](const V& z, std::size_t t) {
        if (t == 0) first = z;
        if (t != 5) return;
        z.on_gradient([&](const V&) {
            try {
                (void)first.value();
            } catch (const TapeError&) {
                refused = true;
            }
        });
    };
    sweep(readers[0], 5, {.release = true, .watch = watch});
    CHECK(refused);
}

TEST_CASE("value sweep: no sweep follows one that released values, from wherever it begins", "[sweep]") {
    Tape<double> tape;
    const auto v = tape.variable(random({64}, 1));
    const V h = square(v);
    const V loss = sum(exp(h));
    const V other = sum(h * h);
    backward(loss, {.release_values = true});
    const Numbers before = v.grad();
    CHECK_THROWS_AS(backward(other), GradientError);
    CHECK_THROWS_AS(grad(other, {v}), GradientError);
    CHECK_THROWS_AS(grad(other, {v}, {.create_graph = true}), GradientError);
    CHECK_THROWS_WITH(backward(V(sum(v * 2))), Catch::Contains("release"));
    CHECK(difference(v.grad(), before) == 0);
    tape.clear();
    const auto again = tape.variable(random({64}, 1));
    CHECK_NOTHROW(backward(sum(square(again))));
}

namespace {

/// What becomes of a value whose gradient is a seed.
struct Seeded {
    std::string what;
    std::function<V(const V& x, const V& w)> result;  // of x (4, 3) and w (3)
};

const std::vector<Seeded> seeded = {
    {"a statement", [](const V& x, const V& w) { return V(sin(x) * w); }},
    {"a statement that hands its gradient on", [](const V& x, const V& w) { return V(exp(V(x * w)) + x); }},
    {"a stack of what a recurrence computes",
     [](const V& x, const V& w) {
         std::vector<V> states{V(tanh(w))};
         for (std::ptrdiff_t t = 0; t < 3; ++t)
             states.push_back(V(sin(states.back() * x[t]) + states.back()));
         return stack(states);
     }},
    {"a stack of products",
     [](const V& x, const V& w) {
         const V m = x * w;
         std::vector<V> states{V(reshape(w, {1, 3}))};
         for (int t = 0; t < 3; ++t) states.push_back(V(matmul(states.back(), V(matmul(transpose(m), x)))));
         return reshape(stack(states), {4, 3});
     }},
    {"a stack of one value, twice, and of leaves",
     [](const V&, const V& w) {
         const V y = w * w;
         return stack(std::vector<V>{y, V(square(y)), y, w});
     }},
    {"a stack of stacks",
     [](const V& x, const V& w) {
         const V y = V(x * w)[1], z = sin(y) + w;
         const V pair = stack(std::vector<V>{y, z});
         return reshape(stack(std::vector<V>{pair, V(exp(pair))}), {4, 3});
     }},
    {"a sum over an axis that is spread again",
     [](const V& x, const V& w) { return V(V(sum(x * w, {0}, true)) * x); }},
    {"softmax", [](const V& x, const V& w) { return softmax(V(x * w)); }},
    {"a concatenation",
     [](const V& x, const V& w) {
         return concatenate(std::vector<V>{slice(x, 0, 0, 3), reshape(w, {1, 3})});
     }},
    {"a checkpoint",
     [](const V& x, const V& w) {
         return checkpoint<double>(x.tape(), [=]() -> std::vector<V> { return {sin(x) * w}; })[0];
     }},
    {"a variable", [](const V& x, const V&) { return x; }},
};

}  // namespace

TEST_CASE("value sweep: a seed gives what a sum weighted by it gives, and stays as it is", "[sweep]") {
    const auto seed_numbers = random({4, 3}, 3);
    for (const Seeded& each : seeded) {
        for (bool release : {false, true}) {
            for (bool computed : {false, true}) {
                CAPTURE(each.what, release, computed);
                const auto run = [&](bool as_seed) {
                    Tape<double> tape;
                    const V x = tape.variable(random({4, 3}, 1)), w = tape.variable(random({3}, 2));
                    const V constant = tape.constant(seed_numbers);
                    const V early = constant + 0.5;
                    const V y = each.result(x, w);
                    const V seed = computed ? early : constant;
                    if (as_seed) {
                        backward(y, seed, {.release_values = release});
                        CHECK(difference(constant.value(), seed_numbers) == 0);
                        if (!release)
                            CHECK(difference(seed.value(), Numbers(seed_numbers + (computed ? 0.5 : 0))) ==
                                  0);
                        if (!release) backward(y, seed);
                    } else {
                        const V loss = sum(y * seed);
                        backward(loss);
                        if (!release) backward(loss);
                    }
                    return Swept{{x.has_grad() ? Numbers(x.grad()) : Numbers(),
                                  w.has_grad() ? Numbers(w.grad()) : Numbers()}};
                };
                CHECK(same(run(true), run(false)));
            }
        }
    }
}

TEST_CASE("value sweep: who asks for a gradient that is a seed gets one that is theirs", "[sweep]") {
    const auto seed_numbers = random({4, 3}, 3);
    Tape<double> tape;
    const V x = tape.variable(random({4, 3}, 1));
    const V a = V(sin(x))[0], b = a * a, c = exp(b) + a, d = c * b;
    const V y = stack(std::vector<V>{a, b, c, d});
    const V seed = tape.constant(seed_numbers);
    c.retain();
    y.retain();
    Numbers seen;
    b.on_gradient([&](const V& gradient) {
        seen = gradient.value();
        return V(2 * gradient);
    });
    backward(y, seed);
    const auto row = [&](std::size_t k) { return Numbers(xt::view(seed_numbers, k, xt::all())); };
    const Numbers va = a.value(), vb = b.value(), vc = c.value();
    const Numbers dc = row(2) + row(3) * vb;
    const Numbers db = row(1) + row(3) * vc + dc * xt::exp(vb);
    CHECK(difference(c.grad(), dc) < 1e-14);
    CHECK(difference(seen, db) < 1e-14);
    CHECK(difference(y.grad(), seed_numbers) == 0);
    CHECK(difference(seed.value(), seed_numbers) == 0);
    const Numbers da = row(0) + dc + 2 * db * 2 * va;
    CHECK(difference(xt::view(Numbers(x.grad()), 0, xt::all()),
                     Numbers(da * xt::cos(xt::view(Numbers(x.value()), 0, xt::all())))) < 1e-14);
    const auto by_grad = grad(y, {y, c}, {.seed = seed});
    CHECK(difference(by_grad[0].value(), seed_numbers) == 0);
    CHECK(difference(by_grad[1].value(), dc) < 1e-14);
}

// ---- blocks of a matrix ------------------------------------------------------------------------------------------

namespace {

/// Some rows or columns of a matrix that is multiplied by, or by whose transpose.
struct Factor {
    bool rows;
    std::size_t begin, count;
    bool turned = false;
};

struct Blocks {
    std::string what;
    std::size_t columns;
    std::vector<Factor> factors;
    bool whole = false;  // the matrix is read as it is, too
};

const std::vector<Blocks> cases_of_blocks = {
    {"halves", 8, {{false, 0, 4}, {false, 4, 4}}},
    {"columns of different counts, in any order", 8, {{false, 6, 2}, {false, 0, 2}, {false, 2, 4, true}}},
    {"rows of different counts", 8, {{true, 0, 4}, {true, 4, 2, true}}},
    {"one is never used", 8, {{false, 0, 2}, {false, 6, 2}}},
    {"one is used twice", 8, {{false, 0, 2}, {false, 2, 6}, {false, 0, 2, true}}},
    {"one overlaps another", 8, {{false, 0, 4}, {false, 2, 4}, {false, 4, 4}}},
    {"one overlaps another by a third", 9, {{false, 0, 6}, {false, 3, 6}}},
    {"rows that overlap by a third", 8, {{true, 2, 4}, {true, 0, 4}}},
    {"one holds another that isn't complete", 9, {{false, 3, 3}, {false, 0, 9, true}}},
    {"columns and rows", 8, {{false, 0, 4}, {true, 0, 3}, {false, 4, 4}}},
    {"a single column", 8, {{false, 0, 1}, {false, 1, 7}}},
    {"a single row", 8, {{true, 5, 1}, {true, 0, 5}}},
    {"too many pieces to remember", 9, {{false, 0, 1}, {false, 2, 7}}},
    {"parts that don't fit each other", 8, {{false, 0, 3}, {false, 3, 5}, {false, 0, 4}}},
    {"the whole matrix as well", 8, {{false, 0, 4}, {true, 1, 4, true}}, true},
};

}  // namespace

TEST_CASE("value sweep: a matrix gets the gradients of its blocks", "[sweep]") {
    constexpr std::size_t rows = 6, m = 5;
    for (const Blocks& blocks : cases_of_blocks) {
        for (const bool computed : {false, true}) {
            INFO(blocks.what << (computed ? ", of a computed matrix" : ""));
            const Numbers start = random({rows, blocks.columns}, 1);
            Numbers expected = xt::zeros<double>({rows, blocks.columns});
            Parameter<double> w(start);
            for (int sweep = 0; sweep < 2; ++sweep) {  // the second one adds
                Tape<double> tape;
                const V leaf = tape.watch(w), matrix = computed ? V(2 * leaf) : leaf;
                V loss;
                unsigned seed = 10;
                for (const Factor& f : blocks.factors) {
                    const auto begin = static_cast<std::ptrdiff_t>(f.begin);
                    const V block =
                        slice(matrix, f.rows ? 0 : 1, begin, begin + static_cast<std::ptrdiff_t>(f.count));
                    const V b = f.turned ? transpose(block) : block;
                    const Numbers x = random({m, b.extent(0)}, ++seed), c = random({m, b.extent(1)}, ++seed);
                    const V term = sum(matmul(tape.constant(x), b) * tape.constant(c));
                    loss = loss ? V(loss + term) : term;
                    for (std::size_t i = 0; i < b.extent(0); ++i)
                        for (std::size_t j = 0; j < b.extent(1); ++j) {
                            const std::size_t row = (f.turned ? j : i) + (f.rows ? f.begin : 0);
                            const std::size_t column = (f.turned ? i : j) + (f.rows ? 0 : f.begin);
                            for (std::size_t k = 0; k < m; ++k)
                                expected(row, column) += (computed ? 2 : 1) * x(k, i) * c(k, j);
                        }
                }
                if (blocks.whole) {
                    const Numbers c = random({rows, blocks.columns}, 99);
                    loss = loss + sum(matrix * tape.constant(c));
                    expected += (computed ? 2 : 1) * c;
                }
                backward(loss);
            }
            CHECK(difference(w.grad(), expected) < 1e-13);
        }
    }
}

TEST_CASE("value sweep: a sequence that is also read as a whole, between its steps, gets both gradients",
          "[sweep]") {
    constexpr std::size_t steps = 12, rows = 64, width = 3;  // several blocks of steps
    const Numbers start = random({steps, rows, width}, 1), w_numbers = random({width, width}, 2);
    for (const std::size_t between : {0u, 3u, 6u, 10u, 12u}) {
        INFO("read before step " << between);
        Parameter<double> x(start);
        Tape<double> tape;
        const V xs = tape.watch(x), w = tape.constant(w_numbers);
        V loss = tape.constant(0.0);
        for (std::size_t t = 0; t <= steps; ++t) {
            if (t == between) loss = loss + sum(square(xs));
            if (t < steps) loss = loss + sum(matmul(xs[static_cast<std::ptrdiff_t>(t)], w));
        }
        backward(loss);
        const Numbers expected = 2 * start + xt::sum(w_numbers, {1});
        CHECK(difference(x.grad(), expected) < 1e-13);
    }
}
