#pragma once

// The one place that knows where xtensor keeps its headers (they moved into sub-folders in 0.26) and which of its
// types appear in xtape's interface.

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/core/xnoalias.hpp>
#include <xtensor/views/xstrided_view.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xstrided_view.hpp>
#endif

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/shape.hpp"

namespace xtape {

/// Extents or strides in an xtensor: up to max_rank of them without a use of the heap.
template <class I>
using PerAxisOfView = xt::svector<I, max_rank>;

/// An xtensor over memory that xtape owns, row-major. Reading and assigning elements copies nothing; it must not
/// outlive what it looks at. The type depends on neither the instruction set nor XTENSOR_USE_XSIMD.
template <class T>
using TensorView =
    xt::xarray_adaptor<xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<std::remove_const_t<T>>>,
                       xt::layout_type::row_major, PerAxisOfView<std::size_t>>;

/// The same with any strides.
template <class T>
using StridedTensorView =
    xt::xarray_adaptor<xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<std::remove_const_t<T>>>,
                       xt::layout_type::dynamic, PerAxisOfView<std::size_t>>;

template <class T>
TensorView<T> tensor_view(T* elements, const Shape& shape) {
    typename TensorView<T>::storage_type buffer(std::move(elements), element_count(shape));
    return {std::move(buffer), PerAxisOfView<std::size_t>(shape.begin(), shape.end())};
}

template <class T>
StridedTensorView<T> tensor_view(T* elements, const Shape& shape, const Strides& strides) {
    PerAxisOfView<std::ptrdiff_t> steps(strides.begin(), strides.end());
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (shape[axis] == 1) steps[axis] = 0;  // as xtensor wants it
    }
    // An adaptor insists on as many elements as its shape has, however far apart they lie.
    typename StridedTensorView<T>::storage_type buffer(std::move(elements), element_count(shape));
    return {std::move(buffer), PerAxisOfView<std::size_t>(shape.begin(), shape.end()), std::move(steps)};
}

template <class E>
concept XtensorExpression = xt::is_xexpression<E>::value;
/// One whose elements lie one after the other: to copy them takes a small part of the time to compile an assignment.
template <class E, class T>
concept DenseContainer = std::derived_from<E, xt::xcontainer<E>> && E::static_layout ==
                         xt::layout_type::row_major&& std::same_as<typename E::value_type, T>;

}  // namespace xtape
