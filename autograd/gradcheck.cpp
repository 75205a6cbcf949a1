#include "autograd/gradcheck.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <sstream>

#include "autograd/reductions.hpp"
#include "autograd/sweep.hpp"
#include "autograd/wrong_rule.hpp"

namespace xtape {
namespace {

/// Numbers of size 0.5 to 1.5, of either sign: none is so small that it would hide an element.
Array<double> random_weights(const Shape& shape, std::uint32_t seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> size(0.5, 1.5);
    Array<double> weights(shape);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double sign = engine() % 2 == 0 ? 1 : -1;
        weights.data()[i] = sign * size(engine);
    }
    return weights;
}

/// Keeps what a check changes in a parameter.
class KeptParameter {
public:
    explicit KeptParameter(Parameter<double>& parameter)
        : parameter_(parameter), value_(parameter.value()), had_grad_(parameter.has_grad()) {
        if (had_grad_) grad_ = parameter.grad();
        parameter.zero_grad();
    }
    ~KeptParameter() {
        std::copy_n(value_.data(), value_.size(), parameter_.data());
        parameter_.zero_grad();
        if (had_grad_) std::copy_n(grad_.data(), grad_.size(), parameter_.grad_data());
    }
    KeptParameter(const KeptParameter&) = delete;
    KeptParameter& operator=(const KeptParameter&) = delete;

private:
    Parameter<double>& parameter_;
    Array<double> value_;
    Array<double> grad_;
    bool had_grad_;
};

class Check {
public:
    Check(const char* name, const Differentiable& f, const std::vector<Array<double>>& inputs,
          std::vector<std::string> names, const GradcheckOptions& options)
        : name_(std::string("[") + name + "] "), f_(f), inputs_(inputs), options_(options) {
        for (std::size_t k = 0; k < inputs_.size(); ++k) {
            checked_.push_back({std::move(names[k]), inputs_[k].data(), inputs_[k].shape(), {}});
        }
        for (std::size_t k = 0; k < options.parameters.size(); ++k) {
            Parameter<double>& parameter = *options.parameters[k];
            kept_.push_back(std::make_unique<KeptParameter>(parameter));
            const std::string title =
                parameter.name().empty() ? "parameter " + std::to_string(k) : "parameter " + parameter.name();
            checked_.push_back({title, parameter.data(), parameter.shape(), {}});
        }
    }

    void run(bool must_depend) {
        compute_by_backward(must_depend);
        for (const Checked& checked : checked_) {
            for (std::size_t i = 0; i < checked.gradient.size(); ++i) compare(checked, i);
        }
    }

private:
    /// A tensor whose elements are moved, and its gradient by backward.
    struct Checked {
        std::string name;
        double* elements;
        Shape shape;
        Array<double> gradient;
    };

    Var<double> evaluate() {
        tape_.clear();
        variables_.clear();
        for (const Array<double>& input : inputs_) variables_.push_back(tape_.variable(input));
        return f_(variables_);
    }

    /// Σ weights y
    double projected() {
        const Var<double> y = evaluate();
        if (y.shape() != weights_.shape()) throw_varies();
        return sum(y * tape_.constant(weights_)).item();
    }

    [[noreturn]] void throw_varies() const {
        throw GradientError(name_ + "the function gave two different results for the same inputs");
    }

    void compute_by_backward(bool must_depend) {
        weights_ = random_weights(evaluate().shape(), options_.seed);
        if (const double first = projected(); !(first == projected() || std::isnan(first))) throw_varies();

        const Var<double> y = evaluate();
        for (Checked& checked : checked_) checked.gradient = Array<double>(checked.shape);
        if (!y.needs_gradient()) {
            if (must_depend)
                throw GradientError(
                    name_ + "the function's result depends on none of its inputs: nothing was recorded");
            return;
        }
        backward(y, tape_.constant(weights_));
        for (std::size_t k = 0; k < variables_.size(); ++k) {
            if (variables_[k].has_grad()) checked_[k].gradient = variables_[k].grad();
        }
        for (std::size_t k = 0; k < options_.parameters.size(); ++k) {
            checked_[variables_.size() + k].gradient = options_.parameters[k]->grad();
        }
    }

    /// The i-th element's derivative by central differences.
    double difference(const Checked& checked, std::size_t i, double step) {
        double& element = checked.elements[i];
        const double x = element;
        const double above = x + step;
        const double below = x - step;
        element = above;
        const double y_above = projected();
        element = below;
        const double y_below = projected();
        element = x;
        return (y_above - y_below) / (above - below);
    }

