// What state_dict_golden_test.cpp doesn't show: what is written, what is refused, and that nothing has changed then.

#include "nn/state_dict.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using xtape::Parameter;
using xtape::Shape;
namespace nn = xtape::nn;

namespace {

const std::filesystem::path pytorch_files =
    std::filesystem::path(__FILE__).parent_path().parent_path() / "golden" / "state_dicts";

/// Name, type and shape of all tensors of a file.
std::map<std::string, std::string> tensors_of(const std::filesystem::path& path) {
    std::map<std::string, std::string> result;
    const nn::SafetensorsFile file(path);
    for (const nn::TensorEntry& entry : file.tensors())
        result[entry.name] = std::string(nn::name_of(entry.dtype)) + " " + to_string(entry.shape);
    return result;
}

/// Of all parameters, one after the other.
template <class M>
std::vector<std::uint32_t> bits_of(const M& module) {
    std::vector<std::uint32_t> bits;
    nn::for_each_parameter(module, [&](const Parameter<float>& p) {
        for (std::size_t k = 0; k < p.size(); ++k) bits.push_back(std::bit_cast<std::uint32_t>(p.data()[k]));
    });
    return bits;
}

/// Numbers that an addition, a rounding or a multiplication would change.
template <class M>
void fill_with_odd_numbers(M& module) {
    using Limits = std::numeric_limits<float>;
    const float odd[] = {-0.0F,
                         0.0F,
                         Limits::denorm_min(),
                         -Limits::infinity(),
                         Limits::max(),
                         std::bit_cast<float>(0x7FC12345U),
                         1 / 3.0F};
    std::size_t next = 0;
    nn::for_each_parameter(module, [&](Parameter<float>& p) {
        for (std::size_t k = 0; k < p.size(); ++k) p.data()[k] = odd[next++ % std::size(odd)];
    });
}

template <class M>
void check_round_trip(const M& made) {
    const TemporaryDirectory directory;
    M original = made, loaded = made;
    fill_with_odd_numbers(original);
    nn::save_state_dict(original, directory / "model.safetensors");
    nn::load_state_dict(loaded, directory / "model.safetensors");
    CHECK(bits_of(loaded) == bits_of(original));
}

struct Model {
    nn::Engine engine{1};
    nn::LSTM<float> encoder{3, 4, engine};
    nn::Linear<float> head{4, 2, engine};

    template <class F>
    void visit(F&& f) {
        f("encoder", encoder);
        f("head", head);
    }
};

using Tensors = std::map<std::string, xt::xarray<float>>;

/// What PyTorch would write for a Model.
Tensors tensors_of_a_model() {
    return {{"encoder.weight_ih_l0", xt::ones<float>({16, 3})},
            {"encoder.weight_hh_l0", xt::ones<float>({16, 4})},
            {"encoder.bias_ih_l0", xt::ones<float>({16})},
            {"encoder.bias_hh_l0", xt::ones<float>({16})},
            {"head.weight", xt::ones<float>({2, 4})},
            {"head.bias", xt::ones<float>({2})}};
}

std::string written(const TemporaryDirectory& directory, const Tensors& tensors,
                    const std::string& prefix = "") {
    std::vector<nn::TensorSource> sources;
    for (const auto& [name, tensor] : tensors) sources.push_back(nn::tensor_source(prefix + name, tensor));
    const std::string file = directory / "model.safetensors";
    nn::save_safetensors(file, sources);
    return file;
}

/// Loading is refused with this message, which begins with the file's name, and nothing has changed.
template <class M>
void check_refused(M& module, const std::string& file, const std::string& message,
                   const nn::StateDictOptions& options = {}) {
    const std::vector<std::uint32_t> before = bits_of(module);
    CHECK_THROWS_WITH(nn::load_state_dict(module, file, options),
                      "[load_state_dict] " + file + ": " + message);
    CHECK(bits_of(module) == before);
}

}  // namespace

TEST_CASE("state dict: what is saved and loaded again has the same bits") {
    nn::Engine engine(1);
    check_round_trip(nn::RNN<float>(3, 4, engine, {.layers = 2}));
    check_round_trip(
        nn::LSTM<float>(3, 4, engine, {.layers = 2, .bidirectional = true, .projection_size = 2}));
    check_round_trip(nn::GRU<float>(3, 4, engine, {.layers = 2, .bidirectional = true}));
    check_round_trip(nn::LSTM<float>(3, 4, engine, {.bias = false}));
    check_round_trip(nn::LayerNorm<float>(3));
    check_round_trip(nn::SelfAttention<float>(4, 2, engine));
    check_round_trip(Model());
}

