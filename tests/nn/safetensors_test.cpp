#include "nn/safetensors.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "autograd/parameter.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace xtape::nn;
using Catch::Contains;
using Catch::StartsWith;
using xtape::Array;
using xtape::Parameter;
using xtape::Shape;

namespace {

template <class T>
constexpr T largest = std::numeric_limits<T>::max();
template <class T>
constexpr T smallest = std::numeric_limits<T>::min();
template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

std::string eight_bytes(std::uint64_t number) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &number, 8);
    return bytes;
}

/// A file of this header and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data) {
    return eight_bytes(header.size()) + header + std::string(data, 'd');
}

/// What is said of a file that isn't opened; "" if it is.
std::string refusal(const std::string& file) {
    try {
        const SafetensorsFile opened(file);
    } catch (const FileError& error) {
        return error.what();
    }
    return "";
}

/// The elements in row-major order.
template <class T>
std::vector<T> elements(const xt::xarray<T>& tensor) {
    return std::vector<T>(tensor.begin(), tensor.end());
}

}  // namespace

TEST_CASE("safetensors: what another program wrote is read, in every type") {
    const auto path = std::filesystem::path(__FILE__).parent_path() / "../golden/numbers.safetensors";
    const SafetensorsFile file(path);
    CHECK(file.tensors().size() == 15);
    CHECK(file.metadata() ==
          std::map<std::string, std::string>{{"made by", "make_safetensors.py"}, {"", "ü"}});
    CHECK(file.tensors()[0].name == "BOOL");  // in the order of the data
    CHECK(file.get("naïve \"name\"\n").begin + 4 == file.get("naïve \"name\"\n").end);

    CHECK(elements(file.read<bool>("BOOL")) == std::vector{true, false, true});
    CHECK(elements(file.read<double>("F64")) == std::vector{0.1, -1e308, 5e-324, infinity<double>});
    CHECK(elements(file.read<float>("F32")) == std::vector{0.5F, -3.0F});
    CHECK(elements(file.read<unsigned char>("U8")) == std::vector<unsigned char>{255});
    const auto half = file.read<float>("F16");
    CHECK(elements(half) == std::vector{0.0F, -0.0F, 1.0F, -2.5F, 65504.0F, 0x1p-24F, infinity<float>});
    CHECK(std::signbit(half(1)));
    CHECK(elements(file.read<double>("BF16")) == std::vector{1.0, -2.5, 0x1p127, 0x1p-126});
    CHECK(elements(file.read<long>("I64")) == std::vector{smallest<long>});
    CHECK(elements(file.read<int>("I32")) == std::vector{smallest<int>, largest<int>});
    CHECK(elements(file.read<short>("I16")) == std::vector{smallest<short>, largest<short>});
    CHECK(elements(file.read<signed char>("I8")) == std::vector<signed char>{-128, 127});
    CHECK(elements(file.read<unsigned long>("U64")) == std::vector{0UL, largest<unsigned long>});
    CHECK(elements(file.read<unsigned>("U32")) == std::vector{largest<unsigned>});
    CHECK(elements(file.read<unsigned short>("U16")) == std::vector{largest<unsigned short>});
    CHECK(elements(file.read<float>("naïve \"name\"\n")) == std::vector{7.0F});

    CHECK(file.get("F64").shape == Shape{2, 2});
    CHECK(file.read<double>("F64").shape() == xt::xarray<double>::shape_type{2, 2});
    CHECK(file.read<long>("I64").dimension() == 0);
    CHECK(file.read<double>("none").shape() == xt::xarray<double>::shape_type{3, 0, 2});
}

