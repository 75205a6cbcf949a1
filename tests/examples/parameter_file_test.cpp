#include "examples/parameter_file.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

namespace {

struct Model {
    xtape::Parameter<float> a{xtape::Shape{2, 3}}, b{xtape::Shape{1}};
    template <class F>
    void visit(F&& f) {
        f("a", a);
        f("b", b);
    }
};

Model counting_model(float first) {
    Model model;
    for (std::size_t k = 0; k < 6; ++k) model.a.data()[k] = first + static_cast<float>(k);
    model.b.data()[0] = first - 1;
    return model;
}

}  // namespace

TEST_CASE("parameter file: what was saved is loaded bit by bit") {
    const TemporaryDirectory directory;
    Model saved = counting_model(0.1F), loaded = counting_model(7);
    save_parameters(directory / "m.safetensors", saved, "test");
    load_parameters(directory / "m.safetensors", loaded, "test");
    for (std::size_t k = 0; k < 6; ++k) CHECK(loaded.a.data()[k] == saved.a.data()[k]);
    CHECK(loaded.b.data()[0] == saved.b.data()[0]);
}

TEST_CASE("parameter file: the bytes are those of the safetensors format") {
    const TemporaryDirectory directory;
    Model model = counting_model(1);
    save_parameters(directory / "m.safetensors", model, "test");
    const std::string json =
        R"({"__metadata__":{"model":"test"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[24,28]}})";
    const std::string bytes = contents_of(directory / "m.safetensors");
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0]));
    CHECK(length % 8 == 0);
    CHECK(bytes.substr(1, 7) == std::string(7, '\0'));
    CHECK(bytes.substr(8, json.size()) == json);
    CHECK(bytes.size() == 8 + length + 28);
    CHECK(bytes.substr(8 + length, 4) == std::string("\0\0\x80\x3f", 4));  // 1.0f
}

TEST_CASE("parameter file: another model's, a cut and a longer file are refused, and no value is touched") {
    const TemporaryDirectory directory;
    Model model = counting_model(1);
    save_parameters(directory / "m.safetensors", model, "test");
    const std::string bytes = contents_of(directory / "m.safetensors");

    Model other = counting_model(5);
    CHECK_THROWS_WITH(load_parameters(directory / "m.safetensors", other, "other"),
                      Contains("not saved from"));
    for (std::size_t size = 0; size < bytes.size(); size += 7) {
        const auto file = directory.write("cut", bytes.substr(0, size));
        CHECK_THROWS_WITH(load_parameters(file, other, "test"), Contains("not saved from"));
    }
    CHECK_THROWS_WITH(load_parameters(directory.write("long", bytes + "x"), other, "test"),
                      Contains("not saved from"));
    CHECK_THROWS_WITH(load_parameters(directory / "none", other, "test"), Contains("none"));
    CHECK(other.a.data()[0] == 5);
}
