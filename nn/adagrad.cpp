#include "nn/adagrad.hpp"

#include <cstddef>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
auto Adagrad<T>::remembered(const AdagradOptions& options) const -> std::vector<Memory> {
    detail::check_not_negative("Adagrad", "learning_rate_decay", options.learning_rate_decay);
    detail::check_not_negative("Adagrad", "initial_sum", options.initial_sum);
    detail::check_not_negative("Adagrad", "epsilon", options.epsilon);
    detail::check_not_negative("Adagrad", "weight_decay", options.weight_decay);
    return {{"sum", options.initial_sum}};
}

template <class T>
void Adagrad<T>::move(Slot& slot, const AdagradOptions& options) {
    using N = Pack<T>;
    const double steps_before = static_cast<double>(slot.steps - 1);
    const N rate = options.learning_rate / (1 + steps_before * options.learning_rate_decay);
    const N epsilon = options.epsilon;
    const N decay = options.weight_decay;

    const std::size_t count = slot.size();
    T* const p = slot.value();
    const T* const g = slot.grad();
    T* const s = slot.memory[0].data();
    // Buffers may be written up to the end of their last vector.
    for (std::size_t k = 0; k < count; k += N::size) {
        const N parameter = N::load(p + k);
        const N gradient = N::load(g + k) + decay * parameter;
        const N sum = N::load(s + k) + gradient * gradient;
        sum.store(s + k);
        (parameter - rate * gradient / (sqrt(sum) + epsilon)).store(p + k);
    }
}

template class Adagrad<float>;
template class Adagrad<double>;

}  // namespace xtape::nn
