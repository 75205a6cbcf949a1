#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

// A series of numbers from a table, and the linear model that a forecast is compared with.

namespace examples {

struct TimeSeries {
    std::string time_name, name;
    std::vector<double> time, values;
};

/// Two columns of a CSV file with names in its first row: the first column is the time, `column` holds the values, or the
/// last one if it is empty. Throws std::runtime_error, with the line, for a file that can't be read, has no such column
/// or holds anything but numbers there.
TimeSeries read_series(const std::filesystem::path& file, const std::string& column = "");

/// x_t = c + Σ_k a_k x_{t-k}, k = 1 ... p, by least squares. (Yule, 1927, who made it for the sunspots)
class Autoregression {
public:
    /// Throws std::invalid_argument unless there are at least two equations for each of the p + 1 numbers.
    Autoregression(std::span<const double> series, std::size_t order);

    /// The order up to `most` with the smallest AIC, n log(Σe²/n) + 2 (p + 1), over the n = size - most values that all of
    /// them can predict. (Akaike, 1974)
    static Autoregression best(std::span<const double> series, std::size_t most);

    /// The next `steps` values, each from the values before it, given or forecast. Throws std::invalid_argument for fewer
    /// past values than the order.
    std::vector<double> forecast(std::span<const double> past, std::size_t steps) const;

    std::size_t order() const { return coefficients_.size(); }
    double constant() const { return constant_; }
    const std::vector<double>& coefficients() const { return coefficients_; }  ///< a_1 ... a_p

private:
    double next(std::span<const double> past) const;

    double constant_ = 0;
    std::vector<double> coefficients_;
};

}  // namespace examples
