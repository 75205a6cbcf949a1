#include "autograd/sweep.hpp"

#include "autograd/graph_sweep.hpp"
#include "autograd/matmul.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

template <class T>
Tape<T>& checked_tape(const char* op, const Var<T>& y, const Var<T>& seed) {
    Tape<T>& tape = y.tape();
    const Node<T>& node = tape.node(y);
    const std::string where = std::string("[") + op + "] ";
    if (!node.needs_gradient) {
        throw GradientError(where + "the value depends on no variable or parameter, or wasn't recorded");
    }
    if (!seed && node.size() != 1) {
        throw GradientError(where + "a value of shape " + to_string(node.shape) +
                            " has no gradient without a seed: sum it up, or give a seed of its shape");
    }
    if (seed && tape.node(seed).shape != node.shape) {
        throw ShapeError(where + "a seed of shape " + to_string(tape.node(seed).shape) +
                         " for a value of shape " + to_string(node.shape));
    }
    if (tape.has_released()) {
        throw GradientError(where + "an earlier backward was asked to release the values of this tape");
    }
    return tape;
}

/// What rules and hooks put on the tape during a sweep, also one that fails, is forgotten. After values were released
/// there is no way back but clear.
template <class T>
class RewindAtExit {
public:
    RewindAtExit(Tape<T>& tape, bool released) : tape_(tape), released_(released), mark_(tape.mark()) {}
    ~RewindAtExit() {
        if (!released_) tape_.rewind(mark_);
    }
    RewindAtExit(const RewindAtExit&) = delete;
    RewindAtExit& operator=(const RewindAtExit&) = delete;

private:
    Tape<T>& tape_;
    bool released_;
    typename Tape<T>::Mark mark_;
};

}  // namespace

template <class T>
void backward(const Var<T>& loss, BackwardOptions options) {
    backward(loss, Var<T>{}, options);
}

template <class T>
void backward(const Var<T>& y, const Var<T>& seed, BackwardOptions options) {
    Tape<T>& tape = checked_tape("backward", y, seed);
    const RewindAtExit rewind(tape, options.release_values);
    Sweep<T> sweep(tape, y.index(), true);
    sweep.run(y, seed, options.release_values);
}

template <class T>
std::vector<Var<T>> grad(const Var<T>& y, std::span<const Var<T>> xs, const GradOptions<T>& options) {
    Tape<T>& tape = checked_tape("grad", y, options.seed);
    for (const Var<T>& x : xs) {
        if (!tape.node(x).needs_gradient) {
            throw GradientError("[grad] with regard to a constant: make it a variable");
        }
    }
    if (options.create_graph) return graph_sweep(y, options.seed, xs);

    std::vector<Var<T>> gradients;
    gradients.reserve(xs.size());
    Sweep<T> sweep(tape, y.index(), false);
    sweep.want_only(xs);
    sweep.run(y, options.seed, false);
    for (const Var<T>& x : xs) gradients.push_back(sweep.take(x));
    return gradients;
}

template <class T>
void Pull<T>::add_product(std::size_t k, const Var<T>& a, const Var<T>& dy) {
    if (wants(k)) add(k, Var<T>(matmul(transpose(a), dy)));
}

template <class T>
Var<T> stop_gradient(const Var<T>& x) {
    Tape<T>& tape = x.tape();
    const Node<T>& from = tape.node(x);
    static constexpr Rule<T> rule{"stop_gradient", nullptr};
    NoRecording no_gradient(tape);
    return tape.record_view(rule, tape.keep(x.index()), from.shape, from.strides, 0, nullptr);
}

template class Pull<float>;
template class Pull<double>;

#define XTAPE_INSTANTIATE(T)                                                                          \
    template void backward(const Var<T>&, BackwardOptions);                                           \
    template void backward(const Var<T>&, const Var<T>&, BackwardOptions);                            \
    template std::vector<Var<T>> grad(const Var<T>&, std::span<const Var<T>>, const GradOptions<T>&); \
    template Var<T> stop_gradient(const Var<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
