// expected: constant expression
#include "autograd/sweep.hpp"

namespace xtape {

constexpr Rule<double> listed{"sum", [](Pull<double>& node) { node.add(0, node.gradient()); }};
constexpr Rule<double> of_a_user{RuleName::of_own_op("mine"), listed.pull};
#ifdef MISUSE
constexpr Rule<double> unlisted{"forgotten", listed.pull};
#endif

}  // namespace xtape
