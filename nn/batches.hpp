#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "autograd/autograd.hpp"
#include "nn/unchanged.hpp"

namespace xtape::nn {

struct BatchOptions {
    std::size_t size = 32;
    bool shuffle = true;     ///< or else in order
    bool drop_last = false;  ///< leaves out what is left of an epoch for a smaller batch
    std::uint64_t seed = 0;  ///< of the orders; `engine()` where there is an engine
};

/// The numbers 0 ... count - 1 in batches, in each epoch all of them, in another random order.
///
///     nn::Batches batches(xs.shape(1), {.size = 32, .seed = 1});
///     for (...) {
///         const std::span<const std::size_t> rows = batches.next();
///         const auto inputs = nn::batch_of(xs, rows, 1);  // of xs (T, N, D): (T, 32, D)
///
/// The order of an epoch follows from the seed and the epoch's number, so that these and a position are all that has to be
/// saved for a run to go on with the very next batch.
class Batches {
public:
    /// Throws std::invalid_argument if there is nothing to put in a batch, or less than one whole batch when the rest is left
    /// out.
    explicit Batches(std::size_t count, BatchOptions options = {});

    /// The next batch, the first one of a new epoch after the last one. Valid until the next call.
    std::span<const std::size_t> next();

    /// Epochs that were handed out to their end.
    std::size_t epoch() const { return epoch_; }
    std::size_t per_epoch() const;

    template <class F>
    void visit(F&& f) {
        Unchanged count{count_}, size{options_.size}, shuffle{options_.shuffle},
            drop_last{options_.drop_last}, seed{options_.seed};
        f("count", count);
        f("size", size);
        f("shuffle", shuffle);
        f("drop_last", drop_last);
        f("seed", seed);
        f("epoch", epoch_);
        f("position", position_);
    }

private:
    std::size_t count_;
    BatchOptions options_;
    std::size_t epoch_ = 0;
    std::size_t position_ = 0;  // of the next batch in the epoch
    std::vector<std::size_t> order_;
    std::size_t ordered_epoch_;  // that `order_` is of
};

namespace detail {

void check_rows(std::span<const std::size_t> rows, std::size_t count);
void check_batch_axis(const Shape& shape, std::size_t axis);

/// An array in row-major order as `data()` shows it.
template <class X>
concept RowMajor = XtensorExpression<X> &&(X::static_layout == xt::layout_type::row_major) &&
                   requires(const X& xs) {
    xs.data();
};

template <class X>
struct SameRank {
    using type = xt::xarray<std::remove_const_t<typename X::value_type>>;
};
template <class X>
requires requires { std::tuple_size<typename X::shape_type>::value; }
struct SameRank<X> {
    using type = xt::xtensor<std::remove_const_t<typename X::value_type>,
                             std::tuple_size<typename X::shape_type>::value>;
};

}  // namespace detail

/// The given rows of xs (N, ...), in this order: (B, ...). With axis 1 the given sequences of xs (T, N, ...): (T, B, ...).
/// Throws IndexError for a row that isn't there, ShapeError for an axis that isn't.
template <detail::RowMajor X>
typename detail::SameRank<X>::type batch_of(const X& xs, std::span<const std::size_t> rows,
                                            std::size_t axis = 0) {
    Shape shape(xs.shape());
    detail::check_batch_axis(shape, axis);
    const std::size_t count = shape[axis];
    detail::check_rows(rows, count);
    std::size_t groups = 1, length = 1;
    for (std::size_t k = 0; k < shape.size(); ++k) (k < axis ? groups : length) *= k == axis ? 1 : shape[k];

    using Batch = typename detail::SameRank<X>::type;
    auto batch_shape = xtl::make_sequence<typename Batch::shape_type>(shape.size());
    std::copy(shape.begin(), shape.end(), batch_shape.begin());
    batch_shape[axis] = rows.size();
    Batch batch;
    batch.resize(batch_shape);
    auto* to = batch.data();
    for (std::size_t group = 0; group < groups; ++group) {
        for (const std::size_t row : rows)
            to = std::copy_n(xs.data() + (group * count + row) * length, length, to);
    }
    return batch;
}

/// The same of samples of any kind.
template <class Sample>
std::vector<Sample> batch_of(const std::vector<Sample>& samples, std::span<const std::size_t> rows) {
    detail::check_rows(rows, samples.size());
    std::vector<Sample> batch;
    batch.reserve(rows.size());
    for (const std::size_t row : rows) batch.push_back(samples[row]);
    return batch;
}

}  // namespace xtape::nn
