#include "examples/adding_sequences.hpp"

#include <random>
#include <stdexcept>
#include <string>

namespace examples {

AddingSequences::AddingSequences(std::size_t T, std::size_t B, xtape::nn::Engine& engine) {
    if (T < 2) {
        throw std::invalid_argument("adding sequences of " + std::to_string(T) +
                                    " steps: expected at least 2, one for each mark");
    }
    xs = xt::zeros<float>({T, B, std::size_t{2}});
    sums = xt::zeros<float>({B, std::size_t{1}});
    std::uniform_real_distribution<float> number(0, 1);
    for (std::size_t b = 0; b < B; ++b) {
        for (std::size_t t = 0; t < T; ++t) xs(t, b, 0) = number(engine);
        for (const std::size_t t : {engine() % (T / 2), T / 2 + engine() % (T - T / 2)}) {
            xs(t, b, 1) = 1;
            sums(b, 0) += xs(t, b, 0);
        }
    }
}

}  // namespace examples
