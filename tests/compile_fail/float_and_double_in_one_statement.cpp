// expected: float and double tensors don't mix
#include <autograd/autograd.hpp>

#ifdef MISUSE
using Other = double;
#else
using Other = float;
#endif

xtape::Var<float> product(const xtape::Var<float>& a, const xtape::Var<Other>& b) { return a * b; }
