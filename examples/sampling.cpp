#include "examples/sampling.hpp"

#include <cmath>
#include <stdexcept>
#include <vector>

namespace examples {

Symbol draw(std::span<const float> scores, double temperature, std::mt19937_64& random, std::size_t first) {
    double best = std::nan("");
    for (std::size_t k = first; k < scores.size(); ++k) best = std::fmax(best, scores[k]);
    if (!std::isfinite(best)) throw std::runtime_error("the model's scores aren't finite");
    std::vector<double> weights(scores.size(), 0.0);
    for (std::size_t k = first; k < scores.size(); ++k)
        weights[k] = std::exp((scores[k] - best) / temperature);
    return std::discrete_distribution<Symbol>(weights.begin(), weights.end())(random);
}

}  // namespace examples
