#pragma once

// What the tests of autograd/ make tensors with and compare them by. Nothing here computes with xtape.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "autograd/xtensor.hpp"
#if __has_include(<xtensor/containers/xarray.hpp>)
#include <xtensor/containers/xarray.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/generators/xbuilder.hpp>
#include <xtensor/misc/xmanipulation.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xarray.hpp>
#include <xtensor/xbuilder.hpp>
#include <xtensor/xmanipulation.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>
#endif

namespace tensors {

using Numbers = xt::xarray<double>;

/// Uniform in (low, high).
template <class T = double>
xt::xarray<T> random(const std::vector<std::size_t>& shape, unsigned seed, double low = -1, double high = 1) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> draw(low, high);
    xt::xarray<T> result = xt::xarray<T>::from_shape(shape);
    for (T& element : result) element = static_cast<T>(draw(engine));
    return result;
}

/// Integers below one another, of shape (n, 1).
inline xt::xarray<int> column(const std::vector<int>& numbers) {
    xt::xarray<int> result = xt::xarray<int>::from_shape({numbers.size(), std::size_t(1)});
    std::copy(numbers.begin(), numbers.end(), result.begin());
    return result;
}

/// The largest difference of two elements at the same place. Infinite if the shapes differ, or where only one is NaN.
template <class A, class B>
double difference(const A& a, const B& b) {
    constexpr double different = std::numeric_limits<double>::infinity();
    if (a.dimension() != b.dimension()) return different;
    for (std::size_t axis = 0; axis < a.dimension(); ++axis) {
        if (a.shape()[axis] != b.shape()[axis]) return different;
    }
    const Numbers left = a;
    const Numbers right = b;
    double largest = 0;
    for (std::size_t i = 0; i < left.size(); ++i) {
        const double x = left.flat(i);
        const double y = right.flat(i);
        if (x == y || (std::isnan(x) && std::isnan(y))) continue;
        const double apart = std::abs(x - y);
        largest = std::isnan(apart) ? different : std::max(largest, apart);
    }
    return largest;
}

}  // namespace tensors
