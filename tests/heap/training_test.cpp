// Counts what a training step asks of the heap. This program's allocation functions are wrappers around glibc's, so
// that malloc, aligned_alloc, operator new and what libraries call are all seen.

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"  // xtensor itself

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

// OpenBLAS, if it is OpenBLAS: its own threads ask for memory in each large product.
[[gnu::weak]] void openblas_set_num_threads(int);
}

namespace {

std::atomic<std::size_t> allocations{0};

}  // namespace

extern "C" {
void* malloc(std::size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
    ++allocations;
    return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
    ++allocations;
    *result = __libc_memalign(alignment, size);
    return *result == nullptr ? ENOMEM : 0;
}
}

using xtape::Array;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

template <class T, class Cell>
struct Model {
    Cell cell;
    nn::Linear<T> head;

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("head", head);
    }
};

/// Truncated BPTT over windows of one sequence; the allocations of each of eight steps.
template <class T, class Cell>
std::array<std::size_t, 8> allocations_of_steps(std::size_t B, std::size_t D, std::size_t H) {
    constexpr std::size_t steps = 12, classes = 7;
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    nn::Engine engine(1);
    Model<T, Cell> model{{D, H, engine}, {H, classes, engine}};
    nn::Adam<T> optimizer(model, {.learning_rate = 1e-2});
    xt::xtensor<T, 3> xs = xt::zeros<T>(std::array{steps, B, D});
    for (std::size_t k = 0; k < xs.size(); ++k) xs.flat(k) = static_cast<T>(k % 13) / 13;
    std::vector<int> targets(steps * B);
    for (std::size_t k = 0; k < targets.size(); ++k) targets[k] = static_cast<int>(k % classes);

    Tape<T> tape;
    nn::CarriedState<typename Cell::State> carried;
    std::array<std::size_t, 8> counts{};
    T first_loss = 0, last_loss = 0;
    for (std::size_t& count : counts) {
        const std::size_t before = allocations;
        const auto [outputs, last] = nn::unroll(model.cell, tape.constant(xs), carried);
        const Var<T> loss = nn::cross_entropy(model.head(outputs), targets);
        backward(loss);
        nn::clip_grad_norm(model, 1.0);
        optimizer.step();
        nn::zero_grad(model);
        last_loss = loss.value()();
        if (&count == &counts[0]) first_loss = last_loss;
        tape.clear();
        count = allocations - before;
    }
    CHECK(last_loss < first_loss);
    return counts;
}

template <class T, class Cell>
void check_steady_state(std::size_t B, std::size_t D, std::size_t H) {
    const auto counts = allocations_of_steps<T, Cell>(B, D, H);
    CAPTURE(B, D, H);
    CHECK(counts[0] > 0);
    for (std::size_t step = 2; step < counts.size(); ++step) CHECK(counts[step] == 0);
}

}  // namespace

TEST_CASE("heap: the counting allocator sees malloc, aligned memory and new") {
    // Volatile, or the compiler removes a pair of allocating and freeing.
    void* volatile memory = nullptr;
    std::size_t before = allocations;
    memory = std::malloc(1);
    CHECK(allocations > before);
    std::free(memory);
    before = allocations;
    memory = std::aligned_alloc(64, 64);
    CHECK(allocations > before);
    std::free(memory);
    before = allocations;
    memory = ::operator new(1);
    CHECK(allocations > before);
    ::operator delete(memory);
    before = allocations;
    memory = Array<float>(Shape{3}).data();
    CHECK(allocations > before);
}

TEST_CASE("heap: from its third on a training step of an LSTM allocates nothing") {
    check_steady_state<float, nn::LSTMCell<float>>(1, 8, 16);
    check_steady_state<float, nn::LSTMCell<float>>(16, 64, 128);
    check_steady_state<double, nn::LSTMCell<double>>(3, 4, 5);
}

TEST_CASE("heap: nor does one of an RNN or a GRU") {
    check_steady_state<float, nn::RNNCell<float>>(4, 8, 16);
    check_steady_state<float, nn::GRUCell<float>>(4, 8, 16);
}

TEST_CASE("heap: nor does a step of nn::Training over windows, between two points of its curve") {
    constexpr std::size_t classes = 5, streams = 3;
    nn::Engine engine(1);
    Model<float, nn::GRUCell<float>> model{{classes, 8, engine}, {8, classes, engine}};
    nn::Adam adam(model.head);
    nn::Windows windows(std::vector<int>(1000, 2), {.streams = streams, .steps = 7});
    nn::CarriedState<nn::GRUCell<float>::State> carried;
    const xt::xtensor<float, 2> one_hot = xt::eye<float>(classes);
    nn::Training training(model, adam, {.steps = 12, .accumulate = 2, .max_norm = 1, .validate = {}});
    std::vector<std::size_t> counts;
    std::size_t before = 0;
    counts.reserve(20);
    training.run(
        [&](Tape<float>& tape) {
            const auto& [inputs, targets, starts_anew] = windows.next();
            if (starts_anew) carried.forget();
            const auto xs = take(tape.constant(one_hot), inputs);
            return nn::cross_entropy(model.head(nn::unroll(model.cell, xs, carried).outputs), targets);
        },
        {},
        [&](const nn::TrainingState&) {
            counts.push_back(allocations - before);
            before = allocations;
        });
    REQUIRE(counts.size() == 1 + 12 + 1);  // the start, the steps, the last point
    for (std::size_t step = 4; step <= 12; ++step) CHECK(counts[step] == 0);
}

TEST_CASE("heap: nor does a step of L-BFGS whose history is full") {
    xtape::Parameter<double> x(Shape{40});
    const auto closure = [&] {  // Σ kₖ (xₖ - 1)², of 40 different steepnesses
        x.zero_grad();
        double* const g = x.grad_data();
        double loss = 0;
        for (std::size_t k = 0; k < x.size(); ++k) {
            const double away = x.data()[k] - 1;
            loss += static_cast<double>(k + 1) * away * away;
            g[k] = 2 * static_cast<double>(k + 1) * away;
        }
        return loss;
    };
    for (nn::LineSearch search : {nn::LineSearch::none, nn::LineSearch::strong_wolfe}) {
        x.value().fill(0);
        nn::LBFGS optimizer(x, {.learning_rate = 0.5, .iterations = 3, .history = 4, .line_search = search});
        for (int step = 0; step < 6; ++step) optimizer.step(closure);
        const std::size_t before = allocations;
        const double loss = optimizer.step(closure);
        const std::size_t count = allocations - before;
        CHECK(count == 0);
        CHECK(loss > 1e-3);  // it hasn't stopped
    }
}
