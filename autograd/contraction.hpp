#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "autograd/matmul.hpp"

// Sums of products Σ_j a_j b_j + addends as one node. Forward (contraction.cpp), every product is accumulated into the
// node's value. Backward (contraction_gradient.cpp), each a_j receives dy b_jᵀ at once, while the dy of many uses of the
// same b_j wait side by side in a chunk, see products.hpp, until b_j receives a_jᵀ dy for all of them as one product.

namespace xtape {

/// Computes a sum of products and records it as one node. Each left operand's leading axes must merge into rows, each
/// right operand is a matrix, and every addend broadcasts to `shape`.
template <class T>
Var<T> record_affine(Tape<T>& tape, const Affine<T>& affine, const Shape& shape);

namespace detail {

/// How such a node hands its gradient on.
template <class T>
const Rule<T>& affine_rule();

/// A tensor's leading axes as the rows of a matrix, if strides allow it.
template <class T>
std::optional<MatrixView<T>> as_rows(T* data, const Shape& shape, const Strides& strides) {
    const std::size_t cols = shape.back();
    if (shape.size() == 1) return MatrixView<T>(data, 1, cols, static_cast<std::ptrdiff_t>(cols), strides[0]);
    if (shape.size() == 2) return MatrixView<T>(data, shape[0], cols, strides[0], strides[1]);
    Shape leading = shape;
    Strides leading_strides = strides;
    leading.erase(shape.size() - 1);
    leading_strides.erase(shape.size() - 1);
    const std::size_t rows = element_count(leading);
    const auto flat = reshaped_strides(leading, leading_strides, Shape{rows});
    if (!flat) return std::nullopt;
    return MatrixView<T>(data, rows, cols, (*flat)[0], strides.back());
}

template <class T>
MatrixView<const T> matrix_of(const Node<T>& node) {
    if (node.shape.size() == 2) {
        const bool dense = node.is_dense();
        return {node.value, node.shape[0], node.shape[1],
                dense ? static_cast<std::ptrdiff_t>(node.shape[1]) : (*node.strides)[0],
                dense ? 1 : (*node.strides)[1]};
    }
    return *as_rows<const T>(node.value, node.shape, node.full_strides());
}

/// The packed form of b, if there is one already or it pays for the `uses` products of `rows` rows expected; else null.
/// Valid until the next call.
template <class T>
const PackedMatrix<T>* packed_form(Tape<T>& tape, MatrixView<const T> b, NodeIndex b_owner, std::size_t rows,
                                   std::size_t uses, bool plus_row = false);

/// Whether products a and b, of two steps of a loop, will be followed by others of their kind.
template <class T>
bool can_repeat_product(Tape<T>& tape, const Node<T>& a, const Node<T>& b);

/// Enters `member`, and others a `period` apart, as the same sum of products in the steps after the one at `before`: up to
/// `most`, as many as are computed together. Returns the first one's place, and how many they are.
template <class T>
std::pair<ProductRecord::Place, std::size_t> repeat_products(Tape<T>& tape, ProductRecord::Place before,
                                                             NodeIndex member, NodeIndex period,
                                                             std::size_t most);

/// c = a b + beta c, by the packed form of b where there is one.
template <class T>
void multiply(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
              std::size_t uses, T beta, MatrixView<T> c);

/// c = a b + a row of neighbours, repeated, in one call: false if that can't be.
template <class T>
bool multiply_plus_row(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
                       std::size_t uses, const T* row, MatrixView<T> c);

}  // namespace detail
}  // namespace xtape
