#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/array_list.hpp"
#include "nn/module.hpp"

namespace xtape::nn {

enum class LineSearch { none, strong_wolfe };

struct LBFGSOptions {
    double learning_rate = 1;          ///< the step that is taken, or tried first
    std::size_t iterations = 20;       ///< of a step
    std::size_t evaluations = 0;       ///< of a step, at most, where a search may end late; 0: 5/4 iterations
    double gradient_tolerance = 1e-7;  ///< of the largest |g|
    double change_tolerance = 1e-9;    ///< of the loss, and of the largest change of a parameter's element
    std::size_t history = 100;         ///< pairs that are remembered
    LineSearch line_search = LineSearch::none;
};

/// Limited-memory BFGS: x ← x + t d with d = -H g, where H, an inverse Hessian, is made of what the last steps s = Δx changed
/// in the gradient, y = Δg. (Nocedal and Wright, Numerical Optimization, 2006: algorithms 7.4 and 7.5, and 3.5 and 3.6 for t, as
/// PyTorch does it)
///
/// For losses that don't change from call to call: all data at once, nothing random.
///
///     nn::LBFGS optimizer(model, {.line_search = nn::LineSearch::strong_wolfe});
///     const double loss = optimizer.step([&] {
///         tape.clear();
///         nn::zero_grad(model);
///         const Var<double> value = loss_of(model, tape);
///         backward(value);
///         return value.item();
///     });
///
/// Parameters are one vector to it, so all of them share t, and one without a gradient counts as having zeros. Memory is asked for as
/// the history grows; once it is full a step allocates nothing.
template <class T>
class LBFGS {
public:
    /// Refers to the module's parameters. Throws std::invalid_argument for options out of range.
    template <Module M>
    explicit LBFGS(M& module, LBFGSOptions options = {}) : LBFGS(options) {
        for_each_parameter(module,
                           [&](Parameter<T>& parameter) { parameters_.push_back(parameter.storage()); });
        make_room();
    }

    /// Iterates, and gives the loss that `evaluate` returned first. It is a function that empties the gradients, computes
    /// them and returns the loss; it is called as often as the search needs.
    ///
    /// Throws GradientError if the loss or a gradient isn't finite; a line search goes round such places. Then, and if
    /// `evaluate` throws, the parameters are where the iteration began.
    template <class Evaluate>
    double step(Evaluate&& evaluate) {
        return iterate(std::ref(evaluate));
    }

    double learning_rate() const { return options_.learning_rate; }
    /// Throws std::invalid_argument for a negative rate.
    void set_learning_rate(double rate);

    /// By PyTorch's names; history.0 is the oldest pair, y above s.
    template <class F>
    void visit(F&& f) {
        f("learning_rate", options_.learning_rate);
        f("n_iter", iterations_);
        f("d", direction_);
        f("t", t_);
        f("prev_flat_grad", gradient_before_);
        f("H_diag", scale_);
        ArrayList<T> pairs{pairs_, [this](const std::vector<Shape>& shapes) { return expected(shapes); }};
        f("history", pairs);
    }

private:
    using Evaluate = std::function<double()>;

    /// Of the way along d: φ(t) = loss(x + t d) and φ'(t).
    struct Place {
        double t = 0, loss = 0, slope = 0;
        Array<T> gradient;
    };

    explicit LBFGS(LBFGSOptions options);
    void make_room();
    std::string expected(const std::vector<Shape>& shapes) const;

    double iterate(const Evaluate& evaluate);
    void find_direction();
    std::size_t search(const Evaluate& evaluate);
    /// Throws GradientError if something isn't finite.
    void evaluate_here(const Evaluate& evaluate);
    /// Fills the place in, of the parameters as they are.
    void evaluate_at(double t, Place& place, const Evaluate& evaluate);
    /// x + t d to the parameters.
    void move_to(double t);

    const T* y(std::size_t pair) const { return pairs_[pair].data(); }
    const T* s(std::size_t pair) const { return pairs_[pair].data() + size_; }

    LBFGSOptions options_;
    std::vector<std::shared_ptr<typename Parameter<T>::Storage>> parameters_;
    std::size_t size_ = 0;  // of all parameters together

    std::size_t iterations_ = 0;
    Array<T> direction_, gradient_before_;  // of the last iteration
    double t_ = 0;
    double scale_ = 1;              // sᵀy / yᵀy of the last pair
    std::vector<Array<T>> pairs_;   // (2, size)
    Array<T> pair_;                 // the next one
    std::vector<double> inverses_;  // 1 / sᵀy of each pair
    std::vector<double> parts_;     // of each s in the direction, on the way there

    Array<T> start_;  // x
    Place here_;      // the parameters' place, from which an iteration starts
    Place low_, trial_, high_;
};

template <class M>
LBFGS(M&, LBFGSOptions = {}) -> LBFGS<module_value<M>>;

}  // namespace xtape::nn