    void compare(const Checked& checked, std::size_t i) {
        const double step = options_.step * std::max(1.0, std::abs(checked.elements[i]));
        const double by_backward = checked.gradient.data()[i];
        const double by_differences = difference(checked, i, step);
        const double larger = std::max(std::abs(by_backward), std::abs(by_differences));
        if (std::abs(by_backward - by_differences) <=
            options_.absolute_tolerance + options_.relative_tolerance * larger) {
            return;
        }
        GradcheckError::Mismatch mismatch{wrong_op(), checked.name, index_of(i, checked.shape), by_backward,
                                          by_differences};
        throw GradcheckError(describe(mismatch, step), mismatch);
    }

    std::string describe(const GradcheckError::Mismatch& mismatch, double step) {
        std::ostringstream text;
        text.precision(10);
        text << name_;
        if (!mismatch.op.empty()) text << "op " << mismatch.op << ": ";
        text << "the derivative to " << mismatch.input << " at index " << to_string(mismatch.index) << " is "
             << mismatch.by_backward << " by backward, but " << mismatch.by_differences
             << " by central differences with step " << step;
        if (mismatch.op.empty()) text << "; the ops' rules by themselves agree with differences";
        return text.str();
    }

    static Shape index_of(std::size_t i, const Shape& shape) {
        Shape index = shape;
        for (std::size_t axis = shape.size(); axis-- > 0; i /= shape[axis]) index.set(axis, i % shape[axis]);
        return index;
    }

    /// Moves everything along a random direction and asks which rule doesn't follow.
    std::string wrong_op() {
        const auto move = [&](double step) {
            for (std::size_t k = 0; k < checked_.size(); ++k) {
                const Array<double> direction =
                    random_weights(checked_[k].shape, options_.seed + 1 + static_cast<std::uint32_t>(k));
                for (std::size_t i = 0; i < direction.size(); ++i)
                    checked_[k].elements[i] += step * direction.data()[i];
            }
        };
        move(-options_.step);
        evaluate();
        const Snapshot before(tape_);
        move(2 * options_.step);
        evaluate();
        const Snapshot after(tape_);
        move(-options_.step);
        evaluate();
        return find_wrong_rule(tape_, before, after);
    }

    std::string name_;
    const Differentiable& f_;
    std::vector<Array<double>> inputs_;
    const GradcheckOptions& options_;
    std::vector<std::unique_ptr<KeptParameter>> kept_;
    std::vector<Checked> checked_;
    Tape<double> tape_;
    std::vector<Var<double>> variables_;
    Array<double> weights_;
};

std::vector<std::string> input_names(std::size_t count) {
    std::vector<std::string> names;
    for (std::size_t k = 0; k < count; ++k) names.push_back("input " + std::to_string(k));
    return names;
}

}  // namespace

void gradcheck(const Differentiable& f, const std::vector<Array<double>>& inputs,
               const GradcheckOptions& options) {
    Check("gradcheck", f, inputs, input_names(inputs.size()), options).run(true);
}

void gradgradcheck(const Differentiable& f, const std::vector<Array<double>>& inputs,
                   const GradcheckOptions& options) {
    std::vector<Array<double>> extended = inputs;
    {
        Tape<double> tape;
        std::vector<Var<double>> variables;
        for (const Array<double>& input : inputs) variables.push_back(tape.variable(input));
        extended.push_back(random_weights(f(variables).shape(), options.seed));
    }
    // The gradient of f, projected to one number by random weights; the last input is the gradient of its result.
    const Differentiable projected_gradient = [&](std::span<const Var<double>> x) {
        const Var<double> y = f(x.first(inputs.size()));
        Tape<double>& tape = y.tape();
        std::vector<Var<double>> leaves(x.begin(), x.end() - 1);
        for (const Parameter<double>* parameter : options.parameters)
            leaves.push_back(tape.watch(*parameter));
        const std::vector<Var<double>> gradients =
            grad<double>(y, leaves, {.create_graph = true, .seed = x.back()});
        Var<double> projected = tape.constant(0);
        for (std::size_t k = 0; k < gradients.size(); ++k) {
            const Array<double> weights =
                random_weights(leaves[k].shape(), options.seed + 1 + static_cast<std::uint32_t>(k));
            projected = projected + sum(gradients[k] * tape.constant(weights));
        }
        return projected;
    };
    auto names = input_names(inputs.size());
    names.push_back("the gradient of the result");
    Check("gradgradcheck", projected_gradient, extended, std::move(names), options).run(false);
}

}  // namespace xtape