TEST_CASE("state dict: a file has the names, shapes and types of PyTorch's") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    const auto check = [&](const std::string& name, const auto& module) {
        INFO(name);
        const std::filesystem::path file = directory / name;
        nn::save_state_dict(module, file);
        CHECK(tensors_of(file) == tensors_of(pytorch_files / (name + ".safetensors")));
        CHECK(nn::SafetensorsFile(file).metadata().at("format") == "pt");
    };
    check("rnn", nn::RNN<float>(3, 4, engine, {.layers = 2}));
    check("rnn_cell", nn::RNNCell<float>(3, 4, engine));
    check("lstm_projected",
          nn::LSTM<float>(3, 4, engine, {.layers = 2, .bidirectional = true, .projection_size = 2}));
    check("lstm_cell", nn::LSTMCell<float>(3, 4, engine));
    check("lstm_no_bias", nn::LSTM<float>(3, 4, engine, {.bias = false}));
    check("gru", nn::GRU<float>(3, 4, engine, {.layers = 2, .bidirectional = true}));
    check("gru_no_bias", nn::GRU<float>(3, 4, engine, {.bias = false}));
    check("layer_norm", nn::LayerNorm<float>(3));
}

TEST_CASE("state dict: gates and biases are where PyTorch looks for them") {
    const TemporaryDirectory directory;
    using Numbers = std::vector<float>;
    const auto numbers = [](const nn::SafetensorsFile& file, const std::string& name) {
        const xt::xarray<float> tensor = file.read<float>(name);
        return Numbers(tensor.begin(), tensor.end());
    };
    nn::Engine engine(1);
    nn::LSTMCell<float> lstm(1, 1, engine);
    lstm.weight.value() = xt::xarray<float>{{1, 2}, {3, 4}, {5, 6}, {7, 8}};  // rows i, f, o, g, columns x, h
    lstm.bias.value() = xt::xarray<float>{10, 20, 30, 40};
    nn::save_state_dict(lstm, directory / "lstm");
    const nn::SafetensorsFile lstm_file(directory / "lstm");
    CHECK(numbers(lstm_file, "weight_ih") == Numbers{1, 3, 7, 5});  // i, f, g, o
    CHECK(numbers(lstm_file, "weight_hh") == Numbers{2, 4, 8, 6});
    CHECK(numbers(lstm_file, "bias_ih") == Numbers{10, 20, 40, 30});
    CHECK(numbers(lstm_file, "bias_hh") == Numbers{0, 0, 0, 0});

    nn::GRUCell<float> gru(1, 1, engine);
    gru.bias.value() = xt::xarray<float>{1, 2, 3};
    gru.bias_n.value() = xt::xarray<float>{4};
    nn::save_state_dict(gru, directory / "gru");
    const nn::SafetensorsFile gru_file(directory / "gru");
    CHECK(numbers(gru_file, "bias_ih") == Numbers{1, 2, 3});
    CHECK(numbers(gru_file, "bias_hh") == Numbers{0, 0, 4});
}

TEST_CASE("state dict: both biases are added, but not those of a GRU's candidate") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    const auto load_biases = [&](auto& module, const xt::xarray<float>& ih, const xt::xarray<float>& hh) {
        const std::size_t rows = ih.size();
        nn::load_state_dict(module,
                            written(directory, {{"weight_ih", xt::ones<float>({rows, std::size_t(1)})},
                                                {"weight_hh", xt::ones<float>({rows, std::size_t(1)})},
                                                {"bias_ih", ih},
                                                {"bias_hh", hh}}));
    };
    nn::RNNCell<float> rnn(1, 1, engine);
    load_biases(rnn, {1}, {10});
    CHECK((rnn.b_h.value() == xt::xarray<float>{11}));
    nn::LSTMCell<float> lstm(1, 1, engine);
    load_biases(lstm, {1, 2, 3, 4}, {10, 20, 30, 40});
    CHECK((lstm.bias.value() == xt::xarray<float>{11, 22, 44, 33}));
    nn::GRUCell<float> gru(1, 1, engine);
    load_biases(gru, {1, 2, 3}, {10, 20, 30});
    CHECK((gru.bias.value() == xt::xarray<float>{11, 22, 3}));
    CHECK((gru.bias_n.value() == xt::xarray<float>{30}));
}

