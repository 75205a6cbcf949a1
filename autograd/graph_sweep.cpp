#include "autograd/graph_sweep.hpp"

#include "autograd/reductions.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

template <class T>
class GraphPull final : public Pull<T> {
public:
    GraphPull(Tape<T>& tape, NodeIndex index, const std::vector<bool>& wanted, std::vector<Var<T>>& gradients)
        : Pull<T>(tape, index, gradients[index]), wanted_(wanted), gradients_(gradients) {}

    bool wants(std::size_t k) const override { return wanted_[this->node().inputs[k]]; }

    using Pull<T>::add;
    void add(std::size_t k, const Var<T>& contribution) override {
        if (!wants(k)) return;
        const NodeIndex input = this->node().inputs[k];
        const Shape& shape = this->tape().at(input).shape;
        const Shape common = broadcast_shapes("gradient", contribution.shape(), shape);
        const Var<T> mine = sum_to(broadcast_to(contribution, common), shape);
        Var<T>& sum = gradients_[input];
        sum = sum ? Var<T>(sum + mine) : mine;
    }

protected:
    void add_statement(std::size_t k, const Statement<T>& contribution) override {
        if (wants(k)) add(k, record_statement(contribution));
    }

private:
    const std::vector<bool>& wanted_;
    std::vector<Var<T>>& gradients_;
};

}  // namespace

template <class T>
std::vector<Var<T>> graph_sweep(const Var<T>& y, const Var<T>& seed, std::span<const Var<T>> xs) {
    Tape<T>& tape = y.tape();
    const NodeIndex count = y.index() + 1;

    std::vector<bool> wanted(count, false);
    for (const Var<T>& x : xs) {
        if (x.index() < count) wanted[x.index()] = true;
    }
    for (NodeIndex index = 0; index < count; ++index) {
        const Node<T>& node = tape.at(index);
        for (std::size_t k = 0; node.needs_gradient && k < node.input_count; ++k) {
            if (wanted[node.inputs[k]]) wanted[index] = true;
        }
    }

    std::vector<Var<T>> gradients(count);
    gradients[y.index()] = seed ? seed : tape.constant(1);
    for (NodeIndex index = count; index-- > 0;) {
        if (!gradients[index] || !wanted[index]) continue;
        gradients[index] = tape.apply_hooks(index, gradients[index]);
        const Node<T>& node = tape.at(index);
        if (node.rule == nullptr) continue;
        GraphPull<T> pull(tape, index, wanted, gradients);
        node.rule->pull(pull);
    }

    std::vector<Var<T>> results;
    results.reserve(xs.size());
    for (const Var<T>& x : xs) {
        const bool reached = x.index() < count && gradients[x.index()];
        results.push_back(reached ? gradients[x.index()] : Var<T>(broadcast_to(tape.constant(0), x.shape())));
    }
    return results;
}

template std::vector<Var<float>> graph_sweep(const Var<float>&, const Var<float>&,
                                             std::span<const Var<float>>);
template std::vector<Var<double>> graph_sweep(const Var<double>&, const Var<double>&,
                                              std::span<const Var<double>>);

}  // namespace xtape
