#include "autograd/graph_sweep.hpp"

#include <unordered_map>
#include <utility>

#include "autograd/checkpoint.hpp"
#include "autograd/joining.hpp"
#include "autograd/matmul.hpp"
#include "autograd/reductions.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

/// The gradients so far, by node.
template <class T>
struct Gradients {
    explicit Gradients(NodeIndex count) : sums(count), wanted(count, false) {}

    void add(NodeIndex index, const Var<T>& contribution) {
        Var<T>& sum = sums[index];
        sum = sum ? Var<T>(sum + contribution) : contribution;
    }

    /// The products that wait for a node, as one: Σ aᵀ dy is the product of all the a, and all the dy, one below the
    /// other.
    void add_products(NodeIndex index) {
        const auto waiting = products.find(index);
        if (waiting == products.end()) return;
        auto& [as, dys] = waiting->second;
        const Var<T> a = as.size() == 1 ? as[0] : concatenate<T>(std::span<const Var<T>>(as), 0);
        const Var<T> dy = as.size() == 1 ? dys[0] : concatenate<T>(std::span<const Var<T>>(dys), 0);
        add(index, Var<T>(matmul(transpose(a), dy)));
        products.erase(waiting);
    }

    std::vector<Var<T>> sums;
    std::vector<bool> wanted;
    std::unordered_map<NodeIndex, std::pair<std::vector<Var<T>>, std::vector<Var<T>>>> products;
};

template <class T>
class GraphPull final : public Pull<T> {
public:
    GraphPull(Tape<T>& tape, NodeIndex index, Gradients<T>& gradients)
        : Pull<T>(tape, index, gradients.sums[index]), gradients_(gradients) {}

    bool wants(std::size_t k) const override { return gradients_.wanted[this->node().inputs[k]]; }

    using Pull<T>::add;
    void add(std::size_t k, const Var<T>& contribution) override {
        if (!wants(k)) return;
        const NodeIndex input = this->node().inputs[k];
        const Shape& shape = this->tape().at(input).shape;
        const Shape common = broadcast_shapes("gradient", contribution.shape(), shape);
        gradients_.add(input, sum_to(broadcast_to(contribution, common), shape));
    }
    void add_product(std::size_t k, const Var<T>& a, const Var<T>& dy) override {
        if (!wants(k)) return;
        auto& [as, dys] = gradients_.products[this->node().inputs[k]];
        as.push_back(a);
        dys.push_back(dy);
    }

protected:
    void add_statement(std::size_t k, const Statement<T>& contribution) override {
        if (wants(k)) add(k, record_statement(contribution));
    }

private:
    Gradients<T>& gradients_;
};

/// What leads to a wanted gradient. What a checkpoint leads to isn't known before it is computed again.
template <class T>
void find_wanted(Tape<T>& tape, Gradients<T>& gradients, NodeIndex begin, NodeIndex end) {
    for (NodeIndex index = begin; index < end; ++index) {
        const Node<T>& node = tape.at(index);
        if (!node.needs_gradient) continue;
        if (node.recomputes) gradients.wanted[index] = true;
        for (std::size_t k = 0; k < node.input_count; ++k) {
            if (gradients.wanted[node.inputs[k]]) gradients.wanted[index] = true;
        }
    }
}

template <class T>
void visit_again(Tape<T>& tape, Gradients<T>& gradients, NodeIndex index);

/// Visits the nodes from begin on, the last one first.
template <class T>
void walk(Tape<T>& tape, Gradients<T>& gradients, NodeIndex begin, NodeIndex end) {
    for (NodeIndex index = end; index-- > begin;) {
        gradients.add_products(index);
        if (!gradients.sums[index] || !gradients.wanted[index]) continue;
        gradients.sums[index] = tape.apply_hooks(index, gradients.sums[index]);
        if (tape.at(index).recomputes) {
            visit_again(tape, gradients, index);
            continue;
        }
        const Rule<T>* rule = tape.at(index).rule;
        if (rule == nullptr) continue;
        GraphPull<T> pull(tape, index, gradients);
        rule->pull(pull);
    }
}

/// Of a checkpoint: goes back through what is computed again, which stays on the tape as part of the graph.
template <class T>
void visit_again(Tape<T>& tape, Gradients<T>& gradients, NodeIndex index) {
    const detail::Recipe<T>& recipe = detail::recipe_of(tape.at(index));
    const auto first = static_cast<NodeIndex>(tape.size());
    const std::vector<Var<T>> results = [&] {
        const Recording<T> recorded(tape);  // the way back needs that, also if nobody wants its own graph
        return recipe.results_again(tape, tape.at(index).value);
    }();
    const std::vector<Var<T>> seeds = recipe.parts(gradients.sums[index]);
    tape.make_all_nodes();
    const auto end = static_cast<NodeIndex>(tape.size());
    gradients.sums.resize(end);
    gradients.wanted.resize(end, false);
    find_wanted(tape, gradients, first, end);
    for (std::size_t k = 0; k < results.size(); ++k) {
        if (gradients.wanted[results[k].index()]) gradients.add(results[k].index(), seeds[k]);
    }
    walk(tape, gradients, first, end);
}

}  // namespace

template <class T>
std::vector<Var<T>> graph_sweep(const Var<T>& y, const Var<T>& seed, std::span<const Var<T>> xs) {
    Tape<T>& tape = y.tape();
    const NodeIndex count = y.index() + 1;
    tape.make_all_nodes();

    Gradients<T> gradients(count);
    std::vector<bool>& wanted = gradients.wanted;
    for (const Var<T>& x : xs) {
        if (x.index() < count) wanted[x.index()] = true;
    }
    find_wanted(tape, gradients, 0, count);
    gradients.sums[y.index()] = seed ? seed : tape.constant(1);
    walk(tape, gradients, 0, count);

    std::vector<Var<T>> results;
    results.reserve(xs.size());
    for (const Var<T>& x : xs) {
        const bool reached = x.index() < count && gradients.sums[x.index()];
        results.push_back(reached ? gradients.sums[x.index()]
                                  : Var<T>(broadcast_to(tape.constant(0), x.shape())));
    }
    return results;
}

template std::vector<Var<float>> graph_sweep(const Var<float>&, const Var<float>&,
                                             std::span<const Var<float>>);
template std::vector<Var<double>> graph_sweep(const Var<double>&, const Var<double>&,
                                              std::span<const Var<double>>);

}  // namespace xtape