TEST_CASE("safetensors: what is saved is read back bit by bit, with its shape and metadata") {
    const TemporaryDirectory directory;
    const auto path = directory / "m.safetensors";
    const xt::xarray<double> matrix{{0.1, -0.0, 1e-320}, {1e300, infinity<double>, 1 / 3.0}};
    const xt::xarray<float> scalar = 2.5F;
    const xt::xtensor<std::int64_t, 1> ids{largest<std::int64_t>, -1};
    const xt::xarray<bool> mask{true, false, true};
    const Array<float> nothing(Shape{4, 0});
    const Parameter<float> weight(xt::xarray<float>{{1, 2}, {3, 4}}, "weight");
    const std::map<std::string, std::string> metadata{{"format", "pt"}, {"naïve", "\"quoted\"\n"}};
    save_safetensors(path,
                     {tensor_source("matrix", matrix), tensor_source("", scalar), tensor_source("ids", ids),
                      tensor_source("a/b.c \"ü\"", mask), tensor_source("nothing", nothing),
                      tensor_source("weight", weight)},
                     metadata);

    const SafetensorsFile file(path);
    CHECK(file.name() == path.string());
    CHECK(file.metadata() == metadata);
    CHECK(file.tensors().size() == 6);
    CHECK((file.read<double>("matrix") == matrix));
    CHECK(std::signbit(file.read<double>("matrix")(0, 1)));
    CHECK((file.read<float>("") == scalar));
    CHECK((file.read<std::int64_t>("ids") == ids));
    CHECK((file.read<bool>("a/b.c \"ü\"") == mask));
    CHECK(file.get("nothing").shape == Shape{4, 0});
    CHECK((file.read<float>("weight") == weight.value()));
    CHECK(file.get("weight").dtype == DType::F32);
}

TEST_CASE("safetensors: the bytes are those of the format, wide numbers first, and aligned") {
    const TemporaryDirectory directory;
    const auto path = directory / "m.safetensors";
    const xt::xarray<std::uint8_t> bytes{1, 2, 3};
    const xt::xarray<float> floats{{1, 2}};
    save_safetensors(path, {tensor_source("b", bytes), tensor_source("a", floats)}, {{"k", "v"}});
    std::string header =
        R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,8],"dtype":"F32","shape":[1,2]},)"
        R"("b":{"data_offsets":[8,11],"dtype":"U8","shape":[3]}})";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    CHECK(contents_of(path) ==
          eight_bytes(header.size()) + header + std::string("\0\0\x80\x3f\0\0\0\x40\1\2\3", 11));
}

TEST_CASE("safetensors: a file may have no tensors, and spaces behind its header") {
    const TemporaryDirectory directory;
    for (const char* header : {"{}", "{}      ", R"({"__metadata__":{}})"}) {
        const SafetensorsFile file(directory.write("file", file_of(header, 0)));
        CHECK(file.tensors().empty());
    }
    save_safetensors(directory / "saved", {});
    const SafetensorsFile saved(directory / "saved");
    CHECK(saved.tensors().empty());
}

TEST_CASE("safetensors: tensors without numbers may stand at any seam of the data") {
    const TemporaryDirectory directory;
    const std::string header =
        R"({"c":{"dtype":"U8","shape":[0],"data_offsets":[2,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
        R"("a":{"dtype":"U8","shape":[9,0],"data_offsets":[0,0]},"d":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
    const SafetensorsFile file(directory.write("file", file_of(header, 3)));
    CHECK(elements(file.read<int>("b")) == std::vector<int>{'d', 'd'});
    CHECK(file.read<int>("a").size() == 0);
}

TEST_CASE("safetensors: numbers are rounded to narrower floats as they are saved, or as they are read") {
    const TemporaryDirectory directory;
    const auto path = directory / "m.safetensors";
    // More than one piece of those that are converted at a time.
    Array<double> numbers(Shape{3, 5000});
    for (std::size_t k = 0; k < numbers.size(); ++k)
        numbers.data()[k] = std::sin(double(k)) * std::exp2(double(k % 40) - 20);
    numbers.data()[14999] = 1e300;
    save_safetensors(
        path, {tensor_source("f64", numbers), tensor_source("f32", numbers, DType::F32),
               tensor_source("f16", numbers, DType::F16), tensor_source("bf16", numbers, DType::BF16)});
    const SafetensorsFile file(path);
    CHECK(file.get("f16").dtype == DType::F16);
    CHECK(file.get("f16").end - file.get("f16").begin == 30000);
    const auto f64 = file.read<float>("f64"), f32 = file.read<float>("f32"), f16 = file.read<float>("f16"),
               bf16 = file.read<float>("bf16");
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < numbers.size(); ++k) {
        const double number = numbers.data()[k];
        wrong += f64.flat(k) != static_cast<float>(number) || f32.flat(k) != f64.flat(k);
        wrong += f16.flat(k) != float_from_f16(f16_from(number));
        wrong += bf16.flat(k) != float_from_bf16(bf16_from(number));
    }
    CHECK(wrong == 0);
    CHECK(std::isinf(f32.flat(14999)));
}

