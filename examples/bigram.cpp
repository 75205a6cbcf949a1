#include "examples/bigram.hpp"

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace examples {

namespace {

/// Where a function of one hump is largest, by golden section.
template <class F>
double argmax(F&& f, double low, double high) {
    constexpr double ratio = 1 / std::numbers::phi;
    double left = high - ratio * (high - low), right = low + ratio * (high - low);
    double at_left = f(left), at_right = f(right);
    while (high - low > 1e-6) {
        if (at_left > at_right) {
            high = right;
            right = left;
            at_right = at_left;
            at_left = f(left = high - ratio * (high - low));
        } else {
            low = left;
            left = right;
            at_left = at_right;
            at_right = f(right = low + ratio * (high - low));
        }
    }
    return (low + high) / 2;
}

}  // namespace

Bigram::Bigram(std::span<const Symbol> training, std::size_t vocabulary)
    : vocabulary_(vocabulary), pairs_(vocabulary * vocabulary), before_(vocabulary), frequency_(vocabulary) {
    if (training.size() < 2) throw std::invalid_argument("bigram: the training sequence holds no pair");
    for (const Symbol s : training) {
        if (s < 0 || static_cast<std::size_t>(s) >= vocabulary) {
            throw std::invalid_argument("bigram: symbol " + std::to_string(s) +
                                        " is outside the vocabulary of " + std::to_string(vocabulary));
        }
    }
    for (std::size_t i = 0; i + 1 < training.size(); ++i) {
        const auto a = static_cast<std::size_t>(training[i]), b = static_cast<std::size_t>(training[i + 1]);
        ++pairs_[a * vocabulary + b];
        ++before_[a];
        ++frequency_[b];
    }
    const auto total = static_cast<double>(training.size() - 1 + vocabulary);
    for (double& u : frequency_) u = (u + 1) / total;

    constexpr double smallest = 1e-3, largest = 1e5;
    alpha_ = std::exp(argmax([this](double log_alpha) { return leave_one_out(std::exp(log_alpha)); },
                             std::log(smallest), std::log(largest)));
}

double Bigram::leave_one_out(double alpha) const {
    double sum = 0;
    for (std::size_t a = 0; a < vocabulary_; ++a) {
        for (std::size_t b = 0; b < vocabulary_; ++b) {
            const auto count = static_cast<double>(pairs_[a * vocabulary_ + b]);
            if (count == 0) continue;
            sum += count * std::log((count - 1 + alpha * frequency_[b]) /
                                    (static_cast<double>(before_[a]) - 1 + alpha));
        }
    }
    return sum;
}

double Bigram::probability(Symbol before, Symbol symbol) const {
    const double prior = frequency_[static_cast<std::size_t>(symbol)];
    const auto seen = static_cast<double>(before_[static_cast<std::size_t>(before)]);
    return (static_cast<double>(pairs(before, symbol)) + alpha_ * prior) / (seen + alpha_);
}

double Bigram::bits(const std::vector<std::vector<Symbol>>& pieces) const {
    double sum = 0;
    std::size_t count = 0;
    for (const std::vector<Symbol>& piece : pieces) {
        for (std::size_t i = 0; i + 1 < piece.size(); ++i, ++count) {
            sum -= std::log2(probability(piece[i], piece[i + 1]));
        }
    }
    return sum / static_cast<double>(count);
}

}  // namespace examples
