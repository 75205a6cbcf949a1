// The part of modules_test.py that is xtape's. For each of a list of modules:
//
//     modules save DIRECTORY     draws parameters and inputs, and writes NAME.safetensors and NAME.run.safetensors, x and y
//     modules load DIRECTORY     reads them, as PyTorch wrote them, and writes its own y to NAME.xtape.safetensors

#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "nn/nn.hpp"

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t T = 6, B = 3, D = 3, H = 4, P = 2, V = 7, E = 6;

struct CharModel {
    nn::Embedding<float> embedding;
    nn::GRU<float> encoder;
    nn::LayerNorm<float> norm;
    nn::Linear<float> output;

    explicit CharModel(nn::Engine& engine)
        : embedding(V, H, engine), encoder(H, H, engine), norm(H), output(H, V, engine) {
        tie(output.weight, embedding.weight);
    }

    template <class F>
    void visit(F&& f) {
        f("embedding", embedding);
        f("encoder", encoder);
        f("norm", norm);
        f("output", output);
    }
};

class Modules {
public:
    Modules(bool is_saving, std::string directory)
        : is_saving_(is_saving), directory_(std::move(directory)) {}

    /// `compute(module, x)` gives y of x, which has this shape.
    template <class M, class F>
    void add(const std::string& name, M module, const Shape& shape, F compute) {
        if (is_saving_) {
            nn::for_each_parameter(module, [&](Parameter<float>& p) { nn::normal(p, 0.5, engine); });
            Parameter<float> x(shape);
            nn::normal(x, 1, engine);
            nn::save_state_dict(module, file(name));
            save_run(name + ".run", module, x, compute);
        } else {
            nn::load_state_dict(module, file(name));
            const Parameter<float> x(nn::SafetensorsFile(file(name + ".run")).read<float>("x"));
            save_run(name + ".xtape", module, x, compute);
        }
    }

    nn::Engine engine{20240301};

private:
    std::string file(const std::string& name) const { return directory_ + "/" + name + ".safetensors"; }

    template <class M, class F>
    void save_run(const std::string& name, const M& module, const Parameter<float>& x, F compute) const {
        Tape<float> tape;
        const Parameter<float> y(compute(module, tape.constant(x.value())).value());
        nn::save_safetensors(file(name), {nn::tensor_source("x", x), nn::tensor_source("y", y)});
    }

    bool is_saving_;
    std::string directory_;
};

void run(Modules modules) {
    nn::Engine& engine = modules.engine;
    const auto outputs = [](const auto& layer, const Var<float>& xs) -> Var<float> {
        return layer(xs).outputs;
    };
    const auto output = [](const auto& module, const Var<float>& x) -> Var<float> { return module(x); };
    const auto step = [](const auto& cell, const Var<float>& x) -> Var<float> {
        return nn::output_of(cell(x, cell.initial_state(x.tape(), x.shape()[0])));
    };
    const auto ids = [](const Var<float>& x) -> xt::xarray<int> { return xt::cast<int>(xt::abs(x.value())); };
    const Shape sequence{T, B, D}, batch{B, D};

    modules.add("rnn", nn::RNN<float>(D, H, engine, {.layers = 2, .bidirectional = true}), sequence, outputs);
    modules.add("rnn_relu", nn::RNN<float>(D, H, engine, {.activation = nn::Activation::relu}), sequence,
                outputs);
    modules.add("lstm", nn::LSTM<float>(D, H, engine, {.layers = 2, .bidirectional = true}), sequence,
                outputs);
    modules.add("lstm_projected", nn::LSTM<float>(D, H, engine, {.layers = 2, .projection_size = P}),
                sequence, outputs);
    modules.add("lstm_no_bias", nn::LSTM<float>(D, H, engine, {.bias = false}), sequence, outputs);
    modules.add("gru", nn::GRU<float>(D, H, engine, {.layers = 2, .bidirectional = true}), sequence, outputs);
    modules.add("rnn_cell", nn::RNNCell<float>(D, H, engine), batch, step);
    modules.add("lstm_cell", nn::LSTMCell<float>(D, H, engine), batch, step);
    modules.add("gru_cell", nn::GRUCell<float>(D, H, engine), batch, step);
    modules.add("linear", nn::Linear<float>(D, H, engine), sequence, output);
    modules.add("layer_norm", nn::LayerNorm<float>(D), sequence, output);
    modules.add("attention", nn::SelfAttention<float>(E, 2, engine), Shape{T, B, E}, output);
    modules.add("embedding", nn::Embedding<float>(V, D, engine), Shape{T, B},
                [&](const auto& embedding, const Var<float>& x) -> Var<float> {
                    return embedding(x.tape(), ids(x));
                });
    modules.add("sequential",
                nn::Sequential(
                    nn::Linear<float>(D, H, engine), [](const Var<float>& x) { return tanh(x); },
                    nn::Linear<float>(H, P, engine)),
                sequence, output);
    modules.add("char_model", CharModel(engine), Shape{T, B},
                [&](const CharModel& model, const Var<float>& x) -> Var<float> {
                    return model.output(model.norm(model.encoder(model.embedding(x.tape(), ids(x))).outputs));
                });
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc == 3 ? argv[1] : "";
    if (command != "save" && command != "load") {
        std::fputs("usage: modules save|load DIRECTORY\n", stderr);
        return 2;
    }
    try {
        run(Modules(command == "save", argv[2]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
