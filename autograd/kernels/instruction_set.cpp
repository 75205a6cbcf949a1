// Compiled once for each instruction set, XTAPE_COMPILED_SET being its name in InstructionSet. Functions that the
// linker may merge with those of other files must carry the instruction set in their name, or a processor without it
// might be given them: a test looks for others in these objects.
#include "autograd/kernels/kernels.hpp"
#include "autograd/kernels/packed_product.hpp"
#include "autograd/kernels/row_loops.hpp"

namespace xtape {
namespace {

template <class T>
constexpr Kernels<T> compiled() {
    using Rows = RowLoops<T, xsimd::default_arch>;
    using Product = PackedProduct<T, xsimd::default_arch>;
    return {.set = InstructionSet::XTAPE_COMPILED_SET,
            .add = &Rows::add,
            .sum = &Rows::sum,
            .max = &Rows::template choose<op::Maximum>,
            .min = &Rows::template choose<op::Minimum>,
            .max_each = &Rows::template choose_each<op::Maximum>,
            .min_each = &Rows::template choose_each<op::Minimum>,
            .logsumexp = &Rows::logsumexp,
            .softmax = &Rows::softmax,
            .log_softmax = &Rows::log_softmax,
            .width = Product::width,
            .panel_width = Product::panel_width,
            .max_rows = Product::max_rows,
            .wide = Product::wide,
            .pack = &Product::pack,
            .multiply = &Product::multiply,
            .tile = &Product::tile_of,
            .tile_columns = &Product::together};
}

}  // namespace

namespace detail {

template <>
constinit const Kernels<float> CompiledFor<InstructionSet::XTAPE_COMPILED_SET, float>::kernels =
    compiled<float>();
template <>
constinit const Kernels<double> CompiledFor<InstructionSet::XTAPE_COMPILED_SET, double>::kernels =
    compiled<double>();

}  // namespace detail
}  // namespace xtape