TEST_CASE("safetensors: integers are read and saved as other types if these have them") {
    const TemporaryDirectory directory;
    const auto path = directory / "m.safetensors";
    const xt::xarray<std::int64_t> ids{0, 1, 300};
    save_safetensors(path, {tensor_source("ids", ids), tensor_source("short", ids, DType::U16),
                            tensor_source("half", ids, DType::F16)});
    const SafetensorsFile file(path);
    CHECK(elements(file.read<float>("ids")) == std::vector{0.0F, 1.0F, 300.0F});
    CHECK(elements(file.read<int>("short")) == std::vector{0, 1, 300});
    CHECK(elements(file.read<double>("half")) == std::vector{0.0, 1.0, 300.0});
    const std::string start = "[safetensors] " + path.string() + ": tensor ";
    CHECK_THROWS_WITH(
        file.read<std::uint8_t>("ids"),
        Catch::Equals(start + R"("ids" of type I64 read as U8: number 2 has no equal of that type)"));
    CHECK_THROWS_WITH(file.read<int>("half"),
                      Catch::Equals(start + R"("half" of type F16 read as I32: expected a type of floats)"));
    CHECK_THROWS_AS(file.read<bool>("ids"), FileError);

    const std::string before = contents_of(path);
    CHECK_THROWS_WITH(save_safetensors(path, {tensor_source("ids", ids, DType::I8)}),
                      Contains(path.string()) && Contains(R"("ids" of type I64 saved as I8: number 2)"));
    CHECK(contents_of(path) == before);
}

TEST_CASE("safetensors: a byte that is neither 0 nor 1 isn't read as a bool") {
    const TemporaryDirectory directory;
    const std::string header = R"({"mask":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
    const SafetensorsFile file(directory.write("file", file_of(header, 2)));
    CHECK_THROWS_WITH(file.read<bool>("mask"), Contains("number 0 is neither 0 nor 1"));
    CHECK_THROWS_WITH(file.read<int>("mask"), Contains("number 0 is neither 0 nor 1"));
}

TEST_CASE("safetensors: a tensor that isn't there is an error that says what there is") {
    const TemporaryDirectory directory;
    const xt::xarray<float> one = 1.0F;
    std::vector<TensorSource> tensors;
    for (int k = 0; k < 12; ++k) tensors.push_back(tensor_source("t" + std::to_string(k), one));
    save_safetensors(directory / "m", tensors);
    const SafetensorsFile file(directory / "m");
    CHECK(file.find("t10") == &file.get("t10"));
    CHECK(file.find("t1")->name == "t1");
    for (const char* name : {"", "t", "t12", "t100", "u"}) CHECK(file.find(name) == nullptr);
    CHECK_THROWS_WITH(file.read<float>("x"),
                      StartsWith("[safetensors] " + file.name() +
                                 R"(: no tensor "x": expected one of 12: "t0", "t1", "t10",)"));
}

TEST_CASE("safetensors: a file that is cut after it was opened is an error") {
    const TemporaryDirectory directory;
    const xt::xarray<float> numbers{1, 2, 3};
    save_safetensors(directory / "m", {tensor_source("a", numbers)});
    const SafetensorsFile file(directory / "m");
    std::filesystem::resize_file(directory / "m", std::filesystem::file_size(directory / "m") - 1);
    CHECK_THROWS_WITH(file.read<float>("a"),
                      StartsWith("[safetensors] " + file.name() + ": ends before byte "));
}

