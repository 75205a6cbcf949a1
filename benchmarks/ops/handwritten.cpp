#include "benchmarks/ops/contender.hpp"
#include "benchmarks/ops/handwritten_rows.hpp"
#include "benchmarks/ops/handwritten_statement.hpp"
#include "benchmarks/ops/handwritten_training.hpp"

namespace bench::ops {
namespace {

/// What an expert writes for one machine: fused loops over registers, all memory there beforehand, nothing computed
/// twice that is cheaper to keep.
template <class T>
class Handwritten : public Peer<T> {
public:
    std::string name() const override { return "hand-written"; }
    Entry<T> statement(const Statement<T>& work) const override {
        switch (work.ops) {
            case 1: return std::make_unique<FusedStatement<T, 1>>(work);
            case 2: return std::make_unique<FusedStatement<T, 2>>(work);
            case 4: return std::make_unique<FusedStatement<T, 4>>(work);
            case 8: return std::make_unique<FusedStatement<T, 8>>(work);
            default: return std::make_unique<FusedStatement<T, 12>>(work);
        }
    }
    Entry<T> reduction(const Reduction<T>& work) const override {
        return std::make_unique<ReducedRows<T>>(work);
    }
    Entry<T> softmax(const Softmax<T>& work) const override { return std::make_unique<SoftmaxRows<T>>(work); }
    Entry<T> cross_entropy(const CrossEntropy<T>& work) const override {
        return std::make_unique<CrossEntropyRows<T>>(work);
    }
    Entry<T> take(const Take<T>& work) const override { return std::make_unique<TakenRows<T>>(work); }
    Entry<T> adam(const Adam<T>& work) const override { return std::make_unique<FusedAdam<T>>(work); }
    Entry<T> chain(const Chain<T>& work) const override { return std::make_unique<ChainOfLoops<T>>(work); }
    Entry<T> mlp(const Mlp<T>& work) const override { return std::make_unique<FusedMlp<T>>(work); }
};

}  // namespace

template <class T>
const Peer<T>* handwritten_peer() {
    static const Handwritten<T> peer;
    return &peer;
}

template const Peer<float>* handwritten_peer();
template const Peer<double>* handwritten_peer();

}  // namespace bench::ops
