#include "benchmarks/problem.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <random>
#include <type_traits>
#include <utility>

#include "benchmarks/agreement.hpp"

namespace bench {

const std::vector<std::pair<std::string, Cell>>& cell_names() {
    static const std::vector<std::pair<std::string, Cell>> names = {
        {"rnn", Cell::rnn},
        {"lstm", Cell::lstm},
        {"gru", Cell::gru},
        {"gru-reset-after", Cell::gru_reset_after},
        {"mgu", Cell::mgu}};
    return names;
}

std::string name_of(Cell cell) {
    return std::find_if(cell_names().begin(), cell_names().end(),
                        [cell](const auto& entry) { return entry.second == cell; })
        ->first;
}

std::string text_of(const Size& size) {
    return std::to_string(size.batch) + "," + std::to_string(size.steps) + "," + std::to_string(size.inputs) +
           "," + std::to_string(size.hidden);
}

template <class T>
Problem<T> make_problem(Cell cell, const Size& size) {
    std::mt19937 engine(42);
    const auto normal = [&engine](std::size_t count, double deviation) {
        std::normal_distribution<double> distribution(0, deviation);
        Buffer<T> result(count);
        for (T& value : result) value = static_cast<T>(distribution(engine));
        return result;
    };
    const std::size_t rows = gate_count(cell) * size.hidden, samples = size.steps * size.batch;
    const double deviation = std::sqrt(2.0 / static_cast<double>(size.inputs + size.hidden));
    return {cell,
            size,
            normal(samples * size.inputs, 1),
            normal(rows * size.inputs, deviation),
            normal(rows * size.hidden, deviation),
            normal(rows, 0.1),
            normal(cell == Cell::gru_reset_after ? size.hidden : 0, 0.1),
            normal(samples * size.hidden, 1)};
}

template <class T>
Contenders<T> own_contenders(const Problem<T>& problem) {
    Contenders<T> all = handwritten_contenders(problem), ours = xtape_contenders(problem);
    std::move(ours.begin(), ours.end(), std::back_inserter(all));
    return all;
}

template <class T>
Contenders<T> all_contenders(const Problem<T>& problem) {
    Contenders<T> all = own_contenders(problem);
    for (auto make : {onednn_contenders<T>, libtorch_contenders<T>}) {
        Contenders<T> some = make(problem);
        std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    return all;
}

template <class T>
bool agree(const Contenders<T>& contenders) {
    constexpr double tolerance = std::is_same_v<T, float> ? 2e-4 : 1e-11;
    constexpr std::pair<const char*, Buffer<T> Results<T>::*> parts[] = {
        {"h", &Results<T>::h},       {"dx", &Results<T>::dx},    {"dW_x", &Results<T>::dw_x},
        {"dW_h", &Results<T>::dw_h}, {"db", &Results<T>::dbias}, {"dc_n", &Results<T>::dbias_n}};
    bool right = true;
    Results<T> expected;
    for (std::size_t i = 0; i < contenders.size(); ++i) {
        contenders[i]->run();
        const Results<T> actual = contenders[i]->results();
        if (i == 0) expected = actual;
        for (const auto& [part, member] : parts) {
            right &= same_part(name(contenders[0]->author()), name(contenders[i]->author()), part,
                               expected.*member, actual.*member, tolerance);
        }
    }
    return right;
}

template <class T>
std::vector<Work> runs(const Contenders<T>& contenders) {
    std::vector<Work> result;
    for (const auto& contender : contenders) result.push_back([&contender] { contender->run(); });
    return result;
}

double operations(Cell cell, const Size& s) {
    // A product of a×b and b×c takes 2abc; there are three for each of W_x and W_h.
    return 6.0 * static_cast<double>(s.steps * s.batch * (s.inputs + s.hidden)) *
           static_cast<double>(gate_count(cell) * s.hidden);
}

#define XTAPE_INSTANTIATE(T)                                  \
    template Problem<T> make_problem(Cell, const Size&);      \
    template Contenders<T> own_contenders(const Problem<T>&); \
    template Contenders<T> all_contenders(const Problem<T>&); \
    template bool agree(const Contenders<T>&);                \
    template std::vector<Work> runs(const Contenders<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace bench
