#include "nn/clip.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace xtape::nn::detail {
namespace {

template <class T>
const T* gradient_of(const Parameter<T>& parameter) {
    return parameter.storage()->grad.data();
}

}  // namespace

template <class T>
double largest_magnitude(const Parameter<T>& parameter) {
    const T* const g = gradient_of(parameter);
    double largest = 0;
    for (std::size_t k = 0; k < parameter.size(); ++k) {
        const double magnitude = std::abs(static_cast<double>(g[k]));
        if (!(magnitude <= largest)) largest = magnitude;
        if (std::isnan(largest)) return largest;
    }
    return largest;
}

template <class T>
double sum_of_squares(const Parameter<T>& parameter, double scale) {
    const T* const g = gradient_of(parameter);
    // Several sums side by side, always the same ones, so that a compiler may use vectors.
    constexpr std::size_t width = 16;
    std::array<double, width> sums{};
    const std::size_t count = parameter.size();
    std::size_t k = 0;
    for (; k + width <= count; k += width) {
        for (std::size_t lane = 0; lane < width; ++lane) {
            const double scaled = static_cast<double>(g[k + lane]) * scale;
            sums[lane] += scaled * scaled;
        }
    }
    for (; k < count; ++k) {
        const double scaled = static_cast<double>(g[k]) * scale;
        sums[0] += scaled * scaled;
    }
    double sum = 0;
    for (double part : sums) sum += part;
    return sum;
}

template <class T>
void scale_gradient(Parameter<T>& parameter, double factor) {
    T* const g = parameter.grad_data();
    for (std::size_t k = 0; k < parameter.size(); ++k) g[k] *= static_cast<T>(factor);
}

template <class T>
void clamp_gradient(Parameter<T>& parameter, double bound) {
    T* const g = parameter.grad_data();
    for (std::size_t k = 0; k < parameter.size(); ++k)
        g[k] = std::clamp(g[k], static_cast<T>(-bound), static_cast<T>(bound));
}

#define XTAPE_INSTANTIATE(T)                                     \
    template double largest_magnitude(const Parameter<T>&);      \
    template double sum_of_squares(const Parameter<T>&, double); \
    template void scale_gradient(Parameter<T>&, double);         \
    template void clamp_gradient(Parameter<T>&, double);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::nn::detail
