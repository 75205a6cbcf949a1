#pragma once

#include <cstddef>
#include <initializer_list>
#include <vector>

#include "autograd/parameter.hpp"

// What a state dict of PyTorch calls a module's parameters, and how they lie there. Where that isn't what `visit` says, a
// module has a second list beside it, which is read for loading and for saving:
//
//     template <class F>
//     void visit_state_dict(F&& f) {
//         f("weight", gain);  // another name; a parameter or a module
//         f("bias_ih", StateTensor(bias).blocks(4, {0, 1, 3, 2}));
//         f("bias_hh", StateTensor(bias).blocks(4, {0, 1, 3, 2}).added());
//     }

namespace xtape::nn {

/// A tensor of a state dict, whose elements are pieces of parameters. Refers to them.
template <class T>
class StateTensor {
public:
    /// All of a parameter, as it is.
    explicit StateTensor(Parameter<T>& parameter);

    /// Cuts the rows, what the first axis counts, into so many blocks of equal size, and takes those in `order`. Throws
    /// ShapeError if that isn't possible.
    StateTensor blocks(std::size_t count, std::initializer_list<std::size_t> order) const;
    /// Columns `begin` to `end` of a matrix. Throws ShapeError unless it has them.
    StateTensor columns(std::size_t begin, std::size_t end) const;
    /// The rows of this one, then those of the other one. Throws ShapeError unless these are alike.
    StateTensor then(const StateTensor& below) const;
    /// The same elements, but loaded ones are added to what a tensor before put there, so that two tensors can be
    /// one parameter. Saved ones are -0, which changes not a bit of what it is added to.
    StateTensor added() const;

    const Shape& shape() const { return shape_; }

    /// `size` elements from `begin` on. The tensor is its pieces, one after the other.
    struct Piece {
        Parameter<T>* parameter;
        std::size_t begin, size;
        bool is_added;
    };
    const std::vector<Piece>& pieces() const { return pieces_; }

private:
    StateTensor() = default;
    /// Appends elements `begin` to `end` of another one.
    void take(const StateTensor& from, std::size_t begin, std::size_t end);

    Shape shape_;
    std::vector<Piece> pieces_;
};

}  // namespace xtape::nn