TEST_CASE("state dict: missing, unknown and misshaped tensors are listed at once, and nothing is changed") {
    const TemporaryDirectory directory;
    Model model;
    Tensors tensors = tensors_of_a_model();
    tensors.erase("encoder.bias_hh_l0");
    tensors.erase("head.bias");
    tensors["head.scale"] = xt::ones<float>({2});
    tensors["step"] = xt::xarray<float>(3.0F);
    tensors["encoder.weight_ih_l0"] = xt::ones<float>({3, 16});
    tensors["head.weight"] = xt::ones<float>({8});
    check_refused(
        model, written(directory, tensors),
        "missing: encoder.bias_hh_l0 (16,), head.bias (2,); unknown: head.scale (2,), step (); misshaped: "
        "encoder.weight_ih_l0 (3, 16), expected (16, 3), head.weight (8,), expected (2, 4)");
}

TEST_CASE("state dict: files for other modules are refused") {
    nn::Engine engine(1);
    nn::GRU<float> of_gru(3, 4, engine, {.layers = 2, .bidirectional = true});
    const std::string lstm = pytorch_files / "lstm.safetensors";
    CHECK_THROWS_WITH(
        nn::load_state_dict(of_gru, lstm),
        Catch::StartsWith("[load_state_dict] " + lstm +
                          ": misshaped: weight_ih_l0 (16, 3), expected (12, 3), weight_hh_l0") &&
            Catch::EndsWith("bias_hh_l1_reverse (16,), expected (12,)"));
    nn::LSTM<float> without_bias(3, 4, engine, {.bias = false});
    nn::LSTM<float> with_bias(3, 4, engine);
    nn::LSTM<float> wider(3, 5, engine, {.bias = false});
    const std::string no_bias = pytorch_files / "lstm_no_bias.safetensors";
    check_refused(with_bias, no_bias, "missing: bias_ih_l0 (16,), bias_hh_l0 (16,)");
    check_refused(
        wider, no_bias,
        "misshaped: weight_ih_l0 (16, 3), expected (20, 3), weight_hh_l0 (16, 4), expected (20, 5)");
    const TemporaryDirectory directory;
    nn::save_state_dict(with_bias, directory / "with_bias");
    check_refused(without_bias, directory / "with_bias", "unknown: bias_ih_l0 (16,), bias_hh_l0 (16,)");
    CHECK_THROWS_AS(nn::load_state_dict(with_bias, directory / "nowhere"), nn::FileError);
}

TEST_CASE("state dict: of very many faults the first fifty of each kind are listed, and the rest counted") {
    const TemporaryDirectory directory;
    std::vector<Parameter<float>> module(200, Parameter<float>(Shape{1}));
    const std::string file = written(
        directory, {{"line\nbreak", xt::ones<float>({1})}, {std::string(300, 'x'), xt::ones<float>({2})}});
    std::string missing = "0 (1,)";
    for (int k = 1; k < 50; ++k) missing += ", " + std::to_string(k) + " (1,)";
    check_refused(module, file,
                  "missing: " + missing + ", and 150 more; unknown: line?break (1,), " +
                      std::string(100, 'x') + "... (2,)");
}

TEST_CASE("state dict: a prefix picks a part of a file") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    nn::Linear<float> head(4, 2, engine);
    const std::string file = written(directory, tensors_of_a_model());
    nn::load_state_dict(head, file, {.prefix = "head."});
    CHECK((head.weight.value() == xt::ones<float>({2, 4})));

    nn::LSTM<float> encoder(3, 5, engine);
    check_refused(head, file,
                  "missing: encoder.weight (2, 4), encoder.bias (2,); unknown: encoder.bias_hh_l0 (16,), "
                  "encoder.bias_ih_l0 (16,), encoder.weight_hh_l0 (16, 4), encoder.weight_ih_l0 (16, 3)"
                  "; all that is missing is there with the prefix \"head.\"",
                  {.prefix = "encoder."});
}

TEST_CASE("state dict: if all names lack the same prefix, the message says which") {
    const TemporaryDirectory directory;
    Model model;
    const std::string file = written(directory, tensors_of_a_model(), "module.");
    CHECK_THROWS_WITH(nn::load_state_dict(model, file),
                      Catch::EndsWith("; all that is missing is there with the prefix \"module.\""));
    nn::load_state_dict(model, file, {.prefix = "module."});
    CHECK((model.encoder.cell(0, 0).bias.value() == 2 * xt::ones<float>({16})));
}

