#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "autograd/memory.hpp"
#include "autograd/shape.hpp"
#include "autograd/xtensor.hpp"

namespace xtape {

/// A dense row-major tensor with memory of its own: what outlives a tape. Copying copies the elements; assigning
/// something of the same size or smaller allocates nothing.
template <class T>
class Array {
public:
    Array() = default;

    /// Zeros.
    explicit Array(const Shape& shape) {
        resize(shape);
        fill_zeros();
    }

    template <XtensorExpression E>
    Array(const E&
              expression) {  // NOLINT(google-explicit-constructor): an xtensor goes in wherever an Array does
        *this = expression;
    }

    Array(const Array& other) { *this = other; }
    Array(Array&& other) noexcept { swap(other); }
    Array& operator=(const Array& other) {
        if (this == &other) return *this;
        if (other.data() == nullptr) return *this = Array();
        resize(other.shape_);
        if (size() > 0) std::memcpy(data(), other.data(), size() * sizeof(T));
        return *this;
    }
    Array& operator=(Array&& other) noexcept {
        swap(other);
        return *this;
    }
    template <XtensorExpression E>
    Array& operator=(const E& expression) {
        resize(Shape(expression.shape()));
        auto elements = view();
        xt::noalias(elements) = expression;
        return *this;
    }

    const Shape& shape() const { return shape_; }
    std::size_t size() const { return size_; }
    T* data() { return reinterpret_cast<T*>(memory_.data()); }
    const T* data() const { return reinterpret_cast<const T*>(memory_.data()); }

    TensorView<T> view() { return tensor_view(data(), shape_); }
    TensorView<const T> view() const { return tensor_view(data(), shape_); }

    /// Gives the array another shape; the elements are then unspecified.
    void resize(const Shape& shape) {
        const std::size_t count = element_count(shape);
        const std::size_t bytes = count * sizeof(T) + buffer_alignment;
        if (bytes > memory_.size()) memory_ = Memory(bytes);
        shape_ = shape;
        size_ = count;
        // Vector code computes with what lies behind the last element, and takes long if that happens to be denormal.
        std::memset(static_cast<void*>(data() + count), 0, buffer_alignment);
    }

    void fill_zeros() { std::memset(static_cast<void*>(data()), 0, size() * sizeof(T)); }

    void swap(Array& other) noexcept {
        std::swap(shape_, other.shape_);
        std::swap(size_, other.size_);
        memory_.swap(other.memory_);
    }

private:
    Shape shape_;
    std::size_t size_ = 0;
    Memory memory_;
};

}  // namespace xtape
