#include "nn/checkpointing.hpp"

namespace xtape::nn {

CheckpointPlan plan_checkpoints(std::size_t steps, std::size_t bytes_per_step,
                                std::size_t bytes_per_checkpoint, std::size_t memory) {
    if (steps == 0) throw std::invalid_argument("[unroll] a plan for no steps: expected at least one");
    const auto with = [&](std::size_t every) -> CheckpointPlan {
        const std::size_t checkpoints = (steps + every - 1) / every;
        return {every, checkpoints, every * bytes_per_step + checkpoints * bytes_per_checkpoint};
    };
    // Fewer segments hold fewer states, longer ones more steps: the least is where both take the same.
    const double least = std::sqrt(static_cast<double>(steps) * static_cast<double>(bytes_per_checkpoint) /
                                   static_cast<double>(std::max<std::size_t>(bytes_per_step, 1)));
    std::size_t every = std::clamp<std::size_t>(static_cast<std::size_t>(least), 1, steps);
    if (with(every).bytes > memory) {
        throw std::invalid_argument("[unroll] " + std::to_string(memory) + " bytes for " +
                                    std::to_string(steps) + " steps: expected at least " +
                                    std::to_string(with(every).bytes));
    }
    std::size_t too_long = steps + 1;
    while (too_long - every > 1) {
        const std::size_t middle = every + (too_long - every) / 2;
        (with(middle).bytes <= memory ? every : too_long) = middle;
    }
    return with(every);
}

}  // namespace xtape::nn
