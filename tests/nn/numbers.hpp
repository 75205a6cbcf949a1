#pragma once

// What the tests of nn/ compute their expectations with: small matrices in double, nothing of xtape.

#include <array>
#include <cmath>
#include <cstddef>
#include <random>

#include "autograd/xtensor.hpp"
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include "autograd/parameter.hpp"
#include "autograd/var.hpp"

namespace numbers {

using Vector = xt::xtensor<double, 1>;
using Matrix = xt::xtensor<double, 2>;
using Sequence = xt::xtensor<double, 3>;  // (T, B, D)

/// Normal with mean 0 and deviation `scale`.
template <std::size_t rank>
xt::xtensor<double, rank> random(std::mt19937_64& engine, const std::array<std::size_t, rank>& shape,
                                 double scale = 1) {
    std::normal_distribution<double> draw(0, scale);
    xt::xtensor<double, rank> result = xt::zeros<double>(shape);
    for (double& element : result) element = draw(engine);
    return result;
}

/// a b, written out.
inline Matrix product(const Matrix& a, const Matrix& b) {
    Matrix result = xt::zeros<double>(std::array{a.shape(0), b.shape(1)});
    for (std::size_t i = 0; i < a.shape(0); ++i)
        for (std::size_t k = 0; k < a.shape(1); ++k)
            for (std::size_t j = 0; j < b.shape(1); ++j) result(i, j) += a(i, k) * b(k, j);
    return result;
}

inline Matrix transposed(const Matrix& a) { return xt::transpose(a); }

/// The sum over samples: (B, N) to (N).
inline Vector column_sums(const Matrix& a) { return xt::sum(a, {0}); }

inline Matrix sigma(const Matrix& x) { return 1 / (1 + xt::exp(-x)); }

inline Matrix rows(const Matrix& a, std::size_t begin, std::size_t end) {
    return xt::view(a, xt::range(begin, end), xt::all());
}
inline Matrix columns(const Matrix& a, std::size_t begin, std::size_t end) {
    return xt::view(a, xt::all(), xt::range(begin, end));
}
inline Matrix step(const Sequence& xs, std::size_t t) { return xt::view(xs, t, xt::all(), xt::all()); }

/// Frobenius.
template <class E>
double norm(const E& x) {
    double sum = 0;
    for (double element : x) sum += element * element;
    return std::sqrt(sum);
}

/// The largest difference; infinite if the shapes differ.
template <class A, class B>
double distance(const A& a, const B& b) {
    if (a.dimension() != b.dimension()) return INFINITY;
    for (std::size_t axis = 0; axis < a.dimension(); ++axis)
        if (a.shape(axis) != b.shape(axis)) return INFINITY;
    double largest = 0;
    auto y = b.template begin<xt::layout_type::row_major>();
    for (auto x = a.template begin<xt::layout_type::row_major>();
         x != a.template end<xt::layout_type::row_major>(); ++x, ++y) {
        const double difference = std::abs(*x - *y);
        if (!(difference <= largest)) largest = difference;
    }
    return largest;
}

inline Matrix matrix(const xtape::Parameter<double>& p) { return p.value(); }
inline Vector vector(const xtape::Parameter<double>& p) { return p.value(); }
inline Matrix matrix(const xtape::Var<double>& v) { return v.value(); }

/// What "equal" means for two ways of computing one formula in double.
inline constexpr double tolerance = 1e-10;

}  // namespace numbers