TEST_CASE("state dict: unless it is strict, what fits is loaded, and the rest reported") {
    const TemporaryDirectory directory;
    Model model;
    Tensors tensors = tensors_of_a_model();
    tensors.erase("head.weight");
    tensors["head.scale"] = xt::ones<float>({2});
    const xt::xarray<float> weight = model.head.weight.value();
    const auto [missing, unknown] =
        nn::load_state_dict(model, written(directory, tensors), {.strict = false});
    CHECK(missing == std::vector<std::string>{"head.weight"});
    CHECK(unknown == std::vector<std::string>{"head.scale"});
    CHECK((model.head.weight.value() == weight));
    CHECK((model.head.bias.value() == xt::ones<float>({2})));

    tensors["head.bias"] = xt::ones<float>({3});
    check_refused(
        model, written(directory, tensors),
        "missing: head.weight (2, 4); unknown: head.scale (2,); misshaped: head.bias (3,), expected (2,)",
        {.strict = false});
}

TEST_CASE("state dict: of the two biases one alone is as if the other stayed as it was saved") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    nn::RNNCell<float> cell(1, 1, engine);
    cell.b_h.value().fill(5);
    nn::load_state_dict(cell, written(directory, {{"bias_hh", xt::ones<float>({1})}}), {.strict = false});
    CHECK(cell.b_h.data()[0] == 6);
    nn::load_state_dict(cell, written(directory, {{"bias_ih", xt::ones<float>({1})}}), {.strict = false});
    CHECK(cell.b_h.data()[0] == 1);
}

TEST_CASE("state dict: numbers are converted, and refused where that would change an integer") {
    const TemporaryDirectory directory;
    const std::string file = directory / "model.safetensors";
    const xt::xarray<double> weight{{1.0 / 3, 1e300}};
    const xt::xarray<std::int64_t> exact{1 << 24}, inexact{(1 << 24) + 1};
    nn::Engine engine(1);
    nn::Linear<float> linear(2, 1, engine);
    nn::save_safetensors(file, {nn::tensor_source("weight", weight), nn::tensor_source("bias", exact)});
    nn::load_state_dict(linear, file);
    CHECK(linear.weight.data()[0] == static_cast<float>(1.0 / 3));
    CHECK(std::isinf(linear.weight.data()[1]));
    CHECK(linear.bias.data()[0] == 1 << 24);

    const xt::xarray<double> other = xt::zeros<double>({1, 2});
    nn::save_safetensors(file, {nn::tensor_source("weight", other), nn::tensor_source("bias", inexact)});
    const std::vector<std::uint32_t> before = bits_of(linear);
    CHECK_THROWS_AS(nn::load_state_dict(linear, file), nn::FileError);
    CHECK(bits_of(linear) == before);
}

TEST_CASE(
    "state dict: frozen parameters are loaded, gradients stay, and optimizers go on with the new values") {
    const TemporaryDirectory directory;
    Model model;
    nn::freeze(model.encoder);
    nn::SGD<float> optimizer(model, {.learning_rate = 1});
    model.head.bias.grad().fill(0.5F);
    nn::load_state_dict(model, written(directory, tensors_of_a_model()));
    CHECK((model.encoder.cell(0, 0).weight.value() == xt::ones<float>({16, 7})));
    CHECK(model.encoder.cell(0, 0).weight.is_frozen());
    optimizer.step();
    CHECK((model.head.bias.value() == 0.5F * xt::ones<float>({2})));
    CHECK((model.head.weight.value() == xt::ones<float>({2, 4})));
}

namespace {

struct Tied {
    nn::Engine engine{1};
    nn::Embedding<float> embedding{3, 2, engine};
    nn::Linear<float> output{2, 3, engine};

    Tied() { tie(output.weight, embedding.weight); }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("output", output);
    }
};

}  // namespace

TEST_CASE("state dict: tied parameters are written under each name, and have to agree when they are loaded") {
    const TemporaryDirectory directory;
    Tied model;
    nn::save_state_dict(model, directory / "saved");
    const nn::SafetensorsFile saved(directory / "saved");
    CHECK((saved.read<float>("embedding.weight") == model.embedding.weight.value()));
    CHECK((saved.read<float>("output.weight") == model.embedding.weight.value()));

    Tensors tensors{{"embedding.weight", xt::ones<float>({3, 2})},
                    {"output.weight", xt::zeros<float>({3, 2})},
                    {"output.bias", xt::ones<float>({3})}};
    check_refused(
        model, written(directory, tensors),
        "embedding.weight and output.weight differ: expected equal numbers, as these parameters are tied");
    tensors["output.weight"] = xt::ones<float>({3, 2});
    nn::load_state_dict(model, written(directory, tensors));
    CHECK((model.output.weight.value() == xt::ones<float>({3, 2})));
    tensors.erase("embedding.weight");
    tensors["output.weight"] = xt::zeros<float>({3, 2});
    CHECK(nn::load_state_dict(model, written(directory, tensors), {.strict = false}).missing ==
          std::vector<std::string>{"embedding.weight"});
    CHECK((model.embedding.weight.value() == xt::zeros<float>({3, 2})));
}

