#include "nn/sgd.hpp"

#include <cstddef>
#include <stdexcept>

#include "autograd/pack.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
auto SGD<T>::remembered(const SGDOptions& options) const -> std::vector<Memory> {
    detail::check_not_negative("SGD", "momentum", options.momentum);
    detail::check_probability("SGD", "dampening", options.dampening);
    detail::check_not_negative("SGD", "weight_decay", options.weight_decay);
    if (options.nesterov && options.momentum == 0)
        throw std::invalid_argument("[SGD] nesterov without momentum: expected a momentum above 0");
    if (options.nesterov && options.dampening != 0)
        throw std::invalid_argument("[SGD] nesterov with dampening: expected a dampening of 0");
    if (options.momentum == 0) return {};
    return {{"momentum_buffer"}};
}

template <class T>
void SGD<T>::move(Slot& slot, const SGDOptions& options) {
    using N = Pack<T>;
    const N rate = options.learning_rate;
    const N decay = options.weight_decay;
    const N mu = options.momentum;
    const N taken = slot.steps == 1 ? 1 : 1 - options.dampening;

    const std::size_t count = slot.size();
    T* const p = slot.value();
    const T* const g = slot.grad();
    // Buffers may be written up to the end of their last vector.
    if (slot.memory.empty()) {
        for (std::size_t k = 0; k < count; k += N::size) {
            const N parameter = N::load(p + k);
            (parameter - rate * (N::load(g + k) + decay * parameter)).store(p + k);
        }
        return;
    }
    T* const m = slot.memory[0].data();
    for (std::size_t k = 0; k < count; k += N::size) {
        const N parameter = N::load(p + k);
        const N gradient = N::load(g + k) + decay * parameter;
        const N momentum = mu * N::load(m + k) + taken * gradient;
        momentum.store(m + k);
        (parameter - rate * (options.nesterov ? gradient + mu * momentum : momentum)).store(p + k);
    }
}

template class SGD<float>;
template class SGD<double>;

}  // namespace xtape::nn
