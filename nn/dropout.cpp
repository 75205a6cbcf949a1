#include "nn/dropout.hpp"

#include <random>

namespace xtape::nn {

template <class T>
Var<T> random_mask(Tape<T>& tape, const Shape& shape, double probability, double number, Engine& engine) {
    std::bernoulli_distribution draw(probability);
    const std::size_t count = element_count(shape);
    T* const elements = tape.allocate(count);
    for (std::size_t k = 0; k < count; ++k) elements[k] = draw(engine) ? static_cast<T>(number) : T(0);
    tape.forbid_repeating();  // a repeated step would draw nothing
    return tape.borrow(shape, elements);
}

template Var<float> random_mask(Tape<float>&, const Shape&, double, double, Engine&);
template Var<double> random_mask(Tape<double>&, const Shape&, double, double, Engine&);

}  // namespace xtape::nn
