#include "autograd/matmul.hpp"

#include <string>

#include "autograd/contraction.hpp"
#include "autograd/gemm.hpp"
#include "autograd/reductions.hpp"
#include "autograd/sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

template <class T>
[[noreturn]] void throw_mismatch(const Var<T>& a, const Var<T>& b) {
    throw ShapeError("[matmul] shapes " + to_string(a.shape()) + " and " + to_string(b.shape()) +
                     " do not multiply: the last axis of the left one must be as long as the " +
                     (b.rank() < 2 ? "axis" : "second-last axis") + " of the right one");
}

/// (..., M, K) · (..., K, N) with leading axes that broadcast, one product for each of them.
template <class T>
Var<T> batched_matmul(const Var<T>& a, const Var<T>& b) {
    Tape<T>& tape = a.tape();
    const auto split_shape = [](Shape shape) {
        Shape matrix{shape[shape.size() - 2], shape.back()};
        shape.erase(shape.size() - 1);
        shape.erase(shape.size() - 1);
        return std::pair(shape, matrix);
    };
    const auto [a_batch, a_matrix] = split_shape(a.shape());
    const auto [b_batch, b_matrix] = split_shape(b.shape());
    const Shape batch = broadcast_shapes("matmul", a_batch, b_batch);
    Shape shape = batch;
    shape.push_back(a_matrix[0]);
    shape.push_back(b_matrix[1]);

    T* const value = tape.allocate(element_count(shape));
    const auto repeated = [&](const Var<T>& x, const Shape& matrix) {
        Shape whole = batch;
        whole.push_back(matrix[0]);
        whole.push_back(matrix[1]);
        const Node<T>& node = tape.node(x);
        return broadcast_strides(node.shape, node.full_strides(), whole);
    };
    const Strides a_strides = repeated(a, a_matrix);
    const Strides b_strides = repeated(b, b_matrix);
    const std::size_t rank = batch.size();
    const std::size_t slice = a_matrix[0] * b_matrix[1];
    for (std::size_t k = 0; k < element_count(batch); ++k) {
        std::ptrdiff_t a_offset = 0;
        std::ptrdiff_t b_offset = 0;
        std::size_t rest = k;
        for (std::size_t axis = rank; axis-- > 0;) {
            const auto at = static_cast<std::ptrdiff_t>(rest % batch[axis]);
            rest /= batch[axis];
            a_offset += at * a_strides[axis];
            b_offset += at * b_strides[axis];
        }
        gemm<T>(MatrixView<const T>(tape.node(a).value + a_offset, a_matrix[0], a_matrix[1], a_strides[rank],
                                    a_strides[rank + 1]),
                MatrixView<const T>(tape.node(b).value + b_offset, b_matrix[0], b_matrix[1], b_strides[rank],
                                    b_strides[rank + 1]),
                T(0), MatrixView<T>(value + k * slice, a_matrix[0], b_matrix[1]));
    }
    static constexpr Rule<T> rule{"batched_matmul", [](Pull<T>& node) {
                                      const Var<T> dy = node.gradient();
                                      if (node.wants(0))
                                          node.add(0, batched_matmul(dy, transpose(node.input(1))));
                                      if (node.wants(1))
                                          node.add(1, batched_matmul(transpose(node.input(0)), dy));
                                  }};
    return tape.record(rule, {a, b}, shape, value);
}

/// (..., K) · (K, N)
template <class T>
Shape product_shape(const Var<T>& a, const Var<T>& b) {
    Shape shape = a.shape();
    shape.set(shape.size() - 1, b.shape()[1]);
    return shape;
}

}  // namespace

template <class T>
Affine<T> matmul(const Var<T>& a, const Var<T>& b) {
    a.tape().node(b);  // of one tape
    Affine<T> result;
    if (a.rank() == 0 || b.rank() == 0) throw_mismatch(a, b);
    if (b.rank() == 1) {
        if (a.shape().back() != b.shape()[0]) throw_mismatch(a, b);
        result.add_addend(squeeze(Var<T>(matmul(a, unsqueeze(b, -1))), {-1}));
        return result;
    }
    if (a.shape().back() != b.shape()[b.rank() - 2]) throw_mismatch(a, b);
    if (b.rank() == 2) {
        result.add_product(a.rank() > 2 ? contiguous(a) : a, b);
    } else if (a.rank() == 1) {
        result.add_addend(squeeze(batched_matmul(unsqueeze(a, 0), b), {-2}));
    } else {
        result.add_addend(batched_matmul(a, b));
    }
    return result;
}

template <class T>
void Affine<T>::add(const Affine& other) {
    for (std::size_t j = 0; j < other.product_count; ++j)
        add_product(other.products[j].a, other.products[j].b);
    for (std::size_t k = 0; k < other.addend_count; ++k) add_addend(other.addends[k]);
}

template <class T>
void Affine<T>::add_product(const Var<T>& a, const Var<T>& b) {
    if (product_count == max_products) {
        const Var<T> so_far = *this;
        *this = Affine();
        add_addend(so_far);
    }
    products[product_count++] = {a, b};
}

template <class T>
void Affine<T>::add_addend(const Var<T>& x) {
    if (addend_count == max_addends) {
        const Var<T> so_far = *this;
        *this = Affine();
        add_addend(so_far);
    }
    addends[addend_count++] = x;
}

template <class T>
Affine<T>::operator Var<T>() const {
    if (product_count == 0) {
        Var<T> sum = addends[0];
        for (std::size_t k = 1; k < addend_count; ++k) sum = sum + addends[k];
        return sum;
    }
    Tape<T>& tape = products[0].a.tape();
    const Shape shape = product_shape(products[0].a, products[0].b);
    const bool one_shape = [&] {
        for (std::size_t j = 1; j < product_count; ++j) {
            if (product_shape(products[j].a, products[j].b) != shape) return false;
        }
        for (std::size_t k = 0; k < addend_count; ++k) {
            if (!broadcasts_to(tape.node(addends[k]).shape, shape)) return false;
        }
        return true;
    }();
    if (one_shape) return record_affine(tape, *this, shape);

    Affine one_node;
    Var<T> rest;
    const auto add_apart = [&](const Var<T>& x) { rest = rest ? Var<T>(rest + x) : x; };
    for (std::size_t j = 0; j < product_count; ++j) {
        const auto& [a, b] = products[j];
        if (product_shape(a, b) != shape) {
            Affine alone;
            alone.add_product(a, b);
            add_apart(alone);
        } else {
            one_node.add_product(a, b);
        }
    }
    for (std::size_t k = 0; k < addend_count; ++k) {
        if (broadcasts_to(tape.node(addends[k]).shape, shape))
            one_node.add_addend(addends[k]);
        else
            add_apart(addends[k]);
    }
    const Var<T> result = record_affine(tape, one_node, shape);
    return rest ? Var<T>(result + rest) : result;
}

template class Affine<float>;
template class Affine<double>;
template Affine<float> matmul(const Var<float>&, const Var<float>&);
template Affine<double> matmul(const Var<double>&, const Var<double>&);

}  // namespace xtape
