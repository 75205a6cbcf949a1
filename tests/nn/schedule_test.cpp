// Schedules in numbers, and against PyTorch: see golden/make_optimizers.py.

#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"

namespace nn = xtape::nn;
using Catch::Contains;

namespace {

constexpr double precision = 1e-12;

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("optimizers.txt");
    return file(name);
}

}  // namespace

TEST_CASE("schedule: the rates at the corners of each definition") {
    const nn::StepLR step{.learning_rate = 8, .every = 3, .gamma = 0.5};
    CHECK(step(2) == 8);
    CHECK(step(3) == 4);
    CHECK(step(9) == 1);

    const nn::LinearLR warm_up{.learning_rate = 8, .steps = 4, .start_factor = 0};
    CHECK(warm_up(0) == 0);
    CHECK(warm_up(1) == 2);
    CHECK(warm_up(4) == 8);
    CHECK(warm_up(1000) == 8);

    const nn::CosineAnnealingLR cosine{.learning_rate = 5, .steps = 10, .min_rate = 1};
    CHECK(cosine(0) == 5);
    CHECK(cosine(5) == Approx(3));
    CHECK(cosine(10) == 1);
    CHECK(cosine(20) == 5);

    // Periods of 2, 6 and 18 steps.
    const nn::CosineAnnealingWarmRestarts restarts{.learning_rate = 4, .first_period = 2, .factor = 3};
    CHECK(restarts(1) == Approx(2));
    CHECK(restarts(2) == 4);
    CHECK(restarts(5) == Approx(2));
    CHECK(restarts(8) == 4);
    CHECK(restarts(17) == Approx(2));
    CHECK(restarts(26) == 4);
}

TEST_CASE("schedule: one cycle ends where it should, and stays there") {
    const nn::OneCycleLR cycle{
        .max_rate = 8, .steps = 11, .rising_part = 6.0 / 11, .start_divisor = 4, .end_divisor = 2};
    CHECK(cycle(0) == Approx(2));
    CHECK(cycle(5) == Approx(8));
    CHECK(cycle(10) == Approx(1));
    CHECK(cycle(13) == Approx(1));
}

TEST_CASE("schedule: one cycle has a rate for every step, however short its phases") {
    for (double rising_part : {0.0, 0.25, 0.5, 1.0}) {
        for (std::size_t steps : {1u, 2u, 4u}) {
            for (bool three : {false, true}) {
                const nn::OneCycleLR cycle{
                    .max_rate = 1, .steps = steps, .rising_part = rising_part, .three_phases = three};
                for (std::size_t step = 0; step <= steps; ++step) {
                    CAPTURE(rising_part, steps, three, step);
                    CHECK(cycle(step) > 0);
                    CHECK(cycle(step) <= 1);
                }
            }
        }
    }
}

TEST_CASE("schedule: every rate is that of PyTorch's scheduler") {
    const std::map<std::string, std::function<double(std::size_t)>> schedules{
        {"step", nn::StepLR{.learning_rate = 0.2, .every = 7, .gamma = 0.3}},
        {"exponential", nn::ExponentialLR{.learning_rate = 0.2, .gamma = 0.9}},
        {"linear", nn::LinearLR{.learning_rate = 0.2, .steps = 8, .start_factor = 0.1}},
        {"cosine", nn::CosineAnnealingLR{.learning_rate = 0.2, .steps = 12, .min_rate = 0.01}},
        {"restarts",
         nn::CosineAnnealingWarmRestarts{.learning_rate = 0.2, .first_period = 7, .min_rate = 0.01}},
        {"longer_restarts",
         nn::CosineAnnealingWarmRestarts{
             .learning_rate = 0.2, .first_period = 4, .factor = 2, .min_rate = 0.01}},
        {"one_cycle", nn::OneCycleLR{.max_rate = 0.2, .steps = 30}},
        {"one_cycle_three", nn::OneCycleLR{.max_rate = 0.2,
                                           .steps = 30,
                                           .rising_part = 0.25,
                                           .start_divisor = 10,
                                           .end_divisor = 100,
                                           .three_phases = true}},
        {"one_cycle_linear",
         nn::OneCycleLR{.max_rate = 0.2, .steps = 30, .rising_part = 0.4, .linear = true}},
        {"warm_up_and_decay",
         [](std::size_t step) {
             const nn::ExponentialLR decay{.learning_rate = 0.2, .gamma = 0.9};
             const nn::LinearLR warm_up{.steps = 8, .start_factor = 0.1};
             return decay(step) * warm_up(step);
         }},
    };
    for (const auto& [name, schedule] : schedules) {
        const xt::xarray<double>& rates = golden("schedule/" + name);
        for (std::size_t step = 0; step < rates.size(); ++step) {
            INFO(name << ", step " << step);
            CHECK(std::abs(schedule(step) - rates(step)) < precision);
        }
    }
}

