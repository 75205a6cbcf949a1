#pragma once

#include <cstddef>

#include "autograd/vector_math.hpp"

namespace bench {

/// Calls body(load, store) for each register's worth of a row of n values: load(row) is the Pack of `row` at the
/// place at hand, store(row, pack) puts one there.
template <class T, class Body>
void for_each_pack(std::size_t n, const Body& body) {
    using P = xtape::Pack<T>;
    std::size_t j = 0;
    for (; j + P::size <= n; j += P::size)
        body([j](const T* row) { return P::load(row + j); },
             [j](T* row, const P& pack) { pack.store(row + j); });
    if (std::size_t rest = n - j; rest > 0)
        body([j, rest](const T* row) { return P::load_first(row + j, rest); },
             [j, rest](T* row, const P& pack) { pack.store_first(row + j, rest); });
}

/// sums[j] = Σ_i rows[i, j].
template <class T>
void sum_rows(const T* rows, std::size_t count, std::size_t n, T* sums) {
    for_each_pack<T>(n, [&](auto load, auto store) {
        xtape::Pack<T> sum(0);
        for (std::size_t i = 0; i < count; ++i) sum += load(rows + i * n);
        store(sums, sum);
    });
}

}  // namespace bench
