#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "nn/initialize.hpp"
#include "nn/linear.hpp"
#include "nn/state.hpp"

// Attention, for contrast: every position looks at every other one directly, at a cost that grows with the square of
// their number, where a recurrence hands on a state from step to step. (Vaswani et al., 2017)

namespace xtape::nn {

struct AttentionOptions {
    /// Position i looks at positions 0 to i alone, so that no output depends on what comes later.
    bool causal = false;
};

namespace detail {

inline void check_attention(const Shape& q, const Shape& k, const AttentionOptions& options) {
    const bool matrices = q.size() >= 2 && k.size() >= 2 && q.back() == k.back() && q.back() > 0;
    const std::string shapes =
        "[attention] queries of shape " + to_string(q) + " and keys of shape " + to_string(k);
    if (!matrices || k[k.size() - 2] == 0) {
        throw ShapeError(shapes + ": expected (..., T, d) and (..., S, d) with at least one key");
    }
    if (options.causal && q[q.size() - 2] != k[k.size() - 2]) {
        throw ShapeError(shapes + ": causal attention expects as many queries as keys");
    }
}

}  // namespace detail

/// P = softmax(q kᵀ / √d): how much each query takes of each key. q (..., T, d), k (..., S, d): P (..., T, S), whose
/// rows sum to 1; leading axes broadcast. Where a causal query may not look, P is 0 and no gradient passes.
///
/// Throws ShapeError for other shapes, and for causal attention unless T = S.
template <class T>
Var<T> attention_weights(const Var<T>& q, const Var<T>& k, AttentionOptions options = {}) {
    detail::check_attention(q.shape(), k.shape(), options);
    // The scale goes to q, which is smaller than the product.
    const Var<T> scaled = q * (1 / std::sqrt(static_cast<double>(q.shape().back())));
    const Var<T> scores = matmul(scaled, transpose(k));
    if (!options.causal) return softmax(scores);
    const Var<T> column = q.tape().constant(xt::arange<T>(static_cast<T>(k.extent(-2))));
    const Var<T> row = unsqueeze(column, -1);
    return softmax(where(column <= row, scores, -std::numeric_limits<double>::infinity()));
}

/// y = P v, P = softmax(q kᵀ / √d), for q (..., T, d), k (..., S, d) and v (..., S, n): y (..., T, n); leading axes
/// broadcast. dv = Pᵀ dy; with dP = dy vᵀ and dS = P ⊙ (dP - Σ dP ⊙ P, of each row): dq = dS k / √d, dk = dSᵀ q / √d.
///
/// Takes memory for T · S numbers several times: the scores, P and their gradients.
///
/// Throws ShapeError for other shapes, and for causal attention unless T = S.
template <class T>
Var<T> scaled_dot_product_attention(const Var<T>& q, const Var<T>& k, const Var<T>& v,
                                    AttentionOptions options = {}) {
    if (v.rank() < 2 || k.rank() < 2 || v.extent(-2) != k.extent(-2)) {
        throw ShapeError("[attention] keys of shape " + to_string(k.shape()) + " and values of shape " +
                         to_string(v.shape()) + ": expected (..., S, d) and (..., S, n)");
    }
    return matmul(attention_weights(q, k, options), v);
}

/// Row t is sin(t ω₀), cos(t ω₀), sin(t ω₁), cos(t ω₁), ... with ω_i = 10000^(-2i/E): a constant (T, E) that tells
/// positions apart, to be added to inputs (T, B, E):
///
///     x + unsqueeze(nn::positional_encoding(tape, T, E), 1)
template <class T>
Var<T> positional_encoding(Tape<T>& tape, std::size_t steps, std::size_t size) {
    T* const elements = tape.allocate(steps * size);
    for (std::size_t j = 0; j < size; ++j) {
        const double even = static_cast<double>(j - j % 2);
        const double frequency = std::pow(10000.0, -even / static_cast<double>(size));
        for (std::size_t t = 0; t < steps; ++t) {
            const double angle = static_cast<double>(t) * frequency;
            elements[t * size + j] = static_cast<T>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
        }
    }
    return tape.borrow(Shape{steps, size}, elements);
}

/// [q; k; v] = W_in x + b_in, each cut into `heads` pieces of d = E / heads; every head attends by itself; what they
/// found, side by side, goes through out_proj. x (T, B, E): y (T, B, E). W_in (3E, E) and out_proj lie as in PyTorch's
/// MultiheadAttention, and have the same names.
///
/// It knows no order: exchange two inputs, and the outputs are exchanged. See positional_encoding.
///
/// W_in starts normal with deviation 1/√E, as three matrices that are each xavier_normal would, b_in with 0.
/// Throws ShapeError for other inputs, a sequence of no steps, and unless heads divides E.
template <class T>
struct SelfAttention {
    SelfAttention(std::size_t embedding_size, std::size_t head_count, Engine& engine,
                  AttentionOptions attention_options = {})
        : heads(checked_heads(embedding_size, head_count)),
          in_proj_weight(Shape{3 * embedding_size, embedding_size}, "in_proj_weight"),
          in_proj_bias(Shape{3 * embedding_size}, "in_proj_bias"),
          out_proj(embedding_size, embedding_size, engine),
          options(attention_options) {
        normal(in_proj_weight, 1 / std::sqrt(static_cast<double>(embedding_size)), engine);
    }

    std::size_t embedding_size() const { return in_proj_weight.shape()[1]; }

    Var<T> operator()(const Var<T>& x) const {
        const auto [q, k, v] = queries_keys_values(x);
        const Var<T> y = scaled_dot_product_attention(q, k, v, options);
        return out_proj(reshape_to(transpose(y, {2, 0, 1, 3}), x.shape()));
    }

    /// How much each position takes of each other one, by head: (B, heads, T, T), to look at.
    Var<T> weights(const Var<T>& x) const {
        const auto [q, k, v] = queries_keys_values(x);
        return attention_weights(q, k, options);
    }

    template <class F>
    void visit(F&& f) {
        f("in_proj_weight", in_proj_weight);
        f("in_proj_bias", in_proj_bias);
        f("out_proj", out_proj);
    }

    std::size_t heads;
    Parameter<T> in_proj_weight, in_proj_bias;
    Linear<T> out_proj;
    AttentionOptions options;

private:
    /// Each (B, heads, T, E / heads): views of one product.
    std::array<Var<T>, 3> queries_keys_values(const Var<T>& x) const {
        const Shape& shape = x.shape();
        if (shape.size() != 3 || shape[0] == 0 || shape[2] != embedding_size()) {
            throw ShapeError("[SelfAttention] an input of shape " + to_string(shape) + ": expected (T, B, " +
                             std::to_string(embedding_size()) + ") with at least one step");
        }
        const Shape by_head{shape[0], shape[1], 3 * heads, shape[2] / heads};
        Tape<T>& tape = x.tape();
        const Var<T> qkv = matmul(x, transpose(tape.watch(in_proj_weight))) + tape.watch(in_proj_bias);
        return split<3>(transpose(reshape_to(qkv, by_head), {1, 2, 0, 3}), 1);
    }

    static std::size_t checked_heads(std::size_t embedding_size, std::size_t head_count) {
        if (head_count > 0 && embedding_size > 0 && embedding_size % head_count == 0) return head_count;
        throw ShapeError("[SelfAttention] an embedding of " + std::to_string(embedding_size) + " in " +
                         std::to_string(head_count) + " heads: expected a number of heads that divides it");
    }
};

}  // namespace xtape::nn
