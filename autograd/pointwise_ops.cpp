#include <array>

#include "autograd/statement.hpp"

// The table of the listed ops, each as an op on Vars.

namespace xtape::detail {
namespace {

template <class T, class... Ops>
const PointwiseOp<T>& op_at(std::size_t position, TypeList<Ops...>) {
    static constexpr std::array<const PointwiseOp<T>*, sizeof...(Ops)> tables{&SingleOp<Ops, T>::table...};
    return *tables[position];
}

}  // namespace

template <class T>
const PointwiseOp<T>& listed_op(std::size_t position) {
    return op_at<T>(position, PointwiseOps{});
}

template const PointwiseOp<float>& listed_op(std::size_t);
template const PointwiseOp<double>& listed_op(std::size_t);

}  // namespace xtape::detail
