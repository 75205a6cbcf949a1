#include "autograd/checkpoint.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "autograd/strided.hpp"
#include "autograd/views.hpp"

namespace xtape {

namespace detail {

template <class T>
Recipe<T>::Recipe(Tape<T>& tape, Recomputation<T> compute)
    : compute_(std::move(compute)), packed_before_(tape.products().packed_now()), first_(compute_()) {
    constexpr std::size_t unit = buffer_alignment / sizeof(T);
    for (const Var<T>& result : first_) {
        const Shape& shape = tape.node(result).shape;
        shapes_.push_back(shape);
        offsets_.push_back(size_);
        size_ += (element_count(shape) + unit - 1) / unit * unit;
    }
}

template <class T>
void Recipe<T>::copy(Tape<T>& tape, const std::vector<Var<T>>& results, T* to) const {
    std::fill_n(to, size_, T(0));
    for (std::size_t k = 0; k < results.size(); ++k) {
        const Node<T>& node = tape.node(results[k]);
        copy_strided<T>(node.shape, node.value, node.full_strides(), to + offsets_[k],
                        dense_strides(node.shape));
    }
}

template <class T>
std::vector<Var<T>> Recipe<T>::results_again(Tape<T>& tape, const T* value) const {
    std::vector<Var<T>> results = [&] {
        struct Show {
            Products<T>& products;
            ~Show() { products.show_packed(); }
        } const afterwards{tape.products()};
        tape.products().close_sites();  // as they were the first time
        tape.products().hide_packed_since(packed_before_);
        return compute_();
    }();
    bool same = results.size() == shapes_.size();
    for (std::size_t k = 0; same && k < results.size(); ++k) same = results[k].shape() == shapes_[k];
    if (same) {
        const Pooled<T> again(tape.gradients(), size_);
        copy(tape, results, again.data());
        same = std::memcmp(again.data(), value, size_ * sizeof(T)) == 0;
    }
    if (same) return results;
    throw TapeError(
        "[checkpoint] the computation gave other values when it was run again: expected one that does the "
        "same each time; an engine that it draws random numbers from must be put back to where it was");
}

template <class T>
std::vector<Var<T>> Recipe<T>::parts(const Var<T>& node) const {
    std::vector<Var<T>> results;
    for (std::size_t k = 0; k < shapes_.size(); ++k) {
        const auto begin = static_cast<std::ptrdiff_t>(offsets_[k]);
        const auto end = begin + static_cast<std::ptrdiff_t>(element_count(shapes_[k]));
        results.push_back(reshape_to(slice(node, 0, begin, end), shapes_[k]));
    }
    return results;
}

}  // namespace detail

template <class T>
std::vector<Var<T>> checkpoint(Tape<T>& tape, Recomputation<T> compute, CheckpointOptions options) {
    if (!tape.recording()) return compute();
    // What is computed again shares no products with what isn't: so neither does it here.
    tape.products().close_sites();
    if (!options.recompute) {
        std::vector<Var<T>> results = compute();
        tape.products().close_sites();
        return results;
    }
    const auto before = tape.mark();
    const auto recipe = std::make_shared<detail::Recipe<T>>(tape, std::move(compute));
    const std::vector<Var<T>>& results = recipe->first_results();
    const bool wanted =
        std::ranges::any_of(results, [](const Var<T>& result) { return result.needs_gradient(); });
    const Pooled<T> values(tape.gradients(), recipe->size());
    recipe->copy(tape, results, values.data());
    recipe->forget_first_results();
    tape.rewind_but_watch(before);

    T* const value = tape.allocate(recipe->size());
    std::copy_n(values.data(), recipe->size(), value);
    static constexpr Rule<T> rule{"checkpoint", nullptr};
    const Var<T> node =
        tape.record(rule, std::span<const NodeIndex>(), Shape{recipe->size()}, value, recipe.get());
    tape.node(node).needs_gradient = tape.node(node).recomputes = wanted;
    tape.keep_alive(recipe);
    return recipe->parts(node);
}

#define XTAPE_INSTANTIATE(T)          \
    template class detail::Recipe<T>; \
    template std::vector<Var<T>> checkpoint(Tape<T>&, Recomputation<T>, CheckpointOptions);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