TEST_CASE("safetensors: a malformed file is refused by an error that names it and the fault") {
    const auto entry = [](const std::string& offsets, const std::string& shape = "[4]",
                          const std::string& dtype = "F32") {
        return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
    };
    const auto one = [&](const std::string& value) { return R"({"a":)" + value + "}"; };
    const auto two = [&](const std::string& a, const std::string& b) {
        return R"({"a":)" + a + R"(,"b":)" + b + "}";
    };
    const std::string good = one(entry("[0,16]"));
    const std::string deep(100000, '[');

    struct Case {
        std::string bytes, fault;
    };
    const Case cases[] = {
        // cut, or not a safetensors file at all
        {"", "0 bytes: expected 8 with the header's length"},
        {"1234567", "7 bytes: expected 8"},
        {eight_bytes(2), "a header of 2 bytes in a file of 8"},
        {file_of(good, 0).substr(0, 20), "in a file of 20"},
        {file_of(good, 15), R"(tensor "a": bytes 0 to 16 of the data, which has 15: is the file cut?)"},
        {file_of(good, 0), "of the data, which has 0"},
        {eight_bytes(0), "doesn't begin with {"},
        {"PK\3\4" + std::string(100, 'x'), "a zip archive, as PyTorch writes them"},
        // the header's length
        {eight_bytes(~std::uint64_t(0)) + good, "a header of 18446744073709551615 bytes in a file of"},
        {eight_bytes(std::uint64_t(1) << 63U) + good, "a header of 9223372036854775808 bytes"},
        {eight_bytes(good.size() + 17) + good + std::string(16, 'd'), "cut, or not safetensors"},
        {eight_bytes(good.size() - 1) + good + std::string(16, 'd'), "isn't JSON"},
        {eight_bytes(good.size() + 16) + good + std::string(16, 'd'), "of the data, which has 0"},
        // offsets
        {file_of(two(entry("[0,16]"), entry("[12,28]")), 28),
         R"(tensor "b" begins at byte 12 of the data, and the one before it ends at 16: they overlap)"},
        {file_of(two(entry("[0,16]"), entry("[0,16]")), 16), "they overlap"},
        {file_of(two(entry("[0,16]"), entry("[8,8]", "[0]")), 16), "they overlap"},
        {file_of(two(entry("[0,16]"), entry("[20,36]")), 36), "those from 16: a gap"},
        {file_of(one(entry("[4,20]")), 20), "those from 0: a gap"},
        {file_of(one(entry("[0,17]")), 17),
         R"(tensor "a": bytes 0 to 17: expected 16 bytes for shape (4,) of F32)"},
        {file_of(one(entry("[0,12]")), 12), "expected 16 bytes"},
        {file_of(one(entry("[16,0]")), 16), "bytes 16 to 0: expected a begin that isn't behind the end"},
        {file_of(one(entry("[18446744073709551600,16]")), 16), "expected a begin"},
        {file_of(one(entry("[0,18446744073709551615]")), 16), "of the data, which has 16"},
        {file_of(one(entry("[0,18446744073709551616]")), 16),
         R"(data_offsets has the number "18446744073709551616")"},
        {file_of(one(entry("[-16,0]")), 16), "data_offsets has the number -16: expected two integers from 0"},
        {file_of(one(entry("[0,16.0]")), 16), R"(data_offsets has the number "16.0")"},
        {file_of(one(entry("[0,16,16]")), 16), "more than two data offsets"},
        {file_of(one(entry("[16]")), 16), "one data offset: expected two"},
        {file_of(one(entry("[]")), 16), "expected two"},
        {file_of(one(entry("[[0,16]]")), 16), "data_offsets has an array"},
        {file_of(one(entry("\"0,16\"")), 16), "data_offsets is a string: expected an array"},
        {file_of(good, 17), "the last tensor ends at byte 16 of the data, which has 17: trailing bytes"},
        {file_of("{}", 1), "trailing bytes"},
        // shapes
        {file_of(one(entry("[0,16]", "[-4]")), 16),
         R"(tensor "a": the shape has the number -4: expected integers from 0)"},
        {file_of(one(entry("[0,16]", "[4.5]")), 16), R"(the shape has the number "4.5")"},
        {file_of(one(entry("[0,16]", "[1e400]")), 16), "number overflow"},
        {file_of(one(entry("[0,16]", "[4294967296]")), 16),
         "an axis of extent 4294967296: expected at most 2^32 - 1"},
        {file_of(one(entry("[0,16]", "[99999999999999999999]")), 16),
         R"(the shape has the number "99999999999999999999")"},
        {file_of(one(entry("[0,16]", "[4294967295,4294967295,4]")), 16), "too large to be true"},
        {file_of(one(entry("[0,0]", "[0,4294967295,4294967295,4294967295]")), 0), "too large to be true"},
        {file_of(one(entry("[0,16]", "[65536,65536,65536,65536,4]")), 16), "too large"},  // 0 modulo 2^64
        {file_of(one(entry("[0,16]", "[1,1,1,1,1,1,1,1,4]")), 16), "a shape of more than 8 axes"},
        {file_of(one(entry("[0,16]", "[[4]]")), 16), "the shape has an array"},
        {file_of(one(entry("[0,16]", "4")), 16), "shape is a number: expected an array"},
        {file_of(one(entry("[0,16]", "{}")), 16), "shape is an object"},
        {file_of(one(entry("[0,16]", "[true]")), 16), "the shape has a boolean"},
        // types
        {file_of(one(entry("[0,16]", "[16]", "F8_E4M3")), 16), R"(dtype "F8_E4M3": expected F64, F32,)"},
        {file_of(one(entry("[0,16]", "[4]", "f32")), 16), R"(dtype "f32")"},
        {file_of(R"({"a":{"dtype":5,"shape":[],"data_offsets":[0,4]}})", 4),
         "dtype is a number: expected a string"},
        {file_of(R"({"a":{"dtype":["F32"],"shape":[],"data_offsets":[0,4]}})", 4), "dtype is an array"},
        {file_of(R"({"a":{"dtype":null,"shape":[],"data_offsets":[0,4]}})", 4), "dtype is null"},
        // keys
        {file_of(R"({"a":{"shape":[4],"data_offsets":[0,16]}})", 16), R"(tensor "a": no dtype)"},
        {file_of(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4), "no shape"},
        {file_of(R"({"a":{"dtype":"F32","shape":[4]}})", 16), "no data_offsets"},
        {file_of(R"({"a":{}})", 0), "no dtype"},
        {file_of(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"more":1}})", 4),
         R"(tensor "a": key "more")"},
        {file_of(R"({"a":{"dtype":"F32","shape":[],"shape":[],"data_offsets":[0,4]}})", 4), "shape twice"},
        {file_of(R"({"a":{"dtype":"F32","dtype":"I32","shape":[],"data_offsets":[0,4]}})", 4), "dtype twice"},
        {file_of(R"({"a":)" + entry("[0,16]") + R"(,"a":)" + entry("[16,32]") + "}", 32),
         R"(tensor "a" twice)"},
        {file_of(R"({"a":)" + entry("[0,16]") + R"(,"\u0061":)" + entry("[16,32]") + "}", 32),
         R"(tensor "a" twice)"},
        {file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "metadata twice"},
        {file_of(R"({"__metadata__":{"k":"1","k":"1"}})", 0), R"(metadata "k" twice)"},
        {file_of(R"({"__metadata__":{"k":1}})", 0), R"(metadata "k" is a number: expected a string)"},
        {file_of(R"({"__metadata__":{"k":{}}})", 0), R"(metadata "k" is an object)"},
        {file_of(R"({"__metadata__":"k"})", 0), R"("__metadata__" is a string: expected an object)"},
        {file_of(R"({"a":[]})", 0), R"("a" is an array: expected an object)"},
        {file_of(R"({"a":1})", 0), R"("a" is a number)"},
        // JSON and UTF-8
        {file_of("[]", 0), "doesn't begin with {"},
        {file_of("\xef\xbb\xbf{}", 0), "doesn't begin with {"},
        {file_of(" {}", 0), "doesn't begin with {"},
        {file_of("{", 0), "isn't JSON"},
        {file_of(good.substr(0, good.size() - 1), 16), "isn't JSON"},
        {file_of("{}{}", 0), "isn't JSON"},
        {file_of("{},", 0), "isn't JSON"},
        {file_of(std::string("{}\0trailing", 11), 0), "it has a zero byte"},
        {file_of("{'a':1}", 0), "isn't JSON"},
        {file_of("{/**/}", 0), "isn't JSON"},
        {file_of("{\"\xff\":1}", 0), "ill-formed UTF-8 byte"},
        {file_of("{\"\xc3\":1}", 0), "ill-formed UTF-8 byte"},
        {file_of("{\"\xed\xa0\x80\":1}", 0), "ill-formed UTF-8 byte"},
        {file_of(R"({"\ud800":1})", 0), "isn't JSON"},
        {file_of("{\"a\n\":1}", 0), "isn't JSON"},
        // nested as deep as one likes
        {file_of(one(deep), 0), R"("a" is an array)"},
        {file_of(one(R"({"shape":)" + deep), 0), "the shape has an array"},
    };
    const TemporaryDirectory directory;
    const std::string file = directory / "bad.safetensors";
    for (const Case& c : cases) {
        directory.write("bad.safetensors", c.bytes);
        INFO(c.bytes.substr(0, 300));
        CHECK_THAT(refusal(file), StartsWith("[safetensors] " + file + ": ") && Contains(c.fault));
    }
    CHECK(refusal(directory.write("good", file_of(good, 16))) == "");
}

