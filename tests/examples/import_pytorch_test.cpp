#include <filesystem>
#include <string>
#include <vector>

#include "nn/nn.hpp"
#include "nn/npy.hpp"
#include "nn/safetensors.hpp"
#include "nn/state_dict.hpp"
#include "tests/catch.hpp"
#include "tests/examples/program_files.hpp"
#include "tests/examples/run_program.hpp"

// The program as a user runs it. What PyTorch gives for the same files is compared in tests/pytorch and tests/golden.

using Catch::Contains;
namespace nn = xtape::nn;
using xtape::Tape;
using xtape::Var;

namespace {

struct Tagger {
    nn::Embedding<float> embedding;
    nn::LSTM<float> lstm;
    nn::LayerNorm<float> norm;
    nn::Linear<float> head;

    explicit Tagger(nn::Engine& engine)
        : embedding(11, 6, engine),
          lstm(6, 8, engine, {.layers = 2, .bidirectional = true, .projection_size = 5}),
          norm(10),
          head(10, 3, engine, {.bias = false}) {}

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding), f("lstm", lstm), f("norm", norm), f("head", head);
    }
};

}  // namespace

TEST_CASE("import_pytorch: finds the layers of a state dict, and gives what they give one after the other") {
    const TemporaryDirectory directory;
    nn::Engine engine(1);
    Tagger model(engine);
    nn::save_state_dict(model, directory / "model.safetensors");
    const xt::xarray<int> ids{{1, 2}, {10, 0}, {3, 3}};
    nn::save_npy(directory / "ids.npy", ids);
    Tape<float> tape;
    const Var<float> expected = model.head(model.norm(model.lstm(model.embedding(tape, ids)).outputs));
    nn::save_npy(directory / "expected.npy", expected.value());

    const Run run = run_program("import_pytorch",
                                {"model.safetensors", "--input", "ids.npy", "--out", "out.npy", "--expected",
                                 "expected.npy", "--tolerance", "1e-6"},
                                directory);
    INFO(run.out << run.err);
    CHECK(run.exit_code == 0);
    CHECK_THAT(run.out, Contains("LSTM, 2 layers, both ways, projected from 8") &&
                            Contains("Linear, no bias") && Contains("agrees with expected.npy"));
    CHECK(nn::load_npy<float>(directory / "out.npy").shape(2) == 3);

    nn::save_npy(directory / "expected.npy", xt::xarray<float>(expected.value() + 1));
    const Run other = run_program(
        "import_pytorch", {"model.safetensors", "-i", "ids.npy", "--expected", "expected.npy"}, directory);
    CHECK(other.exit_code == 1);
    CHECK_THAT(other.out, Contains("DIFFERS from expected.npy"));

    CHECK(run_program("import_pytorch", {"model.safetensors", "-T", "3"}, directory).exit_code == 0);
}

