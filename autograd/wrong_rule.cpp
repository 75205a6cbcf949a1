#include "autograd/wrong_rule.hpp"

#include <cmath>
#include <random>

#include "autograd/reductions.hpp"
#include "autograd/sweep.hpp"

namespace xtape {
namespace {

constexpr double wrong = 1e-4;  // relative to the size of what is compared

/// A sum of products, and how large it would be if nothing cancelled.
struct Balance {
    double sum = 0;
    double size = 0;

    /// Adds Σ a b, of tensors that broadcast.
    void add(const Var<double>& a, const Var<double>& b) {
        const Var<double> products = a * b;
        sum += xtape::sum(products).item();
        size += xtape::sum(abs(products)).item();
    }
};

Var<double> change(Tape<double>& tape, const Array<double>& before, const Array<double>& after) {
    return tape.constant(after.view() - before.view());
}

/// A random gradient for a value.
Var<double> random_gradient(Tape<double>& tape, const Shape& shape, std::mt19937& engine) {
    Array<double> weights(shape);
    std::uniform_real_distribution<double> uniform(0.5, 1.5);
    for (std::size_t i = 0; i < weights.size(); ++i) weights.data()[i] = uniform(engine);
    return tape.constant(weights);
}

/// How far Σ dy Δy is from Σ dx Δx, relative to their sizes.
double error_of(const Balance& given, const Balance& received) {
    const double size = given.size + received.size;
    if (size == 0) return 0;
    const double error = std::abs(given.sum - received.sum) / size;
    return std::isnan(error) ? 1 : error;
}

/// Runs one rule and adds up what the inputs receive.
class SinglePull final : public Pull<double> {
public:
    SinglePull(Tape<double>& tape, NodeIndex index, const Var<double>& gradient, const Snapshot& before,
               const Snapshot& after)
        : Pull(tape, index, gradient), before_(before), after_(after) {}

    bool wants(std::size_t) const override { return true; }

    using Pull<double>::add;
    void add(std::size_t k, const Var<double>& contribution) override {
        const NodeIndex input = node().inputs[k];
        received.add(contribution, change(tape(), before_.nodes[input], after_.nodes[input]));
    }

    Balance received;

protected:
    void add_statement(std::size_t k, const Statement<double>& contribution) override {
        add(k, record_statement(contribution));
    }

private:
    const Snapshot& before_;
    const Snapshot& after_;
};

double node_error(Tape<double>& tape, NodeIndex index, const Snapshot& before, const Snapshot& after,
                  std::mt19937& engine) {
    const Var<double> dy = random_gradient(tape, tape[index].shape(), engine);
    SinglePull pull(tape, index, dy, before, after);
    tape.at(index).rule->pull(pull);
    Balance given;
    given.add(dy, change(tape, before.nodes[index], after.nodes[index]));
    return error_of(given, pull.received);
}

double step_error(Tape<double>& tape, const Statement<double>& statement,
                  const std::vector<Var<double>>& results, std::size_t s, NodeIndex index,
                  const Snapshot& before, const Snapshot& after, std::mt19937& engine) {
    using From = Step<double>::Argument::From;
    const Step<double>& step = statement.kernel->steps[s];
    std::array<Var<double>, 3> args, changes, contributions;
    for (std::size_t k = 0; k < step.arity(); ++k) {
        const auto [from, number] = step.args[k];
        if (from == From::constant) {
            args[k] = tape.constant(statement.constants[number]);
            changes[k] = tape.constant(0);
        } else if (from == From::leaf) {
            args[k] = statement.leaves[number];
            const NodeIndex leaf = tape.at(index).inputs[number];
            changes[k] = change(tape, before.nodes[leaf], after.nodes[leaf]);
        } else {
            args[k] = results[number];
            changes[k] = change(tape, before.steps[index][number], after.steps[index][number]);
        }
    }
    const Var<double> dy = random_gradient(tape, results[s].shape(), engine);
    step.op().pull(args.data(), results[s], dy, contributions.data());
    Balance given, received;
    given.add(dy, change(tape, before.steps[index][s], after.steps[index][s]));
    for (std::size_t k = 0; k < step.arity(); ++k) {
        if (contributions[k]) received.add(contributions[k], changes[k]);
    }
    return error_of(given, received);
}

}  // namespace

Snapshot::Snapshot(Tape<double>& tape) {
    NoRecording values_only(tape);
    const auto count = static_cast<NodeIndex>(tape.size());
    steps.resize(count);
    for (NodeIndex index = 0; index < count; ++index) {
        nodes.emplace_back(tape[index].value());
        const auto statement = statement_at(tape, index);
        if (!statement) continue;
        for (const Var<double>& result : replay(*statement)) steps[index].emplace_back(result.value());
    }
}

std::string find_wrong_rule(Tape<double>& tape, const Snapshot& before, const Snapshot& after) {
    const auto count = static_cast<NodeIndex>(tape.size());
    if (before.nodes.size() != count || after.nodes.size() != count) return "";

    tape.make_all_nodes();
    NoRecording values_only(tape);
    std::mt19937 engine(1);
    std::string worst_op;
    double worst = wrong;
    const auto compare = [&](double error, const char* op) {
        if (error <= worst) return;
        worst = error;
        worst_op = op;
    };
    for (NodeIndex index = 0; index < count; ++index) {
        const Rule<double>* rule = tape.at(index).rule;
        if (rule == nullptr || rule->pull == nullptr) continue;
        if (const auto statement = statement_at(tape, index)) {
            const auto results = replay(*statement);
            for (std::size_t s = 0; s < results.size(); ++s) {
                compare(step_error(tape, *statement, results, s, index, before, after, engine),
                        statement->kernel->steps[s].op().name);
            }
        } else {
            compare(node_error(tape, index, before, after, engine), rule->name);
        }
    }
    return worst_op;
}

}  // namespace xtape
