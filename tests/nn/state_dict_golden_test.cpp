// State dicts that PyTorch wrote, and what its modules compute with them: see golden/make_state_dicts.py.

#include <filesystem>
#include <string>
#include <type_traits>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/golden/read.hpp"
#include "tests/nn/numbers.hpp"

using numbers::distance;
using xtape::Tape;
using xtape::Var;
namespace nn = xtape::nn;

namespace {

constexpr std::size_t D = 3, H = 4, P = 2, V = 7, E = 6;

const xt::xarray<double>& golden(const std::string& name) {
    static const Golden file("state_dicts.txt");
    return file(name);
}

std::string file_of(const std::string& name) {
    return std::filesystem::path(__FILE__).parent_path().parent_path() / "golden" / "state_dicts" /
           (name + ".safetensors");
}

template <class T>
Var<T> given(Tape<T>& tape, const std::string& name) {
    return tape.constant(xt::xarray<T>(xt::cast<T>(golden(name))));
}

template <class T>
void check_result(const std::string& name, const Var<T>& result) {
    INFO(name);
    constexpr bool is_float = std::is_same_v<T, float>;
    const double tolerance = is_float ? 1e-6 : 1e-12;
    CHECK(distance(result.value(), golden(name + (is_float ? "" : "/double"))) < tolerance);
}

/// `make(engine, T())` makes the module that the state dict is of, `run(module, x)` runs it.
template <class Make, class Run>
void check(const std::string& name, Make make, Run run) {
    INFO(name);
    const auto check_in = [&]<class T>(T number) {
        nn::Engine engine(1);
        auto module = make(engine, number);
        nn::load_state_dict(module, file_of(name));
        Tape<T> tape;
        check_result<T>(name + "/y", run(module, tape));
    };
    check_in(float());
    check_in(double());
}

/// A cell, a layer: with states.
template <class Make>
void check_recurrent(const std::string& name, Make make) {
    check(name, make, [&]<class M, class T>(const M& module, Tape<T>& tape) -> Var<T> {
        using State = typename M::State;
        const std::string names[] = {"/h", "/c"};
        const auto start = nn::state_of<State>([&](std::size_t k) { return given(tape, name + names[k]); });
        const auto check_last = [&](const State& last) {
            const auto lasts = nn::vars_of(last);
            for (std::size_t k = 0; k < lasts.size(); ++k)
                check_result<T>(name + names[k] + "_last", lasts[k]);
        };
        const Var<T> x = given(tape, name + "/x");
        if constexpr (requires { M::is_layer; }) {
            const auto [outputs, last] = module(x, start);
            check_last(last);
            return outputs;
        } else {
            const State last = module(x, start);
            check_last(last);
            return nn::output_of(last);
        }
    });
}

template <class T>
struct CharModel {
    nn::Embedding<T> embedding;
    nn::LSTM<T> encoder;
    nn::LayerNorm<T> norm;
    nn::Linear<T> output;

