#include "nn/initialize.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace xtape::nn {

std::function<double()> detail::normal_numbers(double deviation, Engine& engine) {
    return
        [&engine, draw = std::normal_distribution<double>(0.0, deviation)]() mutable { return draw(engine); };
}

std::function<double()> detail::uniform_numbers(double bound, Engine& engine) {
    return [&engine, draw = std::uniform_real_distribution<double>(-bound, bound)]() mutable {
        return draw(engine);
    };
}

namespace {

struct Fan {
    double inputs, outputs;
};

template <class T>
Fan fan_of(const char* initializer, const Parameter<T>& weight) {
    if (weight.shape().size() != 2) {
        throw ShapeError(std::string("[") + initializer + "] a parameter of shape " +
                         to_string(weight.shape()) + ": expected a matrix (outputs, inputs)");
    }
    return {static_cast<double>(weight.shape()[1]), static_cast<double>(weight.shape()[0])};
}

}  // namespace

template <class T>
void xavier_normal(Parameter<T>& weight, Engine& engine, double gain) {
    const Fan fan = fan_of("xavier_normal", weight);
    normal(weight, gain * std::sqrt(2 / (fan.inputs + fan.outputs)), engine);
}

template <class T>
void xavier_uniform(Parameter<T>& weight, Engine& engine, double gain) {
    const Fan fan = fan_of("xavier_uniform", weight);
    uniform(weight, gain * std::sqrt(6 / (fan.inputs + fan.outputs)), engine);
}

template <class T>
void kaiming_normal(Parameter<T>& weight, Engine& engine) {
    normal(weight, std::sqrt(2 / fan_of("kaiming_normal", weight).inputs), engine);
}

template <class T>
void kaiming_uniform(Parameter<T>& weight, Engine& engine) {
    uniform(weight, std::sqrt(6 / fan_of("kaiming_uniform", weight).inputs), engine);
}

template <class T>
void orthogonal(Parameter<T>& weight, Engine& engine, double gain) {
    fan_of("orthogonal", weight);
    const std::size_t rows = weight.shape()[0];
    const std::size_t cols = weight.shape()[1];
    const std::size_t count = std::min(rows, cols);
    const std::size_t length = std::max(rows, cols);

    // Normal vectors made orthonormal one after the other; the second pass removes what rounding left of the first.
    std::normal_distribution<double> draw;
    std::vector<double> vectors(count * length);
    for (double& element : vectors) element = draw(engine);
    for (std::size_t k = 0; k < count; ++k) {
        double* const v = &vectors[k * length];
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t j = 0; j < k; ++j) {
                const double* const u = &vectors[j * length];
                double product = 0;
                for (std::size_t i = 0; i < length; ++i) product += u[i] * v[i];
                for (std::size_t i = 0; i < length; ++i) v[i] -= product * u[i];
            }
            double square = 0;
            for (std::size_t i = 0; i < length; ++i) square += v[i] * v[i];
            for (std::size_t i = 0; i < length; ++i) v[i] /= std::sqrt(square);
        }
    }
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t col = 0; col < cols; ++col) {
            const double element = rows <= cols ? vectors[row * length + col] : vectors[col * length + row];
            weight.data()[row * cols + col] = static_cast<T>(gain * element);
        }
    }
}

#define XTAPE_INSTANTIATE(T)                                      \
    template void xavier_normal(Parameter<T>&, Engine&, double);  \
    template void xavier_uniform(Parameter<T>&, Engine&, double); \
    template void kaiming_normal(Parameter<T>&, Engine&);         \
    template void kaiming_uniform(Parameter<T>&, Engine&);        \
    template void orthogonal(Parameter<T>&, Engine&, double);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::nn
