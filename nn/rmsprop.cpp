#include "nn/rmsprop.hpp"

#include <cstddef>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
auto RMSprop<T>::remembered(const RMSpropOptions& options) const -> std::vector<Memory> {
    detail::check_fraction("RMSprop", "alpha", options.alpha);
    detail::check_not_negative("RMSprop", "epsilon", options.epsilon);
    detail::check_not_negative("RMSprop", "momentum", options.momentum);
    detail::check_not_negative("RMSprop", "weight_decay", options.weight_decay);
    std::vector<Memory> memories{{"square_avg"}};
    if (options.momentum != 0) memories.push_back({"momentum_buffer"});
    if (options.centered) memories.push_back({"grad_avg"});
    return memories;
}

template <class T>
void RMSprop<T>::move(Slot& slot, const RMSpropOptions& options) {
    using N = Pack<T>;
    const N rate = options.learning_rate;
    const N alpha = options.alpha;
    const N one_less_alpha = 1 - options.alpha;
    const N epsilon = options.epsilon;
    const N kept = options.momentum;
    const N decay = options.weight_decay;

    const std::size_t count = slot.size();
    T* const p = slot.value();
    const T* const g = slot.grad();
    T* const v = slot.memory[0].data();
    T* const m = options.momentum == 0 ? nullptr : slot.memory[1].data();
    T* const a = options.centered ? slot.memory.back().data() : nullptr;
    // Buffers may be written up to the end of their last vector.
    for (std::size_t k = 0; k < count; k += N::size) {
        const N parameter = N::load(p + k);
        const N gradient = N::load(g + k) + decay * parameter;
        const N square = alpha * N::load(v + k) + one_less_alpha * gradient * gradient;
        square.store(v + k);
        N variance = square;
        if (a != nullptr) {
            const N mean = alpha * N::load(a + k) + one_less_alpha * gradient;
            mean.store(a + k);
            // Of a gradient that stays the same it is 0, and rounding may take it below.
            variance = maximum(square - mean * mean, N(0));
        }
        N update = gradient / (sqrt(variance) + epsilon);
        if (m != nullptr) {
            update += kept * N::load(m + k);
            update.store(m + k);
        }
        (parameter - rate * update).store(p + k);
    }
}

template class RMSprop<float>;
template class RMSprop<double>;

}  // namespace xtape::nn
