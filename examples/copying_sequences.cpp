#include "examples/copying_sequences.hpp"

#include <stdexcept>

namespace examples {

CopyingSequences::CopyingSequences(std::size_t T, std::size_t B, xtape::nn::Engine& engine) {
    if (T == 0) throw std::invalid_argument("copying sequences with a delay of 0 steps: expected at least 1");
    const std::size_t length = T + 2 * copied;
    reads = xt::ones<std::int32_t>({length, B}) * blank;
    says = xt::ones<std::int32_t>({length, B}) * blank;
    for (std::size_t b = 0; b < B; ++b) {
        for (std::size_t t = 0; t < copied; ++t) {
            const auto symbol = static_cast<std::int32_t>(engine() % symbols);
            reads(t, b) = symbol;
            says(T + copied + t, b) = symbol;
        }
        reads(T + copied - 1, b) = mark;
    }
}

}  // namespace examples
