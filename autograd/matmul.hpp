#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <new>

#include "autograd/products.hpp"
#include "autograd/statement.hpp"

namespace xtape {

/// A sum of matrix products and addends that isn't computed yet: `matmul(x, U) + matmul(h, W) + b`. Assigned to a Var,
/// or used in any other expression, it becomes one value, into which every product is accumulated in place.
template <class T>
class Affine {
public:
    using value_type = T;

    Affine() {}
    Affine(const Affine& other) { add(other); }
    Affine& operator=(const Affine& other) {
        if (this == &other) return *this;
        product_count = addend_count = 0;
        add(other);
        return *this;
    }

    /// One node if the parts have one shape (addends may broadcast to it), else a sum of several.
    operator Var<T>() const;  // NOLINT(google-explicit-constructor)

    Tape<T>& tape() const { return (product_count > 0 ? products[0].a : first_addend()).tape(); }

    void add(const Affine& other) {
        for (std::size_t j = 0; j < other.product_count; ++j)
            add_product(other.products[j].a, other.products[j].b);
        for (std::size_t k = 0; k < other.addend_count; ++k) add_addend(other.addends[k]);
    }
    void add_product(const Var<T>& a, const Var<T>& b) {
        if (product_count == max_products) merge();
        new (&products[product_count++]) Product{a, b};
    }
    void add_addend(const Var<T>& x) {
        if (addend_count == max_addends) merge();
        new (&addends[addend_count++]) Var<T>(x);
    }

    struct Product {
        Var<T> a, b;
    };
    // Each step of a recurrence makes and copies several sums: what isn't in use is neither initialised nor copied.
    union {
        std::array<Product, max_products> products;
    };
    union {
        std::array<Var<T>, max_addends> addends;
    };
    std::size_t product_count = 0;
    std::size_t addend_count = 0;

private:
    Var<T> first_addend() const { return addend_count > 0 ? addends[0] : Var<T>(); }
    /// What was added so far, as one addend.
    void merge();
};

/// The matrix product, as NumPy's: (..., M, K) · (..., K, N) → (..., M, N), leading axes broadcast; a 1-D operand is a
/// row on the left, a column on the right, and the result lacks that axis. Operands may be transposed views; nothing is
/// copied for that. dA = dY Bᵀ, dB = Aᵀ dY.
///
/// Throws ShapeError unless the inner extents are equal, and for scalars.
///
/// A matrix on the right that is used many times, as a weight in each step of a recurrence, receives its gradient in
/// a few large products after the steps that used it. If on the left stands a step xs[t] of a sequence, the product is
/// computed for a block of steps at once.
template <class T>
Affine<T> matmul(const Var<T>& a, const Var<T>& b);
template <Tensor A, Tensor B>
requires(!(is_var<A> && is_var<B>)) auto matmul(const A& a, const B& b) {
    using T = common_value<A, B>;
    return matmul<T>(Var<T>(a), Var<T>(b));
}

template <class A, class B>
concept AffinePair = Operand<A> && Operand<B> &&(is_affine<A> || is_affine<B>);

template <class A, class B>
requires AffinePair<A, B>
auto operator+(const A& a, const B& b) {
    using T = common_value<A, B>;
    // A number needs a tape to be put on, so the sum of products comes first.
    if constexpr (is_affine<A>) {
        Affine<T> sum = a;
        if constexpr (is_affine<B>)
            sum.add(b);
        else if constexpr (std::is_arithmetic_v<B>)
            sum.add_addend(a.tape().constant(b));
        else
            sum.add_addend(Var<T>(b));
        return sum;
    } else {
        return b + a;
    }
}

extern template class Affine<float>;
extern template class Affine<double>;

}  // namespace xtape