TEST_CASE("schedule: on a plateau the rate falls when PyTorch's does") {
    using Options = nn::ReduceLROnPlateauOptions;
    const std::map<std::string, Options> cases{
        {"plain", {.learning_rate = 0.2, .patience = 2}},
        {"cooldown", {.learning_rate = 0.2, .factor = 0.3, .patience = 1, .cooldown = 3, .min_rate = 0.03}},
        {"absolute",
         {.learning_rate = 0.2, .factor = 0.5, .patience = 1, .threshold = 0.2, .absolute_threshold = true}},
        {"larger",
         {.learning_rate = 0.2, .factor = 0.5, .patience = 1, .threshold = 0.05, .larger_is_better = true}},
        {"larger_absolute",
         {.learning_rate = 0.2,
          .factor = 0.5,
          .patience = 1,
          .threshold = 0.2,
          .absolute_threshold = true,
          .larger_is_better = true}},
        {"least_change", {.learning_rate = 0.2, .factor = 0.5, .patience = 0, .least_change = 0.01}},
    };
    const xt::xarray<double>& metrics = golden("metrics");
    for (const auto& [name, options] : cases) {
        const xt::xarray<double>& rates = golden("plateau/" + name);
        nn::ReduceLROnPlateau schedule(options);
        for (std::size_t step = 0; step < metrics.size(); ++step) {
            INFO(name << ", step " << step);
            const double metric = options.larger_is_better ? 4 - metrics(step) : metrics(step);
            CHECK(std::abs(schedule(metric) - rates(step)) < precision);
            CHECK(schedule.learning_rate() == Approx(rates(step)));
        }
    }
}

TEST_CASE("schedule: drives an optimizer") {
    xtape::Parameter<double> p(xtape::Shape{1});
    nn::SGD sgd(p);
    const nn::StepLR schedule{.learning_rate = 1, .every = 2, .gamma = 0.5};
    p.grad()(0) = 1;
    for (std::size_t step = 0; step < 6; ++step) {
        sgd.set_learning_rate(schedule(step));
        sgd.step();
    }
    CHECK(p.value()(0) == -(1 + 1 + 0.5 + 0.5 + 0.25 + 0.25));
}

TEST_CASE("schedule: a metric that isn't a number is no better") {
    nn::ReduceLROnPlateau schedule({.learning_rate = 1, .factor = 0.5, .patience = 1});
    CHECK(schedule(3) == 1);
    CHECK(schedule(std::nan("")) == 1);
    CHECK(schedule(std::nan("")) == 0.5);
    CHECK(schedule(2) == 0.5);
}

TEST_CASE("schedule: numbers that make no sense are refused by name") {
    CHECK_THROWS_WITH((nn::StepLR{.every = 0}(0)), Contains("[StepLR] every"));
    CHECK_THROWS_WITH((nn::StepLR{.learning_rate = -1, .every = 1}(0)), Contains("[StepLR] learning_rate"));
    CHECK_THROWS_WITH((nn::ExponentialLR{.gamma = -1}(0)), Contains("[ExponentialLR] gamma"));
    CHECK_THROWS_WITH((nn::LinearLR{.steps = 0}(0)), Contains("[LinearLR] steps"));
    CHECK_THROWS_WITH((nn::LinearLR{.steps = 1, .start_factor = -1}(0)), Contains("[LinearLR] start_factor"));
    CHECK_THROWS_WITH((nn::CosineAnnealingLR{.steps = 0}(0)), Contains("[CosineAnnealingLR] steps"));
    CHECK_THROWS_WITH((nn::CosineAnnealingWarmRestarts{.first_period = 0}(0)),
                      Contains("[CosineAnnealingWarmRestarts] first_period"));
    CHECK_THROWS_WITH((nn::CosineAnnealingWarmRestarts{.first_period = 1, .factor = 0}(9)),
                      Contains("[CosineAnnealingWarmRestarts] factor"));
    CHECK_THROWS_WITH((nn::OneCycleLR{.steps = 1, .rising_part = 1.5}(0)),
                      Contains("[OneCycleLR] rising_part"));
    CHECK_THROWS_WITH((nn::OneCycleLR{.steps = 1, .end_divisor = 0}(0)),
                      Contains("[OneCycleLR] end_divisor"));
    CHECK_THROWS_WITH(nn::ReduceLROnPlateau({.factor = 1}), Contains("[ReduceLROnPlateau] factor"));
    CHECK_THROWS_WITH(nn::ReduceLROnPlateau({.threshold = 1}), Contains("[ReduceLROnPlateau] threshold"));
    CHECK_THROWS_AS(nn::ReduceLROnPlateau({.min_rate = -1}), std::invalid_argument);
}

TEST_CASE("schedules: a length that wasn't given is refused, and a plateau is no function of the step") {
    CHECK_THROWS_WITH(nn::CosineAnnealingLR{.learning_rate = 1}(0), Catch::Contains("steps is 0"));
    CHECK_THROWS_WITH(nn::LinearLR{.learning_rate = 1}(0), Catch::Contains("steps is 0"));
    CHECK_THROWS_WITH(nn::OneCycleLR{.max_rate = 1}(0), Catch::Contains("steps is 0"));
    CHECK_THROWS_WITH(nn::StepLR{.learning_rate = 1}(0), Catch::Contains("every is 0"));
    CHECK_THROWS_WITH(nn::CosineAnnealingWarmRestarts{.learning_rate = 1}(0),
                      Catch::Contains("first_period is 0"));
    STATIC_REQUIRE(!std::is_invocable_v<nn::ReduceLROnPlateau&, std::size_t>);
    STATIC_REQUIRE(std::is_invocable_v<nn::ReduceLROnPlateau&, double>);
}
