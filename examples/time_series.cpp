#include "examples/time_series.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <xtensor-blas/xlinalg.hpp>

namespace examples {

namespace {

std::vector<std::string> cells(std::string line) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    std::vector<std::string> out;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) {
        std::erase(cell, '"');
        out.push_back(cell);
    }
    return out;
}

double number(const std::vector<std::string>& row, std::size_t column, const std::string& where) {
    const std::string cell = column < row.size() ? row[column] : "";
    std::istringstream in(cell);
    double value = 0;
    if (!(in >> value) || !(in >> std::ws).eof() || !std::isfinite(value))
        throw std::runtime_error(where + ": '" + cell + "' is not a number");
    return value;
}

/// Mean of the squared errors in predicting values[first...], each from those before it.
double mean_square_error(const Autoregression& model, std::span<const double> values, std::size_t first) {
    double sum = 0;
    for (std::size_t t = first; t < values.size(); ++t)
        sum += std::pow(model.forecast(values.first(t), 1)[0] - values[t], 2);
    return sum / static_cast<double>(values.size() - first);
}

}  // namespace

TimeSeries read_series(const std::filesystem::path& file, const std::string& column) {
    errno = 0;
    std::ifstream in(file);
    std::string line;
    if (!std::getline(in, line)) {
        throw std::runtime_error("series: cannot read " + file.string() + ": " +
                                 (errno != 0 ? std::strerror(errno) : "it is empty"));
    }
    const std::vector<std::string> names = cells(line);
    const auto found = column.empty() ? names.end() - 1 : std::find(names.begin(), names.end(), column);
    if (found == names.end())
        throw std::runtime_error("series: " + file.string() + " has no column " + column);
    const auto chosen = static_cast<std::size_t>(found - names.begin());

    TimeSeries series{names[0], names[chosen], {}, {}};
    for (std::size_t row = 2; std::getline(in, line); ++row) {
        if (line.empty() || line == "\r") continue;
        const std::string where = "series: " + file.string() + ", line " + std::to_string(row);
        const std::vector<std::string> numbers = cells(line);
        series.time.push_back(number(numbers, 0, where));
        series.values.push_back(number(numbers, chosen, where));
    }
    return series;
}

Autoregression::Autoregression(std::span<const double> series, std::size_t order) : coefficients_(order) {
    const std::size_t unknowns = order + 1;
    if (series.size() < order + 2 * unknowns) {
        throw std::invalid_argument("autoregression of order " + std::to_string(order) + " on " +
                                    std::to_string(series.size()) + " values: expected at least " +
                                    std::to_string(order + 2 * unknowns));
    }
    const std::size_t equations = series.size() - order;
    xt::xtensor<double, 2> past = xt::ones<double>({equations, unknowns});  // 1, x_{t-1}, ..., x_{t-p}
    xt::xtensor<double, 1> next = xt::zeros<double>({equations});
    for (std::size_t i = 0; i < equations; ++i) {
        next(i) = series[order + i];
        for (std::size_t k = 1; k <= order; ++k) past(i, k) = series[order + i - k];
    }
    const auto solution = std::get<0>(xt::linalg::lstsq(past, next));
    constant_ = solution(0);
    for (std::size_t k = 0; k < order; ++k) coefficients_[k] = solution(k + 1);
}

Autoregression Autoregression::best(std::span<const double> series, std::size_t most) {
    Autoregression best(series, most);
    const auto aic = [&](const Autoregression& model) {
        const auto n = static_cast<double>(series.size() - most);
        return n * std::log(mean_square_error(model, series, most)) +
               2 * static_cast<double>(model.order() + 1);
    };
    for (std::size_t order = most; order-- > 1;) {
        // The same equations for every order.
        const Autoregression other(series.subspan(most - order), order);
        if (aic(other) <= aic(best)) best = other;
    }
    return best;
}

double Autoregression::next(std::span<const double> past) const {
    double x = constant_;
    for (std::size_t k = 1; k <= order(); ++k) x += coefficients_[k - 1] * past[past.size() - k];
    return x;
}

std::vector<double> Autoregression::forecast(std::span<const double> past, std::size_t steps) const {
    if (past.size() < order()) {
        throw std::invalid_argument("autoregression of order " + std::to_string(order()) + " from " +
                                    std::to_string(past.size()) +
                                    " past values: expected as many as the order");
    }
    std::vector<double> known(past.end() - static_cast<std::ptrdiff_t>(order()), past.end());
    for (std::size_t k = 0; k < steps; ++k) known.push_back(next(known));
    return {known.end() - static_cast<std::ptrdiff_t>(steps), known.end()};
}

}  // namespace examples
