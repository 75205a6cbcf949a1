#pragma once

#include <memory>
#include <string>
#include <utility>

#include "autograd/array.hpp"
#include "autograd/error.hpp"

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

    /// Shares nothing with the other one, so that the copy of a tied parameter isn't tied.
    Parameter(const Parameter& other)
        : name_(other.name_), storage_(std::make_shared<Storage>(*other.storage_)) {
        storage_->is_tied = false;
    }
    Parameter(Parameter&&) noexcept = default;
    /// Takes over name, value and gradient. Of the same shape it remains the tensor that optimizers, and those it is tied
    /// to, refer to.
    Parameter& operator=(Parameter other) {
        if (storage_ && other.storage_ && shape() == other.shape())
            storage_->assign(*other.storage_);
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

    /// A frozen parameter isn't learned: it has no gradient, watching it gives a constant, and so optimizers leave it alone.
    /// Freeze it before a tape watches it.
    void freeze() {
        storage_->is_frozen = true;
        zero_grad();
    }
    void unfreeze() { storage_->is_frozen = false; }
    bool is_frozen() const { return storage_->is_frozen; }

    /// Makes b the same tensor as a, with one value and one gradient; it keeps its name. Walks over a model meet tied
    /// parameters once, by the first one's name. Tie them before an optimizer is made. Throws ShapeError unless the shapes are
    /// equal.
    friend void tie(Parameter& b, Parameter& a) {
        if (b.shape() != a.shape()) {
            throw ShapeError("[tie] a parameter of shape " + to_string(b.shape()) + " to one of shape " +
                             to_string(a.shape()) + ": expected equal shapes");
        }
        if (b.storage_ == a.storage_) return;
        b.storage_ = a.storage_;
        b.storage_->is_tied = true;
    }
    /// Whether it was tied, or another one to it.
    bool is_tied() const { return storage_->is_tied; }

    /// What a tape keeps alive while it refers to the parameter.
    struct Storage {
        explicit Storage(Array<T> initial) : value(std::move(initial)) {}
        void assign(const Storage& other) {
            value = other.value;
            grad = other.grad;
            has_grad = other.has_grad && !is_frozen;
        }
        Array<T> value;
        Array<T> grad;  // meaningless until has_grad
        bool has_grad = false;
        bool is_frozen = false;
        bool is_tied = false;
    };
    const std::shared_ptr<Storage>& storage() const { return storage_; }

private:
    Array<T>& filled_grad() {
        if (!storage_->has_grad) {
            storage_->grad.resize(shape());
            storage_->grad.fill_zeros();
            storage_->has_grad = !storage_->is_frozen;
        }
        return storage_->grad;
    }

    std::string name_;
    std::shared_ptr<Storage> storage_;
};

}  // namespace xtape
