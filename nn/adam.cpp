#include "nn/adam.hpp"

#include <cmath>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
Adam<T>::Adam(AdamOptions options) : options_(options) {
    detail::check_not_negative("Adam", "learning_rate", options.learning_rate);
    detail::check_fraction("Adam", "beta1", options.beta1);
    detail::check_fraction("Adam", "beta2", options.beta2);
    detail::check_not_negative("Adam", "epsilon", options.epsilon);
    detail::check_not_negative("Adam", "weight_decay", options.weight_decay);
}

template <class T>
void Adam<T>::set_learning_rate(double rate) {
    detail::check_not_negative("Adam", "learning_rate", rate);
    options_.learning_rate = rate;
}

template <class T>
void Adam<T>::step() {
    using N = Pack<T>;
    const N beta1 = options_.beta1;
    const N beta2 = options_.beta2;
    const N one_less_beta1 = 1 - options_.beta1;
    const N one_less_beta2 = 1 - options_.beta2;
    const N epsilon = options_.epsilon;
    const N decay = options_.weight_decay;
    for (Slot& slot : slots_) {
        if (!slot.parameter->has_grad) continue;
        const double t = static_cast<double>(++slot.steps);
        const N rate = options_.learning_rate / (1 - std::pow(options_.beta1, t));
        const N root = 1 / std::sqrt(1 - std::pow(options_.beta2, t));

        T* const p = slot.parameter->value.data();
        const T* const g = slot.parameter->grad.data();
        T* const m = slot.mean.data();
        T* const v = slot.square.data();
        // Buffers may be written up to the end of their last vector.
        for (std::size_t k = 0; k < slot.mean.size(); k += N::size) {
            const N parameter = N::load(p + k);
            const N gradient = N::load(g + k) + decay * parameter;
            const N mean = beta1 * N::load(m + k) + one_less_beta1 * gradient;
            const N square = beta2 * N::load(v + k) + one_less_beta2 * gradient * gradient;
            mean.store(m + k);
            square.store(v + k);
            (parameter - rate * mean / (sqrt(square) * root + epsilon)).store(p + k);
        }
    }
}

template class Adam<float>;
template class Adam<double>;

}  // namespace xtape::nn