TEST_CASE(
    "import_pytorch: cells, single layers and every kind of recurrent layer are known by their shapes") {
    const TemporaryDirectory directory;
    nn::Engine engine(2);
    const xt::xarray<float> xs = xt::arange<float>(0, 30).reshape({5, 2, 3}) * 0.1f;
    nn::save_npy(directory / "xs.npy", xs);
    Tape<float> tape;
    const Var<float> x = tape.constant(xs);
    const auto check = [&](const char* kind, auto& layer, const Var<float>& expected,
                           std::vector<std::string> more = {}) {
        INFO(kind);
        nn::save_state_dict(layer, directory / "layer.safetensors");
        nn::save_npy(directory / "expected.npy", expected.value());
        std::vector<std::string> arguments{"layer.safetensors", "-i", "xs.npy", "--expected", "expected.npy"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Run run = run_program("import_pytorch", arguments, directory);
        INFO(run.out << run.err);
        CHECK(run.exit_code == 0);
        CHECK_THAT(run.out, Contains(kind));
    };
    const auto unrolled = [&](const auto& cell) {
        return nn::unroll(cell, x, cell.initial_state(tape, 2)).outputs;
    };
    nn::RNN<float> rnn(3, 4, engine, {.bias = false});
    check("RNN, tanh", rnn, rnn(x).outputs);
    nn::RNN<float> relu(3, 4, engine, {.activation = nn::Activation::relu});
    check("RNN, relu", relu, relu(x).outputs, {"--relu"});
    nn::GRU<float> gru(3, 4, engine, {.layers = 3});
    check("GRU, 3 layers", gru, gru(x).outputs);
    nn::RNNCell<float> rnn_cell(3, 4, engine);
    check("RNNCell", rnn_cell, unrolled(rnn_cell));
    nn::LSTMCell<float> lstm_cell(3, 4, engine, {.bias = false});
    check("LSTMCell", lstm_cell, unrolled(lstm_cell));
    nn::GRUCell<float> gru_cell(3, 4, engine);
    check("GRUCell", gru_cell, unrolled(gru_cell));
}

TEST_CASE("import_pytorch: files and inputs that don't fit are clear errors") {
    const TemporaryDirectory directory;
    nn::Engine engine(3);
    const auto error = [&](std::vector<std::string> arguments) {
        const Run run = run_program("import_pytorch", arguments, directory);
        CHECK(run.exit_code == 1);
        CHECK(lines(run.err) == 1);
        return run.err;
    };
    Tagger model(engine);
    nn::save_state_dict(model, directory / "model.safetensors");
    nn::save_npy(directory / "floats.npy", xt::xarray<float>{{0.5f, 1.5f}});
    nn::save_npy(directory / "large.npy", xt::xarray<int>{{11, 0}});
    directory.write("text.safetensors", "no tensors, but some text");
    CHECK_THAT(error({"text.safetensors"}), Contains("text.safetensors"));
    directory.write("model.pt", "PK\3\4 and more of a zip archive");
    CHECK_THAT(error({"model.pt"}), Contains("zip archive") && Contains("convert"));
    CHECK_THAT(error({"model.safetensors", "-i", "floats.npy"}), Contains("floats.npy"));
    CHECK_THAT(error({"model.safetensors", "-i", "large.npy"}), Contains("11"));
    CHECK_THAT(error({"model.safetensors", "--layers", "embedding,head"}), Contains("sizes don't fit"));
    CHECK_THAT(error({"model.safetensors", "--layers", "embedding,haed"}), Contains("no layer 'haed'"));

    xt::xarray<float> cube = xt::zeros<float>({2, 2, 2});
    nn::save_safetensors(directory / "conv.safetensors", {nn::tensor_source("conv.weight", cube)});
    CHECK_THAT(error({"conv.safetensors"}), Contains("'conv' is no Embedding"));

    xt::xarray<float> square = xt::eye<float>(4), wide = xt::zeros<float>({4, 3}),
                      row = xt::zeros<float>({4});
    const auto source = [](const char* name, const xt::xarray<float>& tensor) {
        return nn::tensor_source(name, tensor);
    };
    nn::save_safetensors(directory / "two.safetensors", {source("a.weight", wide), source("a.bias", row),
                                                         source("b.weight", wide), source("b.bias", row)});
    CHECK_THAT(error({"two.safetensors"}), Contains("fit in no order"));
    nn::save_safetensors(directory / "many.safetensors",
                         {source("a.weight", square), source("a.bias", row), source("b.weight", square),
                          source("b.bias", row), source("c.weight", wide), source("c.bias", row)});
    CHECK_THAT(error({"many.safetensors"}), Contains("more than one order") && Contains("--layers"));
}

TEST_CASE("import_pytorch: many layers that fit in no order are soon refused") {
    const TemporaryDirectory directory;
    const xt::xarray<float> square = xt::eye<float>(4), other = xt::zeros<float>({6, 5});
    std::vector<nn::TensorSource> tensors{nn::tensor_source("other.weight", other)};
    for (int k = 0; k < 20; ++k)
        tensors.push_back(nn::tensor_source("l" + std::to_string(k) + ".weight", square));
    nn::save_safetensors(directory / "many.safetensors", tensors);
    const Run run = run_program("import_pytorch", {"many.safetensors"}, directory);
    CHECK(run.exit_code == 1);
    CHECK_THAT(run.err, Contains("--layers is needed"));
}
