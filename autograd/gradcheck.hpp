#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/array.hpp"
#include "autograd/parameter.hpp"
#include "autograd/statement.hpp"

namespace xtape {

/// What is checked: anything that computes a value of any shape from inputs. It is called often, each time with new
/// Vars, and must give the same for the same inputs: no random numbers, no state.
using Differentiable = std::function<Var<double>(std::span<const Var<double>> inputs)>;

struct GradcheckOptions {
    /// An element x is moved by step * max(1, |x|) to either side.
    double step = 6e-6;
    /// Both numbers may differ by absolute_tolerance + relative_tolerance * the larger one.
    double relative_tolerance = 1e-6;
    double absolute_tolerance = 1e-8;
    /// Of the random weights by which a result with several elements becomes one number.
    std::uint32_t seed = 1;
    /// Parameters that the function watches by itself, checked like inputs.
    std::vector<Parameter<double>*> parameters = {};
};

/// A derivative is wrong. The message names op, input, index and both numbers.
struct GradcheckError : std::runtime_error {
    struct Mismatch {
        std::string op;     // whose rule is wrong; empty if each rule by itself is right
        std::string input;  // "input 0", say, or a parameter's name
        Shape index;        // of the element
        double by_backward = 0;
        double by_differences = 0;
    };

    GradcheckError(const std::string& message, Mismatch found)
        : runtime_error(message), mismatch(std::move(found)) {}

    Mismatch mismatch;
};

/// Compares the gradient that `backward` computes with central differences, (f(x + h) - f(x - h)) / 2h, for every
/// element of every input:
///
///     gradcheck([](auto x) { return my_op(x[0], x[1]); }, {xt::random::rand<double>({3, 4}), b});
///
/// Throws GradcheckError where they differ, and GradientError if the result depends on no input. Where f isn't
/// smooth, at a kink of relu say, the numbers differ rightly: choose inputs away from it.
void gradcheck(const Differentiable& f, const std::vector<Array<double>>& inputs,
               const GradcheckOptions& options = {});

/// The same for derivatives of derivatives: checks the gradient of f, as `grad` with create_graph records it, with
/// regard to the inputs and to the gradient of f's result.
void gradgradcheck(const Differentiable& f, const std::vector<Array<double>>& inputs,
                   const GradcheckOptions& options = {});

}  // namespace xtape
