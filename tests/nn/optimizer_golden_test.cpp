// Twenty steps of every optimizer against PyTorch: see golden/make_optimizers.py.

#include <string>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

namespace nn = xtape::nn;
using xtape::Parameter;

namespace {

constexpr double precision = 1e-12;

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("optimizers.txt");
    return file(name);
}

template <template <class> class Optimizer, class Options>
void check_path(const std::string& name, Options options) {
    INFO(name);
    const xt::xarray<double>& gradients = golden("gradients");
    const xt::xarray<double>& path = golden("optimizer/" + name);
    Parameter<double> p(golden("start"));
    Optimizer<double> optimizer(p, options);
    for (std::size_t step = 0; step < gradients.shape(0); ++step) {
        INFO("step " << step);
        p.grad() = xt::view(gradients, step, xt::all());
        optimizer.step();
        const xt::xarray<double> expected = xt::view(path, step, xt::all());
        CHECK(numbers::distance(p.value(), expected) < precision);
    }
}

/// The same in two groups, of which the second has other options.
template <template <class> class Optimizer, class Options>
void check_groups(const std::string& name, Options first, Options second) {
    INFO(name);
    const xt::xarray<double>& gradients = golden("gradients");
    const xt::xarray<double>& path = golden("groups/" + name);
    constexpr std::size_t split = 4;
    auto head = xt::range(std::size_t(0), split), tail = xt::range(split, gradients.shape(1));
    Parameter<double> p(xt::view(golden("start"), head)), q(xt::view(golden("start"), tail));
    Optimizer<double> optimizer(p, first);
    optimizer.add_group(q, second);
    for (std::size_t step = 0; step < gradients.shape(0); ++step) {
        INFO("step " << step);
        if (step == gradients.shape(0) / 2) optimizer.set_learning_rate(first.learning_rate / 2);
        p.grad() = xt::view(gradients, step, head);
        q.grad() = xt::view(gradients, step, tail);
        optimizer.step();
        const xt::xarray<double> expected_p = xt::view(path, step, head);
        const xt::xarray<double> expected_q = xt::view(path, step, tail);
        CHECK(numbers::distance(p.value(), expected_p) < precision);
        CHECK(numbers::distance(q.value(), expected_q) < precision);
    }
}

}  // namespace

TEST_CASE("optimizer: two groups with options of their own take PyTorch's path, at rates in proportion") {
    check_groups<nn::SGD>("sgd", nn::SGDOptions{.learning_rate = 0.1, .momentum = 0.8},
                          nn::SGDOptions{.learning_rate = 0.03, .weight_decay = 0.1});
    check_groups<nn::Adam>("adam", nn::AdamOptions{.learning_rate = 0.05},
                           nn::AdamOptions{.learning_rate = 0.2,
                                           .beta1 = 0.8,
                                           .beta2 = 0.6,
                                           .epsilon = 1e-3,
                                           .weight_decay = 0.2,
                                           .amsgrad = true});
    check_groups<nn::AdamW>("adamw", nn::AdamWOptions{.learning_rate = 0.05},
                            nn::AdamWOptions{.learning_rate = 0.2,
                                             .beta1 = 0.8,
                                             .beta2 = 0.6,
                                             .epsilon = 1e-3,
                                             .weight_decay = 0,
                                             .amsgrad = true});
    check_groups<nn::RMSprop>(
        "rmsprop", nn::RMSpropOptions{.learning_rate = 0.02, .centered = true},
        nn::RMSpropOptions{.learning_rate = 0.04, .alpha = 0.9, .momentum = 0.7, .weight_decay = 0.2});
    check_groups<nn::Adagrad>(
        "adagrad", nn::AdagradOptions{.learning_rate = 0.3},
        nn::AdagradOptions{
            .learning_rate = 0.1, .learning_rate_decay = 0.1, .initial_sum = 0.5, .weight_decay = 0.2});
}

TEST_CASE("optimizer: SGD takes PyTorch's path, with every option") {
    using Options = nn::SGDOptions;
    check_path<nn::SGD>("sgd", Options{.learning_rate = 0.1});
    check_path<nn::SGD>("sgd_decay", Options{.learning_rate = 0.1, .weight_decay = 0.03});
    check_path<nn::SGD>("sgd_momentum", Options{.learning_rate = 0.1, .momentum = 0.8});
    check_path<nn::SGD>(
        "sgd_dampening",
        Options{.learning_rate = 0.1, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.03});
    check_path<nn::SGD>(
        "sgd_nesterov",
        Options{.learning_rate = 0.1, .momentum = 0.8, .nesterov = true, .weight_decay = 0.03});
}

TEST_CASE("optimizer: Adam and AdamW take PyTorch's path, with every option") {
    const auto check_both = [](const std::string& adam, const std::string& adamw, auto set) {
        nn::AdamOptions options{.learning_rate = 0.05};
        set(options);
        check_path<nn::Adam>(adam, options);
        nn::AdamWOptions decoupled{.learning_rate = 0.05};
        set(decoupled);
        check_path<nn::AdamW>(adamw, decoupled);
    };
    check_both("adam", "adamw", [](auto&) {});
    check_both("adam_decay", "adamw_decay", [](auto& options) {
        options.beta1 = 0.8;
        options.beta2 = 0.95;
        options.epsilon = 1e-3;
        options.weight_decay = 0.2;
    });
    check_both("adam_amsgrad", "adamw_amsgrad", [](auto& options) {
        options.beta1 = 0.8;
        options.beta2 = 0.6;  // forgets large gradients, which amsgrad doesn't
        options.weight_decay = 0.2;
        options.amsgrad = true;
    });
}

TEST_CASE("optimizer: RMSprop takes PyTorch's path, with every option") {
    using Options = nn::RMSpropOptions;
    check_path<nn::RMSprop>("rmsprop", Options{.learning_rate = 0.02});
    check_path<nn::RMSprop>(
        "rmsprop_decay", Options{.learning_rate = 0.02, .alpha = 0.9, .epsilon = 1e-3, .weight_decay = 0.2});
    check_path<nn::RMSprop>("rmsprop_momentum", Options{.learning_rate = 0.02, .momentum = 0.7});
    check_path<nn::RMSprop>("rmsprop_centered",
                            Options{.learning_rate = 0.02, .alpha = 0.9, .centered = true});
    check_path<nn::RMSprop>(
        "rmsprop_all",
        Options{.learning_rate = 0.02, .alpha = 0.9, .momentum = 0.7, .centered = true, .weight_decay = 0.2});
}

TEST_CASE("optimizer: Adagrad takes PyTorch's path, with every option") {
    using Options = nn::AdagradOptions;
    check_path<nn::Adagrad>("adagrad", Options{.learning_rate = 0.3});
    check_path<nn::Adagrad>("adagrad_all", Options{.learning_rate = 0.3,
                                                   .learning_rate_decay = 0.1,
                                                   .initial_sum = 0.5,
                                                   .epsilon = 1e-3,
                                                   .weight_decay = 0.2});
}
