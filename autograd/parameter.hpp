#pragma once

#include <memory>
#include <string>
#include <utility>

#include "autograd/array.hpp"

namespace xtape {

/// A tensor to be learned: a name, a value and a gradient, both of one shape, that outlive every tape.
///
/// `backward` adds to the gradient. It starts empty, which reads as zeros, and `zero_grad` empties it again.
template <class T>
class Parameter {
public:
    Parameter() : Parameter(Shape{0}) {}

    /// Zeros.
    explicit Parameter(const Shape& shape, std::string name = "")
        : name_(std::move(name)), storage_(std::make_shared<Storage>(Array<T>(shape))) {}

    template <XtensorExpression E>
    explicit Parameter(const E& value, std::string name = "")
        : name_(std::move(name)), storage_(std::make_shared<Storage>(Array<T>(value))) {}

    Parameter(const Parameter& other)
        : name_(other.name_), storage_(std::make_shared<Storage>(*other.storage_)) {}
    Parameter(Parameter&&) noexcept = default;
    /// Takes over name, value and gradient. Of the same shape it remains the tensor that optimizers refer to.
    Parameter& operator=(Parameter other) {
        if (storage_ && other.storage_ && shape() == other.shape())
            *storage_ = *other.storage_;
        else
            storage_.swap(other.storage_);
        name_.swap(other.name_);
        return *this;
    }
    ~Parameter() = default;

    const std::string& name() const { return name_; }
    void rename(std::string name) { name_ = std::move(name); }

    const Shape& shape() const { return storage_->value.shape(); }
    std::size_t size() const { return storage_->value.size(); }

    /// Row-major elements, for reading and for assigning: `p.value() = xt::ones<float>({3, 4});`
    TensorView<T> value() { return storage_->value.view(); }
    TensorView<const T> value() const { return std::as_const(storage_->value).view(); }
    TensorView<T> grad() { return filled_grad().view(); }

    T* data() { return storage_->value.data(); }
    const T* data() const { return storage_->value.data(); }
    T* grad_data() { return filled_grad().data(); }

    /// Whether anything was added to the gradient since `zero_grad`.
    bool has_grad() const { return storage_->has_grad; }
    void zero_grad() { storage_->has_grad = false; }

    /// What a tape keeps alive while it refers to the parameter.
    struct Storage {
        explicit Storage(Array<T> initial) : value(std::move(initial)) {}
        Array<T> value;
        Array<T> grad;  // meaningless until has_grad
        bool has_grad = false;
    };
    const std::shared_ptr<Storage>& storage() const { return storage_; }

private:
    Array<T>& filled_grad() {
        if (!storage_->has_grad) {
            storage_->grad.resize(shape());
            storage_->grad.fill_zeros();
            storage_->has_grad = true;
        }
        return storage_->grad;
    }

    std::string name_;
    std::shared_ptr<Storage> storage_;
};

}  // namespace xtape
