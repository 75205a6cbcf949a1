#include "autograd/count.hpp"

namespace xtape {

template <class T>
std::size_t multiplications(Tape<T>& tape, NodeIndex index) {
    tape.make_node(index);
    const Node<T>& node = tape.at(index);
    if (node.is_product) {
        const auto& record = *static_cast<const ProductRecord*>(node.payload);
        const Products<T>& products = tape.products();
        const ProductSite<T>& site = products.sites[products.chunks[record.place.chunk].site];
        std::size_t inner = 0;
        for (std::size_t j = 0; j < site.product_count; ++j) inner += site.matrices[j].rows;
        return site.rows * site.cols * inner;
    }
    if (node.rule != nullptr && std::string_view(node.rule->name) == "batched_matmul")
        return node.size() * tape.at(node.inputs[0]).shape.back();
    return 0;
}

template <class T>
std::size_t multiplications(Tape<T>& tape, std::string_view op) {
    tape.make_all_nodes();
    std::size_t count = 0;
    for (std::size_t index = 0; index < tape.size(); ++index) {
        const Rule<T>* const rule = tape.at(static_cast<NodeIndex>(index)).rule;
        if (rule != nullptr && (op.empty() || op == rule->name))
            count += multiplications(tape, static_cast<NodeIndex>(index));
    }
    return count;
}

#define XTAPE_INSTANTIATE(T)                                   \
    template std::size_t multiplications(Tape<T>&, NodeIndex); \
    template std::size_t multiplications(Tape<T>&, std::string_view);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
