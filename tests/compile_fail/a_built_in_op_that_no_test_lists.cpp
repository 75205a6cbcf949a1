// expected: add the op to PointwiseOps, so that it is tested
#include <autograd/autograd.hpp>

struct Cube {
    static constexpr const char* name = "cube";
    static constexpr int arity = 1;
    template <class N>
    static N value(const N& x) {
        return x * x * x;
    }
    template <class N>
    static auto partials(const N& x, const N&) {
        return std::tuple(3 * x * x);
    }
};

#ifdef MISUSE
using Op = Cube;
#else
using Op = xtape::op::Tanh;
#endif

xtape::Var<float> cube(const xtape::Var<float>& x) { return xtape::builtin<Op>(x); }
