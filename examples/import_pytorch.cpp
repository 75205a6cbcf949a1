// A model that PyTorch has trained, run without PyTorch: finds the layers in its state dict, loads them, and sends a sequence
// through them.
//
//     torch.save(model.state_dict(), "model.pt"); numpy.save("xs.npy", xs)        in Python
//     examples/convert_pytorch.py model.pt model.safetensors
//     import_pytorch model.safetensors --input xs.npy --out ys.npy

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "autograd/autograd.hpp"
#include "examples/command_line.hpp"
#include "examples/state_dict_chain.hpp"
#include "examples/utf8.hpp"
#include "nn/nn.hpp"
#include "nn/npy.hpp"
#include "nn/safetensors.hpp"

namespace {

using namespace examples;
using xtape::NoRecording;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

struct Settings {
    std::string model, input, out, expected;
    ChainOptions chain;
    std::size_t steps = 8;
    std::uint64_t seed = 1;
    double tolerance = 1e-5;
};

/// What is read: ids where the first layer is an embedding, numbers elsewhere.
Sequence read_or_draw(const Settings& s, const Chain& chain) {
    const std::size_t inputs = chain.layers().front().inputs;
    nn::Engine engine(s.seed);
    if (chain.reads_ids()) {
        if (!s.input.empty()) return nn::load_npy<std::int64_t>(s.input);
        xt::xarray<std::int64_t> ids = xt::zeros<std::int64_t>({s.steps, std::size_t{1}});
        for (std::int64_t& id : ids) id = static_cast<std::int64_t>(engine() % inputs);
        return ids;
    }
    if (!s.input.empty()) return nn::load_npy<float>(s.input);
    std::normal_distribution<float> normal;
    xt::xarray<float> numbers = xt::zeros<float>({s.steps, std::size_t{1}, inputs});
    for (float& x : numbers) x = normal(engine);
    return numbers;
}

void print_some(const xt::xarray<float>& ys) {
    constexpr std::size_t most_rows = 8, most_columns = 6;
    const std::size_t columns = ys.shape().back(), rows = columns == 0 ? 0 : ys.size() / columns;
    for (std::size_t i = 0; i < std::min(rows, most_rows); ++i) {
        for (std::size_t j = 0; j < std::min(columns, most_columns); ++j)
            std::printf(" %10.6f", static_cast<double>(ys.data()[i * columns + j]));
        std::printf("%s\n", columns > most_columns ? " ..." : "");
    }
    if (rows > most_rows) std::printf("        ... %zu rows in all\n", rows);
}

/// The largest difference; NaN beside NaN is none.
double largest_difference(const xt::xarray<float>& ys, const std::string& file) {
    const xt::xarray<float> expected = nn::load_npy<float>(file);
    if (!std::ranges::equal(ys.shape(), expected.shape())) {
        throw std::runtime_error(file + " has the shape " + xtape::to_string(xtape::Shape(expected.shape())) +
                                 ": expected " + xtape::to_string(xtape::Shape(ys.shape())));
    }
    double largest = 0;
    for (std::size_t k = 0; k < ys.size(); ++k) {
        const double a = ys.data()[k], b = expected.data()[k];
        if (a == b || (std::isnan(a) && std::isnan(b))) continue;
        largest = std::isnan(a) || std::isnan(b) ? INFINITY : std::max(largest, std::abs(a - b));
    }
    return largest;
}

int load_and_run(const Settings& s) {
    const nn::SafetensorsFile file(s.model);
    const Chain chain(file, s.chain);
    std::printf("%s: %zu tensors\n", printable(s.model).c_str(), file.tensors().size());
    for (const ChainLayer& layer : chain.layers()) {
        std::printf("  %-16s %-45s %zu -> %zu\n", layer.name.empty() ? "-" : printable(layer.name).c_str(),
                    layer.kind.c_str(), layer.inputs, layer.outputs);
    }

    const Sequence sequence = read_or_draw(s, chain);
    const xtape::Shape shape = std::visit([](const auto& xs) { return xtape::Shape(xs.shape()); }, sequence);
    Tape<float> tape;
    const NoRecording values_only(tape);
    const Var<float> result = chain(tape, sequence);
    const xt::xarray<float> ys = result.value();
    std::printf("\n%s of shape %s gives %s\n",
                s.input.empty() ? "a random input" : printable(s.input).c_str(),
                xtape::to_string(shape).c_str(), xtape::to_string(result.shape()).c_str());
    print_some(ys);
    if (!s.out.empty()) {
        nn::save_npy(s.out, ys);
        std::printf("saved: %s\n", s.out.c_str());
    }
    if (s.expected.empty()) return 0;
    const double difference = largest_difference(ys, s.expected);
    const bool agrees = difference <= s.tolerance;
    std::printf("%s %s: the largest difference is %.2g\n", agrees ? "agrees with" : "DIFFERS from",
                printable(s.expected).c_str(), difference);
    return agrees ? 0 : 1;
}

int program(int argc, char** argv) {
    Settings s;
    CLI::App app(
        "Runs a model that PyTorch has trained: Embedding, RNN, LSTM, GRU, their cells, LayerNorm and "
        "Linear, one after the "
        "other. What they are and how large is read from the names and shapes in the state dict "
        "(examples/convert_pytorch.py makes a .safetensors of a .pt). Without an input it runs on random "
        "numbers.",
        "import_pytorch");
    app.option_defaults()->always_capture_default();
    app.add_option("model", s.model, "the state dict, .safetensors")->required()->check(CLI::ExistingFile);
    CLI::Option* const input =
        app.add_option(
               "-i,--input", s.input,
               ".npy of numbers (T, B, D) or (T, D), or of ids (T, B) or (T) where the first layer is an "
               "Embedding")
            ->check(CLI::ExistingFile);
    app.add_option("-o,--out", s.out, "where the last layer's output goes, .npy");
    app.add_option("--expected", s.expected,
                   ".npy of what PyTorch gives: compares, and returns 1 where they differ")
        ->check(CLI::ExistingFile)
        ->needs(input);
    app.add_option("--tolerance", s.tolerance, "largest difference that still agrees")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--layers", s.chain.order,
                   "names of the layers in their order, where sizes alone don't tell")
        ->delimiter(',');
    app.add_flag("--relu", s.chain.relu, "an RNN's activation is relu, which a state dict doesn't say");
    app.add_option("-T,--steps", s.steps, "length of the random input")->check(CLI::Range(1, 1000000));
    app.add_option("--seed", s.seed, "of the random input");
    if (const auto exit_code = examples::parse(app, argc, argv)) return *exit_code;
    return load_and_run(s);
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv); }