TEST_CASE("state dict: a GRU that resets before the product is refused, as PyTorch has none") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    nn::GRU<float> gru(3, 4, engine, {.reset = nn::Reset::before_product});
    const auto message =
        "[GRUCell] a state dict of PyTorch for Reset::before_product: expected "
        "Reset::after_product, the only form that PyTorch has";
    CHECK_THROWS_WITH(nn::load_state_dict(gru, std::string(pytorch_files / "gru.safetensors")), message);
    CHECK_THROWS_WITH(nn::save_state_dict(gru, directory / "gru"), message);
    CHECK_FALSE(std::filesystem::exists(directory / "gru"));
}

namespace {

/// Its weight lies in rows b, a, but goes by PyTorch's order a, b, and by another name.
struct OwnModule {
    Parameter<double> stacked{Shape{4, 2}};
    nn::LayerNorm<float> norm{3};

    template <class F>
    void visit(F&& f) {
        f("stacked", stacked);
        f("norm", norm);
    }
    template <class F>
    void visit_state_dict(F&& f) {
        f("a", nn::StateTensor(stacked).blocks(2, {1}));
        f("b", nn::StateTensor(stacked).blocks(2, {0}));
        f("layer_norm", norm);
    }
};

struct Twice {
    Parameter<float> a{Shape{1}}, b{Shape{1}};

    template <class F>
    void visit(F&& f) {
        f("a", a);
        f("a", b);
    }
};

}  // namespace

TEST_CASE("state dict: a module of one's own says where its parameters are, of float or of double") {
    const TemporaryDirectory directory;
    OwnModule module, loaded;
    for (std::size_t k = 0; k < 8; ++k) module.stacked.data()[k] = static_cast<double>(k) + 1e-12;
    const std::vector<OwnModule> list{module};
    nn::save_state_dict(list, directory / "list");
    CHECK(tensors_of(directory / "list") ==
          std::map<std::string, std::string>{{"0.a", "F64 (2, 2)"},
                                             {"0.b", "F64 (2, 2)"},
                                             {"0.layer_norm.weight", "F32 (3,)"},
                                             {"0.layer_norm.bias", "F32 (3,)"}});
    CHECK(nn::SafetensorsFile(directory / "list").read<double>("0.a")(0, 0) == 4 + 1e-12);
    nn::load_state_dict(loaded, directory / "list", {.prefix = "0."});
    CHECK((loaded.stacked.value() == module.stacked.value()));
}

TEST_CASE(
    "state dict: what PyTorch hasn't goes by its own names, and what is in a wrapper by the wrapper's") {
    nn::Engine engine(1);
    const auto names = [](auto module) {
        std::vector<std::string> result;
        for (const nn::StateDictEntry& entry : nn::state_dict(module)) result.push_back(entry.name);
        return result;
    };
    CHECK(names(nn::PeepholeLSTMCell<float>(2, 3, engine)) ==
          std::vector<std::string>{"weight", "bias", "peepholes"});
    CHECK(names(nn::Zoneout(nn::RNNCell<float>(2, 3, engine), {0.1}, engine)) ==
          std::vector<std::string>{"cell.weight_ih", "cell.weight_hh", "cell.bias_ih", "cell.bias_hh"});
    CHECK(names(nn::LayerNorm<float>(3, {.bias = false})) == std::vector<std::string>{"weight"});
    CHECK(names(Parameter<float>(Shape{2})) == std::vector<std::string>{""});
}

TEST_CASE("state dict: two parameters of one name are refused") {
    const TemporaryDirectory directory;
    Twice module;
    CHECK_THROWS_WITH(nn::save_state_dict(module, directory / "twice"),
                      "[save_state_dict] two parameters are called a: expected a name for each");
    const std::string file = written(directory, {{"a", xt::ones<float>({1})}});
    CHECK_THROWS_WITH(nn::load_state_dict(module, file),
                      "[load_state_dict] two parameters are called a: expected a name for each");
}
