#include "examples/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace examples {

Symbol draw(std::span<const float> scores, double temperature, std::mt19937_64& random, std::size_t first) {
    const double best = *std::max_element(scores.begin() + static_cast<std::ptrdiff_t>(first), scores.end());
    std::vector<double> weights(scores.size(), 0.0);
    for (std::size_t k = first; k < scores.size(); ++k)
        weights[k] = std::exp((scores[k] - best) / temperature);
    return std::discrete_distribution<Symbol>(weights.begin(), weights.end())(random);
}

}  // namespace examples
