#pragma once

#include <algorithm>
#include <cstddef>

#include "benchmarks/contender.hpp"
#include "nn/nn.hpp"

namespace bench {

template <class T>
void fill(xtape::Parameter<T>& parameter, const Buffer<T>& values) {
    std::copy(values.begin(), values.end(), parameter.data());
}

/// Gives one of nn's cells the parameters of a problem.
template <class T, class Cell>
void fill_cell(Cell& cell, const Problem<T>& problem) {
    if constexpr (requires { cell.w_xh; }) {
        fill(cell.w_xh, problem.w_x);
        fill(cell.w_hh, problem.w_h);
        fill(cell.b_h, problem.bias);
    } else if constexpr (requires { cell.weight_x; }) {
        fill(cell.weight_x, problem.w_x);
        fill(cell.weight_h, problem.w_h);
        fill(cell.bias, problem.bias);
        fill(cell.bias_n, problem.bias_n);
    } else {
        // One weight (4H, D + H).
        const Size s = problem.size;
        const std::size_t rows = 4 * s.hidden, cols = s.inputs + s.hidden;
        for (std::size_t i = 0; i < rows; ++i) {
            T* const row = cell.weight.data() + i * cols;
            std::copy_n(problem.w_x.data() + i * s.inputs, s.inputs, row);
            std::copy_n(problem.w_h.data() + i * s.hidden, s.hidden, row + s.inputs);
        }
        fill(cell.bias, problem.bias);
    }
}

}  // namespace bench
