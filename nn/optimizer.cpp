#include "nn/optimizer.hpp"

#include <algorithm>
#include <utility>

#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
Optimizer<T>::Optimizer(const char* name, double learning_rate) : name_(name) {
    set_learning_rate(learning_rate);
}

template <class T>
void Optimizer<T>::set_learning_rate(double rate) {
    detail::check_not_negative(name_, "learning_rate", rate);
    learning_rate_ = rate;
}

template <class T>
void Optimizer<T>::add(std::shared_ptr<typename Parameter<T>::Storage> parameter, std::size_t count,
                       double start) {
    std::vector<Array<T>> memory(count);
    for (Array<T>& array : memory) {
        array.resize(parameter->value.shape());
        std::fill_n(array.data(), array.size(), static_cast<T>(start));
    }
    slots_.push_back({std::move(parameter), std::move(memory)});
}

template <class T>
void Optimizer<T>::step() {
    for (Slot& slot : slots_) {
        if (!slot.parameter->has_grad) continue;
        ++slot.steps;
        move(slot);
    }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace xtape::nn
