// The same bits, whatever the number of threads.

#include <array>
#include <string>
#include <thread>
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

struct Size {
    std::size_t steps, batch, inputs, hidden;
};

/// The first tensor that differs, or none.
template <class T>
std::size_t first_difference(const std::vector<xt::xarray<T>>& a, const std::vector<xt::xarray<T>>& b) {
    REQUIRE(a.size() == b.size());
    std::size_t k = 0;
    while (k < a.size() && a[k] == b[k]) ++k;
    return k;
}

/// Outputs and all gradients of some training steps.
template <class T, class Cell>
std::vector<xt::xarray<T>> train(Cell cell, Size size, std::size_t threads) {
    nn::Engine engine(5);
    Parameter<T> x(Shape{size.steps, size.batch, size.inputs});
    nn::normal(x, 1.0, engine);
    Tape<T> tape;
    tape.set_threads(threads);
    std::vector<xt::xarray<T>> result;
    for (int step = 0; step < 2; ++step) {
        tape.clear();
        x.zero_grad();
        cell.visit([](const char*, Parameter<T>& p) { p.zero_grad(); });
        const Var<T> outputs = nn::unroll(cell, tape.watch(x)).outputs;
        backward(sum(square(outputs)) * 0.01);
        result.emplace_back(outputs.value());
        result.emplace_back(x.grad());
        cell.visit([&](const char*, Parameter<T>& p) { result.emplace_back(p.grad()); });
    }
    return result;
}

template <class T, class Make>
void check_cell(const Make& make) {
    // Widths that are and aren't whole vectors, few and many rows, and a weight larger than a cache.
    for (const Size size : {Size{8, 64, 96, 256}, Size{6, 33, 50, 100}, Size{6, 40, 64, 200},
                            Size{4, 1, 512, 512}, Size{3, 24, 700, 700}}) {
        INFO(size.steps << " steps, batch " << size.batch << ", " << size.inputs << " to " << size.hidden);
        const auto expected = train<T>(make(size), size, 1);
        for (std::size_t threads : {2u, 3u, 5u}) {
            INFO(threads << " threads");
            CHECK(first_difference(train<T>(make(size), size, threads), expected) == expected.size());
        }
    }
}

template <class T>
auto made(auto build) {
    return [build](Size size) {
        nn::Engine engine(3);
        return build(size.inputs, size.hidden, engine);
    };
}

}  // namespace

TEST_CASE("threads: recurrent layers compute the same bits with any number") {
    check_cell<float>(made<float>([](auto... a) { return nn::LSTMCell<float>(a...); }));
    check_cell<double>(made<double>([](auto... a) { return nn::LSTMCell<double>(a...); }));
    check_cell<float>(made<float>([](auto... a) { return nn::RNNCell<float>(a...); }));
    check_cell<float>(
        made<float>([](auto... a) { return nn::GRUCell<float>(a..., nn::Reset::before_product); }));
    check_cell<float>(
        made<float>([](auto... a) { return nn::GRUCell<float>(a..., nn::Reset::after_product); }));
}

TEST_CASE("threads: layers, statements that broadcast, and sums compute the same bits with any number") {
    const auto run = [](std::size_t threads) {
        nn::Engine engine(9);
        Parameter<float> x(Shape{300, 520}), w(Shape{520, 700}), b(Shape{700}), column(Shape{300, 1});
        for (Parameter<float>* p : {&x, &w, &b, &column}) nn::normal(*p, 0.1, engine);
        Tape<float> tape;
        tape.set_threads(threads);
        const Var<float> h = tanh(matmul(tape.watch(x), tape.watch(w)) + tape.watch(b));
        const Var<float> scaled = h * tape.watch(column) + sigmoid(h) * tape.watch(b);
        const Var<float> gated = tanh(scaled + tape.watch(b)) * scaled;  // rows are added to one
        const auto [left, right] = xtape::split<2>(gated);
        const Var<float> mixed = left * tanh(right) + exp(left - right);
        // Two views of one value that overlap.
        const Var<float> shifted = slice(mixed, 0, 1, 300) * slice(mixed, 0, 0, 299);
        backward(sum(square(shifted)) + sum(mixed));
        std::vector<xt::xarray<float>> result{shifted.value()};
        for (Parameter<float>* p : {&x, &w, &b, &column}) result.emplace_back(p->grad());
        return result;
    };
    const auto expected = run(1);
    for (std::size_t threads : {2u, 4u}) CHECK(first_difference(run(threads), expected) == expected.size());
}

TEST_CASE("threads: the gradient of a matrix has the same bits, wherever its blocks end") {
    using Sizes = std::array<std::size_t, 3>;  // m, k, n
    for (const Sizes& sizes : {Sizes{128, 256, 2048}, {128, 2048, 256}, {60, 300, 2020}, {700, 33, 4000}}) {
        const auto run = [&](std::size_t threads) {
            nn::Engine engine(9);
            Parameter<float> x(Shape{sizes[0], sizes[1]}), w(Shape{sizes[1], sizes[2]});
            for (Parameter<float>* p : {&x, &w}) nn::normal(*p, 1.0, engine);
            Tape<float> tape;
            tape.set_threads(threads);
            backward(sum(square(matmul(tape.watch(x), tape.watch(w)))));
            return std::vector<xt::xarray<float>>{x.grad(), w.grad()};
        };
        const auto expected = run(1);
        for (std::size_t threads : {2u, 3u, 5u})
            CHECK(first_difference(run(threads), expected) == expected.size());
    }
}

TEST_CASE("threads: tapes on different threads have helpers of their own") {
    const Size size{6, 48, 64, 128};
    const auto make = made<float>([](auto... a) { return nn::LSTMCell<float>(a...); });
    const auto expected = train<float>(make(size), size, 1);
    std::vector<std::vector<xt::xarray<float>>> results(3);
    std::vector<std::thread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = train<float>(make(size), size, 2); });
    for (auto& thread : threads) thread.join();
    for (const auto& result : results) CHECK(first_difference(result, expected) == expected.size());
}

TEST_CASE("threads: their number may change between steps, but isn't 0") {
    Tape<double> tape;
    CHECK(tape.threads() == 1);
    for (std::size_t threads : {2u, 1u, 3u}) {
        tape.clear();
        tape.set_threads(threads);
        const xt::xarray<double> values = xt::ones<double>({200, 100});
        const Var<double> x = tape.variable(values);
        backward(sum(tanh(x) * x));
        CHECK(x.grad()(0, 0) == Approx(std::tanh(1.0) + 1 - std::tanh(1.0) * std::tanh(1.0)));
    }
    CHECK_THROWS_AS(tape.set_threads(0), std::invalid_argument);
    CHECK(tape.threads() == 3);
}