    explicit CharModel(nn::Engine& engine)
        : embedding(V, H, engine), encoder(H, H, engine, {.layers = 2}), norm(H), output(H, V, engine) {
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

template <class T>
struct AttentionModel {
    nn::SelfAttention<T> attention;

    template <class F>
    void visit(F&& f) {
        f("attention", attention);
    }
};

const auto run_on_x = [](const std::string& name) {
    return [name]<class M, class T>(const M& module, Tape<T>& tape) -> Var<T> {
        return module(given(tape, name + "/x"));
    };
};

}  // namespace

TEST_CASE("state dict: an RNN and its cell compute what PyTorch's compute, from the same file") {
    check_recurrent("rnn", [](auto& engine, auto number) {
        return nn::RNN<decltype(number)>(D, H, engine, {.layers = 2});
    });
    check_recurrent("rnn_relu", [](auto& engine, auto number) {
        return nn::RNN<decltype(number)>(D, H, engine,
                                         {.bidirectional = true, .activation = nn::Activation::relu});
    });
    check_recurrent("rnn_cell",
                    [](auto& engine, auto number) { return nn::RNNCell<decltype(number)>(D, H, engine); });
    check_recurrent("rnn_cell_relu", [](auto& engine, auto number) {
        return nn::RNNCell<decltype(number)>(D, H, engine, nn::Activation::relu);
    });
}

TEST_CASE("state dict: an LSTM and its cell compute what PyTorch's compute, from the same file") {
    check_recurrent("lstm", [](auto& engine, auto number) {
        return nn::LSTM<decltype(number)>(D, H, engine, {.layers = 2, .bidirectional = true});
    });
    check_recurrent("lstm_projected", [](auto& engine, auto number) {
        return nn::LSTM<decltype(number)>(D, H, engine,
                                          {.layers = 2, .bidirectional = true, .projection_size = P});
    });
    check_recurrent("lstm_no_bias", [](auto& engine, auto number) {
        return nn::LSTM<decltype(number)>(D, H, engine, {.bias = false});
    });
    check_recurrent("lstm_cell",
                    [](auto& engine, auto number) { return nn::LSTMCell<decltype(number)>(D, H, engine); });
}

TEST_CASE("state dict: a GRU and its cell compute what PyTorch's compute, from the same file") {
    check_recurrent("gru", [](auto& engine, auto number) {
        return nn::GRU<decltype(number)>(D, H, engine, {.layers = 2, .bidirectional = true});
    });
    check_recurrent("gru_no_bias", [](auto& engine, auto number) {
        return nn::GRU<decltype(number)>(D, H, engine, {.bias = false});
    });
    check_recurrent("gru_cell",
                    [](auto& engine, auto number) { return nn::GRUCell<decltype(number)>(D, H, engine); });
    check_recurrent("gru_cell_no_bias", [](auto& engine, auto number) {
        return nn::GRUCell<decltype(number)>(D, H, engine, nn::GRUCellOptions{.bias = false});
    });
}

TEST_CASE(
    "state dict: Linear, Embedding, LayerNorm and attention compute what PyTorch's compute, from the same "
    "file") {
    check(
        "linear", [](auto& engine, auto number) { return nn::Linear<decltype(number)>(D, H, engine); },
        run_on_x("linear"));
    check(
        "embedding",
        [](auto& engine, auto number) {
            return nn::Embedding<decltype(number)>(V, D, engine, {.padding_index = 2});
        },
        []<class M, class T>(const M& module, Tape<T>& tape) -> Var<T> {
            return module(tape, xt::xarray<int>(xt::cast<int>(golden("embedding/x"))));
        });
    check(
        "layer_norm", [](auto&, auto number) { return nn::LayerNorm<decltype(number)>(D); },
        run_on_x("layer_norm"));
    check(
        "attention",
        [](auto& engine, auto number) {
            return AttentionModel<decltype(number)>{nn::SelfAttention<decltype(number)>(E, 2, engine)};
        },
        []<class M, class T>(const M& module, Tape<T>& tape) -> Var<T> {
            return module.attention(given(tape, "attention/x"));
        });
}

TEST_CASE("state dict: a Sequential counts functions as PyTorch counts modules without parameters") {
    check(
        "sequential",
        [](nn::Engine& engine, auto number) {
            using T = decltype(number);
            nn::Sequential model(
                nn::Linear<T>(D, H, engine), [](const Var<T>& x) { return tanh(x); }, nn::LayerNorm<T>(H),
                nn::Dropout(0.5, engine), nn::Linear<T>(H, P, engine));
            nn::eval(model);
            return model;
        },
        run_on_x("sequential"));
}

TEST_CASE("state dict: a model with tied parameters computes what PyTorch's computes, from the same file") {
    check(
        "char_model", [](auto& engine, auto number) { return CharModel<decltype(number)>(engine); },
        []<class T>(const CharModel<T>& model, Tape<T>& tape) -> Var<T> {
            const xt::xarray<int> ids = xt::cast<int>(golden("char_model/x"));
            return model.output(model.norm(model.encoder(model.embedding(tape, ids)).outputs));
        });
}
