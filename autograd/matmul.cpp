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
Shape product_shape(const Shape& a, const Shape& b) {
    Shape shape = a;
    shape.set(shape.size() - 1, b[1]);
    return shape;
}

bool is_product_shape(const Shape& shape, const Shape& a, const Shape& b) {
    if (shape.size() != a.size() || shape.back() != b[1]) return false;
    for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) {
        if (shape[axis] != a[axis]) return false;
    }
    return true;
}

/// By anything but a matrix.
template <class T>
Var<T> matmul_apart(const Var<T>& a, const Var<T>& b) {
    if (b.rank() == 1) return squeeze(Var<T>(matmul(a, unsqueeze(b, -1))), {-1});
    if (a.rank() == 1) return squeeze(batched_matmul(unsqueeze(a, 0), b), {-2});
    return batched_matmul(a, b);
}

}  // namespace

template <class T>
Affine<T> matmul(const Var<T>& a, const Var<T>& b) {
    Tape<T>& tape = a.tape();
    const Shape& right = tape.node(b).shape;
    const Shape& left = tape.node(a).shape;
    if (left.empty() || right.empty()) throw_mismatch(a, b);
    if (left.back() != right[right.size() == 1 ? 0 : right.size() - 2]) throw_mismatch(a, b);
    Affine<T> result;
    if (right.size() != 2)
        result.add_addend(matmul_apart(a, b));
    else if (left.size() > 2)
        result.add_product(contiguous(a), b);
    else
        result.add_product(a, b);
    return result;
}

template <class T>
void Affine<T>::merge() {
    const Var<T> so_far = *this;
    product_count = addend_count = 0;
    add_addend(so_far);
}

template <class T>
Affine<T>::operator Var<T>() const {
    if (product_count == 0) {
        Var<T> sum = first_addend();
        for (std::size_t k = 1; k < addend_count; ++k) sum = sum + addends[k];
        return sum;
    }
    Tape<T>& tape = products[0].a.tape();
    const auto shape_of = [&](const Var<T>& x) -> const Shape& { return tape.node(x).shape; };
    const Shape shape = product_shape(shape_of(products[0].a), shape_of(products[0].b));
    const auto fits = [&](const Product& product) {
        return is_product_shape(shape, shape_of(product.a), shape_of(product.b));
    };
    const bool one_shape = [&] {
        for (std::size_t j = 1; j < product_count; ++j) {
            if (!fits(products[j])) return false;
        }
        for (std::size_t k = 0; k < addend_count; ++k) {
            if (!broadcasts_to(shape_of(addends[k]), shape)) return false;
        }
        return true;
    }();
    if (one_shape) return record_affine(tape, *this, shape);

    Affine one_node;
    Var<T> rest;
    const auto add_apart = [&](const Var<T>& x) { rest = rest ? Var<T>(rest + x) : x; };
    for (std::size_t j = 0; j < product_count; ++j) {
        const auto& [a, b] = products[j];
        if (fits(products[j])) {
            one_node.add_product(a, b);
        } else {
            Affine alone;
            alone.add_product(a, b);
            add_apart(alone);
        }
    }
    for (std::size_t k = 0; k < addend_count; ++k) {
        if (broadcasts_to(shape_of(addends[k]), shape))
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
