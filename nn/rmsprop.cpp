#include "nn/rmsprop.hpp"

#include <cstddef>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
RMSprop<T>::RMSprop(RMSpropOptions options)
    : Optimizer<T>("RMSprop", options.learning_rate), options_(options) {
    detail::check_fraction("RMSprop", "alpha", options.alpha);
    detail::check_not_negative("RMSprop", "epsilon", options.epsilon);
    detail::check_not_negative("RMSprop", "momentum", options.momentum);
    detail::check_not_negative("RMSprop", "weight_decay", options.weight_decay);
}

template <class T>
void RMSprop<T>::move(typename Optimizer<T>::Slot& slot) {
    using N = Pack<T>;
    const N rate = this->learning_rate();
    const N alpha = options_.alpha;
    const N one_less_alpha = 1 - options_.alpha;
    const N epsilon = options_.epsilon;
    const N kept = options_.momentum;
    const N decay = options_.weight_decay;

    const std::size_t count = slot.size();
    T* const p = slot.value();
    const T* const g = slot.grad();
    T* const v = slot.memory[0].data();
    T* const m = options_.momentum == 0 ? nullptr : slot.memory[1].data();
    T* const a = options_.centered ? slot.memory.back().data() : nullptr;
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
