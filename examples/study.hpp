#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/chart.hpp"
#include "examples/csv.hpp"
#include "examples/format.hpp"
#include "nn/nn.hpp"

// The studies of gradient_flow beside its main one. Each prints a table and what there is to see in it, writes the
// numbers as .csv and draws them.

namespace examples {

struct StudySettings {
    std::size_t steps = 50, hidden = 64, inputs = 64, batch = 8;
    std::uint64_t seed = 1;
    double max_norm = 1;  ///< what gradients are clipped to
    std::filesystem::path picture;
};

/// A recurrence by λQ, Q orthogonal: linear, where a gradient grows as λ^T exactly, and under tanh.
void study_radius(const StudySettings& s);
/// The same matrix at each step, as in a recurrence, against fresh ones of the same spectral radius.
void study_tied(const StudySettings& s);
/// What |h| → 1 does to a gradient, by the size of the weights of the input and of the state.
void study_saturation(const StudySettings& s);
/// An LSTM's forget bias, and the product of its forget gates along the cell state.
void study_forget(const StudySettings& s);
/// An LSTM's two states: what reaches c_t by the forget gate, and what by way of h_t.
void study_cell(const StudySettings& s);
/// What clipping by the norm does to a gradient that explodes, once and over a training run.
void study_clip(const StudySettings& s);

// ---- what they share ---------------------------------------------------------------------------------------------

/// √Σx²
double norm(const xtape::Var<double>& x);

/// Independent, normal with mean 0 and deviation 1.
xt::xarray<double> normal_tensor(const std::vector<std::size_t>& shape, xtape::nn::Engine& engine);

/// ‖∂loss/∂x‖ for each x, from one backward pass.
std::vector<double> gradient_norms(const xtape::Var<double>& loss, const std::vector<xtape::Var<double>>& xs);

/// 1, 2, ... n
std::vector<double> count_to(std::size_t n);

/// Columns side by side on stdout, of all rows or every so many of them and the first and last.
void print_table(const std::vector<Column>& columns, std::size_t every = 1);

/// Prints the chart's caption, which says what to see, saves the numbers beside the picture, and draws it.
void report(const Chart& chart, const std::vector<Column>& numbers, const std::filesystem::path& picture);

}  // namespace examples