TEST_CASE("safetensors: a header that would be too long is refused before it is read") {
    const TemporaryDirectory directory;
    const auto file = directory.write("file", eight_bytes(100'000'001));
    std::filesystem::resize_file(file, 8 + 100'000'001);  // sparse
    CHECK_THAT(refusal(file), Contains("a header of 100000001 bytes: expected at most 100000000"));
}

TEST_CASE("safetensors: every cut of a file is refused, and every byte too many") {
    const TemporaryDirectory directory;
    const xt::xarray<float> numbers{1, 2, 3};
    save_safetensors(directory / "m", {tensor_source("a", numbers)}, {{"k", "v"}});
    const std::string bytes = contents_of(directory / "m");
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO(size);
        CHECK(refusal(directory.write("cut", bytes.substr(0, size))) != "");
    }
    CHECK(refusal(directory.write("long", bytes + '\0')) != "");
    CHECK(refusal(directory.write("whole", bytes)) == "");
}

TEST_CASE("safetensors: what a file can't hold isn't saved, and an old file is as it was") {
    const TemporaryDirectory directory;
    const std::string file = directory.write("m", "old");
    const xt::xarray<float> one = 1.0F;
    const auto refused = [&](const std::vector<TensorSource>& tensors,
                             const std::map<std::string, std::string>& metadata, const std::string& fault) {
        CHECK_THROWS_AS(save_safetensors(file, tensors, metadata), std::invalid_argument);
        CHECK_THROWS_WITH(save_safetensors(file, tensors, metadata),
                          Catch::Equals("[save_safetensors] " + file + ": " + fault));
        CHECK(contents_of(file) == "old");
    };
    refused({tensor_source("a", one), tensor_source("b", one), tensor_source("a", one)}, {},
            R"(tensor "a" twice)");
    refused({tensor_source("__metadata__", one)}, {}, R"(tensor "__metadata__": the format's own name)");
    refused({tensor_source("\xff", one)}, {}, "tensor \"\ufffd\": expected UTF-8");
    refused({}, {{"\xff", ""}}, "metadata \"\ufffd\": expected UTF-8");
    refused({}, {{"k", "\xc3"}}, "metadata \"k\": \"\ufffd\": expected UTF-8");
    refused({tensor_source("a", one, DType::I32)}, {},
            R"(tensor "a" of type F32 saved as I32: expected a type of floats)");
    refused({{"a", DType::F32, Shape{1U << 31U, 1U << 31U}, nullptr}}, {},
            R"(tensor "a" of shape (2147483648, 2147483648) is too large)");
}

TEST_CASE("safetensors: a header that nobody would read isn't saved") {
    const TemporaryDirectory directory;
    const std::map<std::string, std::string> metadata{{"k", std::string(100'000'000, 'v')}};
    CHECK_THROWS_WITH(save_safetensors(directory / "m", {}, metadata),
                      Contains("a header of 100000032 bytes: expected at most 100000000"));
    CHECK(!std::filesystem::exists(directory / "m"));
}
