#include "nn/state_file.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"
#include "tests/temporary_directory.hpp"

namespace nn = xtape::nn;
using Catch::Contains;
using xtape::Array;
using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

namespace {

enum class Mood : std::int16_t { calm, wild = -7 };

/// A part of every kind that there is.
struct Everything {
    Parameter<float> floats{Shape{2, 3}};
    Parameter<double> doubles{Shape{4}};
    std::vector<Parameter<double>> several{2, Parameter<double>(Shape{2})};
    Array<float> array{Shape{3}};
    xt::xtensor<int, 2> tensor = xt::zeros<int>({2, 2});
    xt::xarray<double> scalar = 0.0;
    double number = 0;
    float narrow = 0;
    bool flag = false;
    std::int64_t whole = 0;
    std::size_t step = 0;
    char letter = ' ';
    Mood mood = Mood::calm;
    std::array<std::uint8_t, 3> bytes{};
    std::vector<double> losses;
    std::string text;
    nn::Engine engine{1};

    template <class F>
    void visit(F&& f) {
        f("floats", floats);
        f("doubles", doubles);
        f("several", several);
        f("array", array);
        f("tensor", tensor);
        f("scalar", scalar);
        f("number", number);
        f("narrow", narrow);
        f("flag", flag);
        f("whole", whole);
        f("step", step);
        f("letter", letter);
        f("mood", mood);
        f("bytes", bytes);
        f("losses", losses);
        f("text", text);
        f("engine", engine);
    }
};

Everything filled() {
    Everything all;
    all.floats.value() =
        xt::xtensor<float, 2>{{1, 2, 3}, {-0.0f, 5e-45f, -std::numeric_limits<float>::infinity()}};
    all.doubles.value() = xt::xtensor<double, 1>{-0.0, std::numeric_limits<double>::denorm_min(),
                                                 std::bit_cast<double>(0x7FF8'0000'DEAD'BEEF), 1.0 / 3};
    all.several[1].value()(1) = 7;
    all.array.view()(2) = -2.5f;
    all.tensor(0, 1) = -3;
    all.scalar() = 0.1;
    all.number = std::bit_cast<double>(0xFFF0'0000'0000'0001);  // a signalling NaN
    all.narrow = -0.0f;
    all.flag = true;
    all.whole = std::numeric_limits<std::int64_t>::min();
    all.step = std::numeric_limits<std::size_t>::max();
    all.letter = 'x';
    all.mood = Mood::wild;
    all.bytes = {1, 2, 255};
    all.losses = {3, 2, 1};
    all.text = "naïve";
    all.engine.discard(12345);
    return all;
}

template <class T>
bool same_bits(const T* a, const T* b, std::size_t count) {
    return std::memcmp(a, b, count * sizeof(T)) == 0;
}
template <class T>
bool same_bits(const Parameter<T>& a, const Parameter<T>& b) {
    return a.shape() == b.shape() && same_bits(a.data(), b.data(), a.size());
}

std::vector<std::string> names_in(const std::string& file) {
    std::vector<std::string> names;
    const nn::SafetensorsFile read(file);
    for (const nn::TensorEntry& entry : read.tensors()) names.push_back(entry.name);
    std::ranges::sort(names);
    return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("state: every kind of part comes back bit by bit") {
    const TemporaryDirectory directory;
    const std::string file = directory / "run.safetensors";
    const Everything saved = filled();
    nn::save(saved, file);

    Everything loaded;
    loaded.losses.resize(10);
    nn::load(loaded, file);
    CHECK(same_bits(loaded.floats, saved.floats));
    CHECK(same_bits(loaded.doubles, saved.doubles));
    CHECK(same_bits(loaded.several[1], saved.several[1]));
    CHECK(same_bits(loaded.array.data(), saved.array.data(), 3));
    CHECK((loaded.tensor == saved.tensor));
    CHECK(loaded.scalar() == 0.1);
    CHECK(same_bits(&loaded.number, &saved.number, 1));
    CHECK(same_bits(&loaded.narrow, &saved.narrow, 1));
    CHECK(loaded.flag);
    CHECK(loaded.whole == saved.whole);
    CHECK(loaded.step == saved.step);
    CHECK(loaded.letter == 'x');
    CHECK(loaded.mood == Mood::wild);
    CHECK(loaded.bytes == saved.bytes);
    CHECK(loaded.losses == saved.losses);
    CHECK(loaded.text == saved.text);
    nn::Engine engine(1);
    engine.discard(12345);
    for (int draw = 0; draw < 1000; ++draw) CHECK(loaded.engine() == engine());
    loaded.engine = saved.engine;

    nn::save(loaded, directory / "again.safetensors");
    CHECK((contents_of(directory / "again.safetensors") == contents_of(file)));
}

TEST_CASE("state: a file names parts by their paths, and says what it is") {
    const TemporaryDirectory directory;
    const std::string file = directory / "run.safetensors";
    nn::save(Everything(), file);
    CHECK(names_in(file) == Names{"array", "bytes", "doubles", "engine", "flag", "floats", "letter", "losses",
                                  "mood", "narrow", "number", "scalar", "several.0", "several.1", "step",
                                  "tensor", "text", "whole"});
    const nn::SafetensorsFile read(file);
    CHECK(read.metadata() == std::map<std::string, std::string>{{"format", "xtape"}, {"version", "1"}});
    CHECK(read.get("floats").shape == Shape{2, 3});
    CHECK(read.get("floats").dtype == nn::DType::F32);
    CHECK(read.get("step").shape == Shape{});
    CHECK(read.get("step").dtype == nn::DType::U64);
    CHECK(read.get("mood").dtype == nn::DType::I16);
    CHECK(read.get("flag").dtype == nn::DType::BOOL);
    CHECK(read.get("text").dtype == nn::DType::U8);
}

namespace {

/// A model with dropout, trained on a stream: all that goes on from step to step.
template <class Optimizer>
struct Run {
    struct Model {
        using value_type = double;
        nn::LSTMCell<double> cell;
        nn::Linear<double> head;

        template <class F>
        void visit(F&& f) {
            f("cell", cell);
            f("head", head);
        }
    };

    nn::Engine engine{7};
    Model model{{3, 4, engine}, {4, 2, engine}};
    Optimizer optimizer;
    nn::ReduceLROnPlateau schedule{{.learning_rate = 0.1, .factor = 0.5, .patience = 1, .cooldown = 1}};
    nn::CarriedState<nn::LSTMCell<double>::State> carried;
    std::size_t step = 0;
    double loss = 0;

    template <class F>
    void visit(F&& f) {
        f("engine", engine);
        f("model", model);
        f("optimizer", optimizer);
        f("schedule", schedule);
        f("carried", carried);
        f("step", step);
        f("loss", loss);
    }

    explicit Run(const std::function<Optimizer(Model&)>& make) : optimizer(make(model)) {}

    void train(std::size_t to) {
        Tape<double> tape;
        xt::xtensor<double, 3> xs = xt::zeros<double>({5, 2, 3});
        const nn::Dropout dropout(0.3, engine);
        for (; step < to; ++step) {
            tape.clear();
            for (double& x : xs) x = std::normal_distribution<double>()(engine);
            nn::zero_grad(model);
            const auto [outputs, last] = nn::unroll(model.cell, tape.constant(xs), carried);
            const Var<double> value = mean(square(model.head(dropout(outputs)) - 0.5));
            backward(value);
            if constexpr (requires { optimizer.step(); }) {
                optimizer.step();
                optimizer.set_learning_rate(schedule(value.item()));
            } else {
                // The same loss each time it is asked for.
                const Var<double> weights = tape.watch(model.head.weight);
                optimizer.step([&] {
                    nn::zero_grad(model);
                    const Var<double> distance = sum(square(tape.watch(model.cell.weight) - 0.1)) +
                                                 sum(square(weights - value.item()));
                    backward(distance);
                    return distance.item();
                });
            }
            loss = value.item();
        }
    }
};

/// Ten steps at once, and five, saved, and five of another run that loads them.
template <class Optimizer>
void check_resumed(const std::function<Optimizer(typename Run<Optimizer>::Model&)>& make) {
    const TemporaryDirectory directory;
    Run<Optimizer> whole(make), first(make), second(make);
    whole.train(10);
    first.train(5);
    nn::save(first, directory / "half");
    second.engine.seed(99);
    second.train(3);  // whatever it did before, the file says it all
    nn::load(second, directory / "half");
    CHECK(second.step == 5);
    second.train(10);
    nn::save(whole, directory / "whole");
    nn::save(second, directory / "resumed");
    CHECK((contents_of(directory / "whole") == contents_of(directory / "resumed")));
    nn::save(first, directory / "half");
    CHECK((contents_of(directory / "whole") != contents_of(directory / "half")));
}

}  // namespace

TEST_CASE("state: a run that is resumed ends where an unbroken one does, with every optimizer") {
    using SGD = nn::SGD<double>;
    using Adam = nn::Adam<double>;
    check_resumed<SGD>([](auto& model) { return SGD(model); });
    check_resumed<SGD>([](auto& model) { return SGD(model, {.momentum = 0.5, .dampening = 0.1}); });
    check_resumed<Adam>([](auto& model) { return Adam(model, {.amsgrad = true}); });
    check_resumed<Adam>([](auto& model) {
        Adam adam(model.cell);
        adam.add_group(model.head, {.learning_rate = 0.01, .beta1 = 0.5});
        return adam;
    });
    check_resumed<nn::AdamW<double>>([](auto& model) { return nn::AdamW<double>(model); });
    check_resumed<nn::RMSprop<double>>(
        [](auto& model) { return nn::RMSprop<double>(model, {.momentum = 0.5, .centered = true}); });
    check_resumed<nn::Adagrad<double>>(
        [](auto& model) { return nn::Adagrad<double>(model, {.learning_rate_decay = 0.1}); });
    using LBFGS = nn::LBFGS<double>;
    check_resumed<LBFGS>([](auto& model) { return LBFGS(model, {.iterations = 2, .history = 3}); });
    check_resumed<LBFGS>([](auto& model) {
        return LBFGS(model, {.iterations = 2, .line_search = nn::LineSearch::strong_wolfe});
    });
}

TEST_CASE("state: what optimizers remember is called as PyTorch calls it, behind the parameter's path") {
    const TemporaryDirectory directory;
    const std::string file = directory / "optimizer";
    nn::Engine engine(1);
    std::vector<nn::Linear<double>> model(2, nn::Linear<double>(2, 3, engine));
    nn::Adam adam(model[0], {.amsgrad = true});
    adam.add_group(model[1], {});
    nn::save(adam, file);
    CHECK(names_in(file) == Names{"bias.exp_avg", "bias.exp_avg_sq", "bias.max_exp_avg_sq", "bias.step",
                                  "group1.bias.exp_avg", "group1.bias.exp_avg_sq", "group1.bias.step",
                                  "group1.learning_rate", "group1.weight.exp_avg", "group1.weight.exp_avg_sq",
                                  "group1.weight.step", "learning_rate", "weight.exp_avg",
                                  "weight.exp_avg_sq", "weight.max_exp_avg_sq", "weight.step"});
    Parameter<double> p(Shape{2});
    const auto names_of = [&](auto optimizer) {
        nn::save(optimizer, file);
        return names_in(file);
    };
    CHECK(names_of(nn::SGD<double>(p)) == Names{"learning_rate", "step"});
    CHECK(names_of(nn::SGD<double>(p, {.momentum = 0.5})) ==
          Names{"learning_rate", "momentum_buffer", "step"});
    CHECK(names_of(nn::RMSprop<double>(p, {.momentum = 0.5, .centered = true})) ==
          Names{"grad_avg", "learning_rate", "momentum_buffer", "square_avg", "step"});
    CHECK(names_of(nn::Adagrad<double>(p)) == Names{"learning_rate", "step", "sum"});
}

TEST_CASE("state: an optimizer that is known by its base alone is saved as well") {
    const TemporaryDirectory directory;
    Parameter<double> p(Shape{1});
    const auto make = [&]() -> std::unique_ptr<nn::Optimizer<double>> {
        return std::make_unique<nn::Adam<double>>(p);
    };
    const auto first = make(), second = make();
    p.grad()(0) = 3;
    first->step();
    const double after_one = p.value()(0);
    first->set_learning_rate(0.25);
    nn::save(*first, directory / "adam");
    first->step();
    const double after_two = p.value()(0);
    p.value()(0) = after_one;
    nn::load(*second, directory / "adam");
    CHECK(second->learning_rate() == 0.25);
    second->step();
    CHECK(p.value()(0) == after_two);
}

TEST_CASE("state: a module alone is a file of its parameters, and gradients stay as they are") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    const nn::LSTM<float> saved(2, 3, engine, {.layers = 2});
    nn::save(saved, directory / "lstm");
    nn::LSTM<float> loaded(2, 3, engine, {.layers = 2});
    std::size_t count = 0;
    nn::for_each_parameter(loaded, [&](auto& p) {
        p.grad().fill(1);
        ++count;
    });
    nn::load(loaded, directory / "lstm");
    CHECK(names_in(directory / "lstm").size() == count);
    const auto expected = nn::parameters(const_cast<nn::LSTM<float>&>(saved));
    const auto found = nn::parameters(loaded);
    for (std::size_t k = 0; k < found.size(); ++k) {
        CHECK(same_bits(*found[k], *expected[k]));
        CHECK(found[k]->has_grad());
    }
}

TEST_CASE("state: of tied parameters the first is saved, and all of them are loaded") {
    const TemporaryDirectory directory;
    std::vector<Parameter<double>> model(3, Parameter<double>(Shape{2}));
    tie(model[2], model[0]);
    model[0].value().fill(3);
    nn::save(model, directory / "tied");
    CHECK(names_in(directory / "tied") == Names{"0", "1"});
    model[0].value().fill(0);
    nn::load(model, directory / "tied");
    CHECK(model[2].value()(1) == 3);
}

namespace {

template <class State>
struct Carrier {
    nn::CarriedState<State> carried;

    template <class F>
    void visit(F&& f) {
        f("carried", carried);
    }
};

}  // namespace

TEST_CASE("state: a carried state comes back where nothing was kept, and so does its absence") {
    using State = std::vector<nn::LSTMCell<double>::State>;  // of stacked layers
    const TemporaryDirectory directory;
    const std::string none = directory / "none", two = directory / "two", three = directory / "three";
    Tape<double> tape;
    const auto state = [&](std::size_t layers) {
        State made;
        for (std::size_t k = 0; k < layers; ++k) {
            const double number = static_cast<double>(k);
            const xt::xtensor<double, 2> h{{number + 0.25, 0}}, c{{number + 0.5, -number}};
            made.push_back({tape.constant(h), tape.constant(c)});
        }
        return made;
    };
    Carrier<State> saved;
    nn::save(saved, none);
    CHECK(names_in(none).empty());
    saved.carried.keep(state(3));
    nn::save(saved, three);
    saved.carried.keep(state(2));
    nn::save(saved, two);
    CHECK(names_in(two) ==
          Names{"carried.values.0", "carried.values.1", "carried.values.2", "carried.values.3"});
    saved.carried.forget();
    nn::save(saved, directory / "forgotten");
    CHECK((contents_of(directory / "forgotten") == contents_of(none)));

    Carrier<State> loaded;
    const auto check = [&](std::size_t layers) {
        const State on = loaded.carried.on(tape), expected = state(layers);
        REQUIRE(on.size() == layers);
        for (std::size_t k = 0; k < layers; ++k) {
            CHECK((on[k].h.value() == expected[k].h.value()));
            CHECK((on[k].c.value() == expected[k].c.value()));
        }
    };
    nn::load(loaded, two);
    check(2);
    nn::load(loaded, three);
    check(3);
    nn::load(loaded, none);
    CHECK(loaded.carried.empty());
    loaded.carried.keep(state(1));
    check(1);
    nn::load(loaded, two);
    check(2);

    const xt::xtensor<double, 2> h{{1}};
    nn::save_safetensors(directory / "odd", {nn::tensor_source("carried.values.0", h)},
                         {{"format", "xtape"}, {"version", "1"}});
    CHECK_THROWS_WITH(nn::load(loaded, directory / "odd"),
                      Contains("shapes of carried.values (1, 1), expected one for each Var of the state"));
    check(2);
}

namespace {

struct Small {
    Parameter<float> a{Shape{2}}, b{Shape{3, 4}}, c{Shape{1}};
    std::size_t d = 5;
    std::vector<int> e{1, 2};
    nn::Engine engine{3};

    template <class F>
    void visit(F&& f) {
        f("a", a);
        f("b", b);
        f("c", c);
        f("d", d);
        f("e", e);
        f("engine", engine);
    }
};

struct Flag {
    bool flag = false;

    template <class F>
    void visit(F&& f) {
        f("flag", flag);
    }
};

struct Twice {
    int a = 1, b = 2;

    template <class F>
    void visit(F&& f) {
        f("a", a);
        f("a", b);
    }
};

struct Other {
    Parameter<float> x{Shape{2}}, b{Shape{4, 3}}, y{Shape{1}};
    std::array<double, 2> e{};
    double d = 5;
    std::vector<std::uint64_t> engine = std::vector<std::uint64_t>(313);

    template <class F>
    void visit(F&& f) {
        f("x", x);
        f("b", b);
        f("y", y);
        f("d", d);
        f("e", e);
        f("engine", engine);
    }
};

}  // namespace

TEST_CASE("state: all that doesn't fit is said at once, and nothing has changed then") {
    const TemporaryDirectory directory;
    const std::string file = directory / "other";
    Other other;
    other.engine[312] = 313;  // further than an engine has words
    nn::save(other, file);
    Small run;
    run.c.value().fill(4);
    const nn::Engine engine = run.engine;
    CHECK_THROWS_WITH(
        nn::load(run, file),
        "[load] " + file +
            ": missing: a, c; unknown: x, y; shape of b (4, 3), expected (3, 4); type of d F64, "
            "expected U64; type of e F64, expected I32; engine isn't the state of an engine");
    CHECK(run.c.value()(0) == 4);
    CHECK(run.engine == engine);
    CHECK(run.e == std::vector<int>{1, 2});

    // What fits isn't loaded either if something else doesn't.
    Small saved;
    saved.a.value().fill(9);
    saved.d = 6;
    saved.e = {7};
    saved.engine.discard(1);
    saved.c = Parameter<float>(Shape{2});
    nn::save(saved, file);
    CHECK_THROWS_AS(nn::load(run, file), nn::FileError);
    CHECK(run.a.value()(0) == 0);
    CHECK(run.d == 5);
    CHECK(run.e == std::vector<int>{1, 2});
    CHECK(run.engine == engine);
}

TEST_CASE("state: a bool that is neither true nor false, and a file of something else, are refused") {
    const TemporaryDirectory directory;
    const std::string file = directory / "file";
    Flag run;
    const unsigned char two = 2;
    nn::save_safetensors(file, {{"flag", nn::DType::BOOL, Shape{}, &two}},
                         {{"format", "xtape"}, {"version", "1"}});
    CHECK_THROWS_AS(nn::load(run, file), nn::FileError);
    const unsigned char one = 1;
    nn::save_safetensors(file, {{"flag", nn::DType::BOOL, Shape{}, &one}}, {{"format", "pt"}});
    CHECK_THROWS_WITH(nn::load(run, file), Contains("[load] " + file) && Contains("\"format\": \"xtape\""));
    nn::save_safetensors(file, {{"flag", nn::DType::BOOL, Shape{}, &one}},
                         {{"format", "xtape"}, {"version", "2"}});
    CHECK_THROWS_WITH(nn::load(run, file), Contains("another version"));
    CHECK_FALSE(run.flag);
    CHECK_THROWS_AS(nn::load(run, directory / "nothing"), nn::FileError);
    CHECK_THROWS_AS(nn::load(run, directory.write("text", "hello")), nn::FileError);
}

TEST_CASE("state: a history of L-BFGS that doesn't fit is refused") {
    const TemporaryDirectory directory;
    const std::string file = directory / "file";
    Parameter<double> p(Shape{3});
    const auto step = [&](auto& optimizer) {
        optimizer.step([&] {
            p.zero_grad();
            double loss = 0;
            for (std::size_t k = 0; k < 3; ++k) {
                const double steepness = static_cast<double>(k + 1), away = p.data()[k] - 1;
                p.grad_data()[k] = 2 * steepness * away;
                loss += steepness * away * away;
            }
            return loss;
        });
    };
    nn::LBFGS longer(p, {.learning_rate = 0.1, .iterations = 8});
    step(longer);
    nn::save(longer, file);
    CHECK(names_in(file).size() > 6 + 3);
    nn::LBFGS shorter(p, {.history = 3});
    CHECK_THROWS_WITH(nn::load(shorter, file), Contains("expected at most 3 of shape (2, 3)"));
    step(shorter);
}

TEST_CASE("state: two parts of one name aren't saved, and the file before stays") {
    const TemporaryDirectory directory;
    directory.write("file", "old");
    CHECK_THROWS_AS(nn::save(Twice(), directory / "file"), std::invalid_argument);
    CHECK(contents_of(directory / "file") == "old");
}
