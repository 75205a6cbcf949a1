#include "examples/study.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "examples/utf8.hpp"

namespace examples {

using xtape::Var;

double norm(const Var<double>& x) {
    double sum = 0;
    for (const double v : x.value()) sum += v * v;
    return std::sqrt(sum);
}

xt::xarray<double> normal_tensor(const std::vector<std::size_t>& shape, xtape::nn::Engine& engine) {
    std::normal_distribution<double> normal;
    xt::xarray<double> tensor = xt::zeros<double>(shape);
    for (double& x : tensor) x = normal(engine);
    return tensor;
}

std::vector<double> gradient_norms(const Var<double>& loss, const std::vector<Var<double>>& xs) {
    std::vector<double> norms;
    for (const Var<double>& gradient : grad(loss, xs)) norms.push_back(norm(gradient));
    return norms;
}

std::vector<double> count_to(std::size_t n) {
    std::vector<double> numbers(n);
    for (std::size_t k = 0; k < n; ++k) numbers[k] = static_cast<double>(k + 1);
    return numbers;
}

void print_table(const std::vector<Column>& columns, std::size_t every) {
    std::size_t rows = 0;
    std::vector<int> widths;
    for (const Column& column : columns) {
        rows = std::max(rows, column.values.size());
        widths.push_back(2 + std::max(10, static_cast<int>(characters(column.name))));
        const int padding = widths.back() - static_cast<int>(characters(column.name));
        std::printf("%*s%s", padding, "", column.name.c_str());
    }
    std::printf("\n");
    for (std::size_t row = 0; row < rows; ++row) {
        if (row != 0 && row + 1 != rows && (row + 1) % every != 0) continue;
        for (std::size_t k = 0; k < columns.size(); ++k) {
            const std::vector<double>& values = columns[k].values;
            if (row < values.size())
                std::printf("%*.4g", widths[k], values[row]);
            else
                std::printf("%*s", widths[k], "");
        }
        std::printf("\n");
    }
}

void report(const Chart& chart, const std::vector<Column>& numbers, const std::filesystem::path& picture) {
    constexpr std::size_t line = 100;
    std::printf("\n");
    for (const std::string& text : wrapped(chart.caption, line)) std::printf("%s\n", text.c_str());
    const std::filesystem::path table = std::filesystem::path(picture).replace_extension(".csv");
    save_csv(table, numbers);
    std::printf("\nnumbers: %s\n", table.c_str());
    std::fflush(stdout);
    draw(chart, picture);
    std::printf("picture: %s\n", picture.c_str());
}

}  // namespace examples
