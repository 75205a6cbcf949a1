#include "nn/optimizer.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "nn/options.hpp"

namespace xtape::nn {

template <class T>
std::size_t Optimizer<T>::checked(std::size_t group) const {
    if (group < groups_.size()) return group;
    throw IndexError(std::string("[") + name_ + "] group " + std::to_string(group) + " of " +
                     std::to_string(groups_.size()) + ", counted from 0");
}

template <class T>
void Optimizer<T>::set_learning_rate(double rate) {
    detail::check_not_negative(name_, "learning_rate", rate);
    const double first = groups_[0].made_with;
    if (groups_.size() > 1 && first == 0) {
        throw std::invalid_argument(std::string("[") + name_ +
                                    "] a learning rate for all groups, of which the first was made with 0: "
                                    "expected a rate that the others have a proportion to");
    }
    groups_[0].learning_rate = rate;
    for (std::size_t k = 1; k < groups_.size(); ++k)
        groups_[k].learning_rate = rate * (groups_[k].made_with / first);
}

template <class T>
void Optimizer<T>::set_learning_rate(double rate, std::size_t group) {
    detail::check_not_negative(name_, "learning_rate", rate);
    groups_[checked(group)].learning_rate = rate;
}

template <class T>
typename Optimizer<T>::Slot Optimizer<T>::slot(const std::string& path,
                                               std::shared_ptr<typename Parameter<T>::Storage> parameter,
                                               const std::vector<Memory>& memories) const {
    for (const Slot& other : slots_) {
        if (other.parameter == parameter) {
            throw std::invalid_argument(
                std::string("[") + name_ + "] " + (path.empty() ? "the parameter" : path) +
                " is in a group already: expected each parameter, and of tied ones one, in one group");
        }
    }
    Slot made{std::move(parameter), groups_.size(), prefix(groups_.size()) + path + (path.empty() ? "" : "."),
              std::vector<Array<T>>(memories.size())};
    for (std::size_t k = 0; k < memories.size(); ++k) {
        Array<T>& array = made.memory[k];
        array.resize(made.parameter->value.shape());
        std::fill_n(array.data(), array.size(), static_cast<T>(memories[k].start));
    }
    return made;
}

template <class T>
void Optimizer<T>::add(std::vector<Slot> slots, double learning_rate, const std::vector<Memory>& memories) {
    detail::check_not_negative(name_, "learning_rate", learning_rate);
    Group group{learning_rate, learning_rate, {}};
    for (const Memory& memory : memories) group.names.push_back(memory.name);
    slots_.reserve(slots_.size() + slots.size());
    groups_.push_back(std::move(group));
    std::ranges::move(slots, std::back_inserter(slots_));
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
