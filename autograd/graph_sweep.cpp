#include "autograd/graph_sweep.hpp"

#include <unordered_map>
#include <utility>

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
    for (NodeIndex index = 0; index < count; ++index) {
        const Node<T>& node = tape.at(index);
        for (std::size_t k = 0; node.needs_gradient && k < node.input_count; ++k) {
            if (wanted[node.inputs[k]]) wanted[index] = true;
        }
    }

    gradients.sums[y.index()] = seed ? seed : tape.constant(1);
    for (NodeIndex index = count; index-- > 0;) {
        gradients.add_products(index);
        Var<T>& gradient = gradients.sums[index];
        if (!gradient || !wanted[index]) continue;
        gradient = tape.apply_hooks(index, gradient);
        const Rule<T>* rule = tape.at(index).rule;
        if (rule == nullptr) continue;
        GraphPull<T> pull(tape, index, gradients);
        rule->pull(pull);
    }

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
