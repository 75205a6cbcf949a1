// The losses against those of torch.nn.functional: see golden/make_losses.py.

#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

using numbers::distance;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("losses.txt");
    return file(name);
}

/// Calls loss(x, target, reduction) with all reductions, and compares losses and gradients.
template <class Loss>
void check_loss(const std::string& name, Loss loss) {
    const std::pair<const char*, nn::Reduction> reductions[] = {
        {"mean", nn::Reduction::mean}, {"sum", nn::Reduction::sum}, {"none", nn::Reduction::none}};
    for (const auto& [reduction_name, reduction] : reductions) {
        const std::string result = name + "/" + reduction_name;
        INFO(result);
        Tape<double> tape;
        const Var<double> x = tape.variable(golden(name + "/x"));
        const Var<double> y = loss(x, tape.constant(golden(name + "/target")), reduction);
        CHECK(distance(y.value(), golden(result)) < 1e-12);
        backward(y, tape.constant(golden(result + "/seed")));
        CHECK(distance(x.grad(), golden(result + "/grad")) < 1e-12);
    }
}

std::vector<double> weights() { return {golden("weights").begin(), golden("weights").end()}; }

}  // namespace

TEST_CASE("losses: of differences are PyTorch's") {
    check_loss("mse", [](auto y, auto target, auto reduction) { return nn::mse(y, target, reduction); });
    check_loss("l1", [](auto y, auto target, auto reduction) { return nn::l1(y, target, reduction); });
    check_loss("smooth_l1",
               [](auto y, auto target, auto reduction) { return nn::smooth_l1(y, target, 0.7, reduction); });
    check_loss("huber",
               [](auto y, auto target, auto reduction) { return nn::huber(y, target, 1.5, reduction); });
}

TEST_CASE("losses: against probabilities are PyTorch's") {
    check_loss("bce", [](auto x, auto p, auto reduction) { return nn::bce_with_logits(x, p, reduction); });
    check_loss("bce_weights", [](auto x, auto p, auto reduction) {
        return nn::bce_with_logits(x, p, {.reduction = reduction, .pos_weight = weights()});
    });
    check_loss("kl_div", [](auto x, auto p, auto reduction) { return nn::kl_div(x, p, reduction); });
}

TEST_CASE("losses: of classes are PyTorch's, with weights, an ignored class and smoothed labels") {
    const xt::xarray<int> classes = golden("classes");
    check_loss("nll", [&](auto x, auto, auto reduction) { return nn::nll(x, classes, reduction); });
    check_loss("nll_weights", [&](auto x, auto, auto reduction) {
        return nn::nll(x, classes, {.reduction = reduction, .weights = weights()});
    });
    check_loss("nll_ignore", [&](auto x, auto, auto reduction) {
        return nn::nll(x, classes, {.reduction = reduction, .ignore_index = 2, .weights = weights()});
    });
    check_loss("classes",
               [&](auto x, auto, auto reduction) { return nn::cross_entropy(x, classes, reduction); });
    check_loss("classes_weights", [&](auto x, auto, auto reduction) {
        return nn::cross_entropy(x, classes, {.reduction = reduction, .weights = weights()});
    });
    check_loss("classes_ignore", [&](auto x, auto, auto reduction) {
        return nn::cross_entropy(x, classes, {.reduction = reduction, .ignore_index = 2});
    });
    check_loss("classes_smooth", [&](auto x, auto, auto reduction) {
        return nn::cross_entropy(x, classes, {.reduction = reduction, .label_smoothing = 0.2});
    });
    check_loss("classes_all", [&](auto x, auto, auto reduction) {
        return nn::cross_entropy(
            x, classes,
            {.reduction = reduction, .ignore_index = 2, .weights = weights(), .label_smoothing = 0.2});
    });
}

TEST_CASE("losses: of probabilities of classes are PyTorch's") {
    check_loss("probabilities",
               [](auto x, auto p, auto reduction) { return nn::cross_entropy(x, p, reduction); });
    check_loss("probabilities_all", [](auto x, auto p, auto reduction) {
        return nn::cross_entropy(x, p,
                                 {.reduction = reduction, .weights = weights(), .label_smoothing = 0.2});
    });
}
