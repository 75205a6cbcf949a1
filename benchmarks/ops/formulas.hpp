#pragma once

#include <cstddef>

namespace bench::ops {

/// The statements for libraries that derive them: V is a tensor that records what is done with it.
template <class V>
V formula(std::size_t ops, const V& a, const V& b, const V& c, const V& d, const V& e) {
    switch (ops) {
        case 1: return a * b;
        case 2: return a * b + c;
        case 4: return sigmoid(a) * b + tanh(c);
        case 8: return sigmoid(a) * b + sigmoid(c) * tanh(d) + 0.1 * e;
        default: return sigmoid(a + e) * b + sigmoid(c - e) * tanh(d * e) + 0.1 * square(b);
    }
}

/// One op of the chain: number i of its ops.
template <class V>
V chain_op(std::size_t i, const V& x, const V& w, const V& b) {
    switch (i % 3) {
        case 0: return x * w;
        case 1: return x + b;
        default: return tanh(x);
    }
}

}  // namespace bench::ops
