#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "autograd/autograd.hpp"

// What losses share: how the losses of the single samples become one, and which samples count: those of sequences that
// haven't ended, say. What the others hold, even NaN, has no influence.

namespace xtape::nn {

/// What becomes of the losses of the single samples. `none` leaves them as they are, with 0 where a sample doesn't count.
enum class Reduction { mean, sum, none };

/// Which samples count: booleans of their shape.
template <class M>
concept Mask = XtensorExpression<M> && std::same_as<typename M::value_type, bool>;

/// (steps, B), true where a sequence of that length still runs. Throws ShapeError for a length over `steps`.
inline xt::xtensor<bool, 2> length_mask(std::span<const std::size_t> lengths, std::size_t steps) {
    xt::xtensor<bool, 2> mask = xt::zeros<bool>({steps, lengths.size()});
    for (std::size_t b = 0; b < lengths.size(); ++b) {
        if (lengths[b] > steps) {
            throw ShapeError("[length_mask] a length of " + std::to_string(lengths[b]) + " in " +
                             std::to_string(steps) + " steps: expected no more");
        }
        for (std::size_t t = 0; t < lengths[b]; ++t) mask(t, b) = true;
    }
    return mask;
}

namespace detail {

template <class T>
Var<T> reduce(const Var<T>& losses, Reduction reduction) {
    if (reduction == Reduction::none) return losses;
    return reduction == Reduction::mean ? mean(losses) : sum(losses);
}

/// The positions of the samples that count. `whole` is the shape of all samples, which may have further axes.
template <Mask M>
std::vector<std::size_t> counted(const char* op, const M& mask, const Shape& whole) {
    bool fits = mask.dimension() <= whole.size();
    for (std::size_t axis = 0; fits && axis < mask.dimension(); ++axis)
        fits = mask.shape()[axis] == whole[axis];
    if (!fits) {
        throw ShapeError(std::string("[") + op + "] a mask of shape " + to_string(Shape(mask.shape())) +
                         " for values of shape " + to_string(whole) + ": expected their leading axes");
    }
    std::vector<std::size_t> positions;
    std::size_t position = 0;
    const auto end = mask.template end<xt::layout_type::row_major>();
    for (auto counts = mask.template begin<xt::layout_type::row_major>(); counts != end;
         ++counts, ++position) {
        if (*counts) positions.push_back(position);
    }
    if (positions.empty()) throw ShapeError(std::string("[") + op + "] a mask that no sample passes");
    return positions;
}

/// The shape of values whose first axes, those of the samples, become one of the given extent.
inline Shape with_samples(const Shape& shape, std::size_t sample_axes, std::size_t samples) {
    Shape result{samples};
    for (std::size_t axis = sample_axes; axis < shape.size(); ++axis) result.push_back(shape[axis]);
    return result;
}

inline std::size_t sample_count(const Shape& shape, std::size_t sample_axes) {
    std::size_t count = 1;
    for (std::size_t axis = 0; axis < sample_axes; ++axis) count *= shape[axis];
    return count;
}

/// Samples along one axis, of which those at `positions` are taken.
template <class T>
Var<T> taken_samples(const Var<T>& values, std::size_t sample_axes,
                     const std::vector<std::size_t>& positions) {
    const Shape& shape = values.shape();
    return take(reshape_to(values, with_samples(shape, sample_axes, sample_count(shape, sample_axes))),
                positions);
}

/// The way back: samples (K, ...) at their positions in a tensor of the given shape, and 0 elsewhere.
template <class T>
Var<T> put_back(const Var<T>& taken, std::size_t sample_axes, const std::vector<std::size_t>& positions,
                const Shape& whole) {
    const Shape nothing = with_samples(whole, sample_axes, 1);
    const Var<T> zero = broadcast_to(taken.tape().constant(0), nothing);
    std::vector<std::size_t> rows(sample_count(whole, sample_axes), positions.size());
    for (std::size_t k = 0; k < positions.size(); ++k) rows[positions[k]] = k;
    return reshape_to(take(concatenate({taken, zero}), rows), whole);
}

template <class T>
void check_equal_shapes(const char* op, const Var<T>& y, const Var<T>& target) {
    if (y.shape() == target.shape()) return;
    throw ShapeError(std::string("[") + op + "] shape " + to_string(y.shape()) +
                     " against a target of shape " + to_string(target.shape()) + ": expected equal shapes");
}

/// The loss that a formula gives for each element of tensors of one shape, y, target and others.
template <class T, class Formula, class... Others>
Var<T> elementwise(const char* op, Reduction reduction, Formula formula, const Var<T>& y,
                   const Var<T>& target, const Others&... others) {
    check_equal_shapes(op, y, target);
    return reduce<T>(formula(y, target, others...), reduction);
}

/// The same of those whose mask, of their leading axes, is true.
template <class T, Mask M, class Formula, class... Others>
Var<T> elementwise(const char* op, const M& mask, Reduction reduction, Formula formula, const Var<T>& y,
                   const Var<T>& target, const Others&... others) {
    check_equal_shapes(op, y, target);
    const std::vector<std::size_t> positions = counted(op, mask, y.shape());
    const std::size_t axes = mask.dimension();
    const auto taken = [&](const Var<T>& values) { return taken_samples(values, axes, positions); };
    const Var<T> losses = formula(taken(y), taken(target), taken(others)...);
    if (reduction == Reduction::none) return put_back(losses, axes, positions, y.shape());
    return reduce(losses, reduction);
}

}  // namespace detail
}  // namespace xtape::nn
