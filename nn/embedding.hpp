#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <ranges>
#include <string>

#include "nn/initialize.hpp"
#include "nn/options.hpp"

namespace xtape::nn {

struct EmbeddingOptions {
    /// The id that stands where there is nothing: its row starts with 0 and receives no gradient.
    std::optional<std::size_t> padding_index = {};
    /// Of the starting values.
    double deviation = 1;
};

/// The rows of a table that integer ids name, for ids (...), an xtensor or any row of integers: (..., size). Negative ones
/// count from the end. A row that is named several times receives the sum of the gradients.
///
/// weight (count, size) starts normal. Throws IndexError for an id that isn't one of `count`, or such a padding index.
template <class T>
struct Embedding {
    Embedding(std::size_t count, std::size_t size, Engine& engine, EmbeddingOptions options = {})
        : weight(Shape{count, size}, "weight"), padding_index(options.padding_index) {
        detail::check_not_negative("Embedding", "deviation", options.deviation);
        if (padding_index && *padding_index >= count) {
            throw IndexError("[Embedding] padding index " + std::to_string(*padding_index) +
                             " for a weight of shape " + to_string(weight.shape()) + ": expected one of " +
                             std::to_string(count) + " rows");
        }
        normal(weight, options.deviation, engine);
        if (padding_index) std::fill_n(weight.data() + *padding_index * size, size, T(0));
    }

    std::size_t count() const { return weight.shape()[0]; }
    std::size_t output_size() const { return weight.shape()[1]; }

    template <class I>
    requires(IndexTensor<I> || IndexRange<I>) Var<T>
    operator()(Tape<T>& tape, const I& ids) const {
        const Var<T> rows = take(tape.watch(weight), ids);
        if (!padding_index) return rows;
        const Var<T> is_padding = tape.constant(padding(ids));
        return where(unsqueeze(is_padding, -1), stop_gradient(rows), rows);
    }

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
    }

    Parameter<T> weight;
    std::optional<std::size_t> padding_index;

private:
    /// 1 where an id, which is in range, is the padding index, in the shape of the ids.
    template <class I>
    Array<T> padding(const I& ids) const {
        const auto row = static_cast<std::ptrdiff_t>(*padding_index);
        const std::ptrdiff_t from_end = row - static_cast<std::ptrdiff_t>(count());
        const auto mark = [&](auto id, auto end, Array<T> marks) {
            for (T* element = marks.data(); id != end; ++id, ++element) {
                const auto position = static_cast<std::ptrdiff_t>(*id);
                *element = position == row || position == from_end ? T(1) : T(0);
            }
            return marks;
        };
        if constexpr (IndexTensor<I>) {
            constexpr auto order = xt::layout_type::row_major;
            return mark(ids.template begin<order>(), ids.template end<order>(), Array<T>(Shape(ids.shape())));
        } else {
            return mark(std::ranges::begin(ids), std::ranges::end(ids),
                        Array<T>(Shape{std::ranges::size(ids)}));
        }
    }
};

}  // namespace xtape::nn
