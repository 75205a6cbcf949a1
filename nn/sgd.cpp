#include "nn/sgd.hpp"

#include <algorithm>
#include <stdexcept>

#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
SGD<T>::SGD(SGDOptions options) : options_(options) {
    detail::check_not_negative("SGD", "learning_rate", options.learning_rate);
    detail::check_not_negative("SGD", "momentum", options.momentum);
    detail::check_not_negative("SGD", "weight_decay", options.weight_decay);
    if (options.nesterov && options.momentum == 0)
        throw std::invalid_argument("[SGD] nesterov without momentum: expected a momentum above 0");
}

template <class T>
void SGD<T>::set_learning_rate(double rate) {
    detail::check_not_negative("SGD", "learning_rate", rate);
    options_.learning_rate = rate;
}

template <class T>
void SGD<T>::step() {
    const T rate = static_cast<T>(options_.learning_rate);
    const T mu = static_cast<T>(options_.momentum);
    const T decay = static_cast<T>(options_.weight_decay);
    for (Slot& slot : slots_) {
        if (!slot.parameter->has_grad) continue;
        const std::size_t count = slot.parameter->value.size();
        T* const p = slot.parameter->value.data();
        const T* const g = slot.parameter->grad.data();
        if (mu == 0) {
            for (std::size_t k = 0; k < count; ++k) p[k] -= rate * (g[k] + decay * p[k]);
            continue;
        }
        const bool first = slot.momentum.data() == nullptr;
        if (first) slot.momentum = Array<T>(slot.parameter->value.shape());
        T* const m = slot.momentum.data();
        for (std::size_t k = 0; k < count; ++k) {
            const T gradient = g[k] + decay * p[k];
            m[k] = mu * m[k] + gradient;
            p[k] -= rate * (options_.nesterov ? gradient + mu * m[k] : m[k]);
        }
    }
}

template class SGD<float>;
template class SGD<double>;

}  // namespace xtape::nn
