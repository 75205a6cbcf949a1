#include "nn/adam.hpp"

#include <cmath>
#include <cstddef>
#include <type_traits>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {
namespace {

/// What is remembered of a parameter.
template <class Memories, class Options>
Memories checked_memories(const char* name, const Options& options) {
    detail::check_fraction(name, "beta1", options.beta1);
    detail::check_fraction(name, "beta2", options.beta2);
    detail::check_not_negative(name, "epsilon", options.epsilon);
    detail::check_not_negative(name, "weight_decay", options.weight_decay);
    Memories memories{{"exp_avg"}, {"exp_avg_sq"}};
    if (options.amsgrad) memories.push_back({"max_exp_avg_sq"});
    return memories;
}

/// p ← shrink · p, then a step of Adam with that much decay in the gradient.
template <class Slot, class Options>
void move_by_adam(Slot& slot, const Options& options, double shrink, double decay_in_g) {
    using T = std::remove_pointer_t<decltype(slot.value())>;
    using N = Pack<T>;
    const double t = static_cast<double>(slot.steps);
    const N rate = options.learning_rate / (1 - std::pow(options.beta1, t));
    const N root = 1 / std::sqrt(1 - std::pow(options.beta2, t));
    const N beta1 = options.beta1;
    const N beta2 = options.beta2;
    const N one_less_beta1 = 1 - options.beta1;
    const N one_less_beta2 = 1 - options.beta2;
    const N epsilon = options.epsilon;
    const N shrunk = shrink;
    const N decay = decay_in_g;

    const std::size_t count = slot.size();
    T* const p = slot.value();
    const T* const g = slot.grad();
    T* const m = slot.memory[0].data();
    T* const v = slot.memory[1].data();
    T* const w = options.amsgrad ? slot.memory[2].data() : nullptr;
    // Buffers may be written up to the end of their last vector.
    for (std::size_t k = 0; k < count; k += N::size) {
        const N parameter = shrunk * N::load(p + k);
        const N gradient = N::load(g + k) + decay * parameter;
        const N mean = beta1 * N::load(m + k) + one_less_beta1 * gradient;
        const N square = beta2 * N::load(v + k) + one_less_beta2 * gradient * gradient;
        mean.store(m + k);
        square.store(v + k);
        N divisor = square;
        if (w != nullptr) {
            divisor = maximum(N::load(w + k), square);
            divisor.store(w + k);
        }
        (parameter - rate * mean / (sqrt(divisor) * root + epsilon)).store(p + k);
    }
}

}  // namespace

template <class T>
auto Adam<T>::remembered(const AdamOptions& options) const -> std::vector<Memory> {
    return checked_memories<std::vector<Memory>>("Adam", options);
}

template <class T>
void Adam<T>::move(Slot& slot, const AdamOptions& options) {
    move_by_adam(slot, options, 1, options.weight_decay);
}

template <class T>
auto AdamW<T>::remembered(const AdamWOptions& options) const -> std::vector<Memory> {
    return checked_memories<std::vector<Memory>>("AdamW", options);
}

template <class T>
void AdamW<T>::move(Slot& slot, const AdamWOptions& options) {
    move_by_adam(slot, options, 1 - options.learning_rate * options.weight_decay, 0);
}

template class Adam<float>;
template class Adam<double>;
template class AdamW<float>;
template class AdamW<double>;

}  // namespace xtape::nn
