// expected: the op takes another number of operands
#include <autograd/autograd.hpp>

xtape::Var<float> tanh_of(const xtape::Var<float>& x) {
#ifdef MISUSE
    return xtape::apply<xtape::op::Tanh>(x, x);
#else
    return xtape::apply<xtape::op::Tanh>(x);
#endif
}
