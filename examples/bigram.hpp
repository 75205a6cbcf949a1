#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "examples/text.hpp"

namespace examples {

/// The probability of a symbol given the one before it, from counts:
///
///     P(b | a) = (c(a,b) + α u(b)) / (c(a) + α),   u(b) = (c(b) + 1) / (N + V),
///
/// where c(a) counts a with a successor, c(b) counts b as a successor, and N is the number of pairs. α says
/// how many pairs must have been seen after `a` before they weigh more than the frequency of b alone. It is
/// the one that maximises the leave-one-out likelihood of the training sequence itself, in which each pair is
/// predicted from all others:
///
///     Σ_{a,b} c(a,b) log [(c(a,b) − 1 + α u(b)) / (c(a) − 1 + α)].
///
/// MacKay & Bauman Peto (1995), "A hierarchical Dirichlet language model".
class Bigram {
public:
    /// Counts the pairs of a sequence of symbols below `vocabulary`. Throws std::invalid_argument for one
    /// without a pair, or a symbol outside.
    Bigram(std::span<const Symbol> training, std::size_t vocabulary);

    double probability(Symbol before, Symbol symbol) const;

    /// Bits per symbol, Σ −log₂ P(symbol | before) / count, over all pairs inside the pieces: the conditional
    /// entropy H(next | current) of the pieces under this model.
    double bits(const std::vector<std::vector<Symbol>>& pieces) const;

    double alpha() const { return alpha_; }
    /// What α maximises, in nats, for another α.
    double leave_one_out(double alpha) const;

private:
    std::uint64_t pairs(Symbol a, Symbol b) const {
        return pairs_[static_cast<std::size_t>(a) * vocabulary_ + static_cast<std::size_t>(b)];
    }

    std::size_t vocabulary_;
    std::vector<std::uint64_t> pairs_;   // c(a,b)
    std::vector<std::uint64_t> before_;  // c(a)
    std::vector<double> frequency_;      // u(b)
    double alpha_ = 1;
};

}  // namespace examples
