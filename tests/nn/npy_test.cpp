#include "nn/npy.hpp"

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "autograd/array.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace xtape::nn;
using Catch::Contains;
using Catch::StartsWith;
using xtape::Shape;

namespace {

/// A file that NumPy wrote.
std::string numpys(const std::string& name) {
    return std::filesystem::path(__FILE__).parent_path() / "../golden" / (name + ".npy");
}

/// A file of this header, without padding, and so many bytes of data.
std::string file_of(const std::string& dict, std::size_t data, char version = 1) {
    const std::size_t length = dict.size() + 1;
    std::string bytes = "\x93NUMPY";
    bytes += version;
    bytes += '\0';
    bytes += static_cast<char>(length % 256);
    bytes += static_cast<char>(length / 256);
    if (version > 1) bytes += std::string(2, '\0');
    return bytes + dict + '\n' + std::string(data, 'd');
}

std::string dict(const std::string& descr, const std::string& shape,
                 const std::string& fortran_order = "False") {
    return "{'descr': " + descr + ", 'fortran_order': " + fortran_order + ", 'shape': " + shape + ", }";
}

/// What is said of a file that isn't opened; "" if it is.
std::string refusal(const std::string& file) {
    try {
        const NpyFile opened(file);
    } catch (const FileError& error) {
        return error.what();
    }
    return "";
}

template <class T>
using Limits = std::numeric_limits<T>;

}  // namespace

TEST_CASE("npy: what NumPy wrote is read") {
    const xt::xarray<double> f8{{0.1, -1e308, 5e-324}, {1, 2, 3}};
    CHECK((load_npy<double>(numpys("f8")) == f8));
    const xt::xarray<double> f2{-0.0, 65504, 0x1p-24, Limits<double>::infinity()};
    CHECK((load_npy<double>(numpys("f2")) == f2));
    CHECK(std::signbit(load_npy<double>(numpys("f2"))(0)));
    const xt::xarray<std::int64_t> i8 = load_npy<std::int64_t>(numpys("i8_scalar"));
    CHECK(i8.dimension() == 0);
    CHECK(i8() == Limits<std::int64_t>::min());
    CHECK((load_npy<int>(numpys("i1")) == xt::xarray<int>{-128, 127}));
    CHECK((load_npy<std::uint64_t>(numpys("u8")) ==
           xt::xarray<std::uint64_t>{0, Limits<std::uint64_t>::max()}));
    CHECK((load_npy<bool>(numpys("b1")) == xt::xtensor<bool, 2>{{true}, {false}}));
    CHECK((load_npy<float>(numpys("b1")) == xt::xtensor<float, 2>{{1}, {0}}));
    CHECK(load_npy<float>(numpys("u4_empty")).shape() == xt::xarray<float>::shape_type{3, 0});
    for (const char* version : {"version_2", "version_3"})
        CHECK((load_npy<int>(numpys(version)) == xt::xarray<int>{1, -2}));
}

TEST_CASE("npy: an array in Fortran order is read as the array that it is") {
    const xt::xarray<float> a = load_npy<float>(numpys("f4_fortran"));
    REQUIRE(Shape(a.shape()) == Shape{2, 3, 4});
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < 4; ++k)
                wrong += a(i, j, k) != static_cast<float>((i * 3 + j) * 4 + k);
    CHECK(wrong == 0);
    CHECK(NpyFile(numpys("f4_fortran")).is_fortran_order());
}

TEST_CASE("npy: what is saved is loaded, of every type and rank") {
    const TemporaryDirectory directory;
    const std::string file = directory / "a.npy";
    const xt::xarray<double> a{{1, 2, 3}, {4, 5, 6}};
    save_npy(file, xt::transpose(a) * 2.0);
    CHECK((load_npy<double>(file) == xt::transpose(a) * 2.0));
    CHECK(NpyFile(file).dtype() == DType::F64);

    const auto check = [&]<class T>(T largest) {
        const xt::xarray<T> scalar = largest;
        save_npy(file, scalar);
        CHECK(NpyFile(file).dtype() == dtype_of<T>);
        CHECK((load_npy<T>(file) == scalar));
        const xt::xarray<T> empty(std::vector<std::size_t>{2, 0, 3});
        save_npy(file, empty);
        CHECK(NpyFile(file).shape() == Shape{2, 0, 3});
    };
    check(Limits<double>::max());
    check(Limits<float>::max());
    check(Limits<std::int64_t>::max());
    check(Limits<std::int32_t>::max());
    check(Limits<std::int16_t>::max());
    check(Limits<std::int8_t>::max());
    check(Limits<std::uint64_t>::max());
    check(Limits<std::uint32_t>::max());
    check(Limits<std::uint16_t>::max());
    check(Limits<std::uint8_t>::max());
    check(true);
    CHECK_THROWS_WITH(save_npy(file, DType::BF16, Shape{1}, nullptr), Contains("NumPy has no BF16"));
}

TEST_CASE("npy: the bytes are those that NumPy writes") {
    const TemporaryDirectory directory;
    const std::string file = directory / "a.npy";
    const xt::xarray<double> f8{{0.1, -1e308, 5e-324}, {1, 2, 3}};
    save_npy(file, f8);
    CHECK(contents_of(file) == contents_of(numpys("f8")));
    const xt::xarray<std::int8_t> i1{-128, 127};
    save_npy(file, i1);
    CHECK(contents_of(file) == contents_of(numpys("i1")));
    const xt::xarray<std::int64_t> i8 = Limits<std::int64_t>::min();
    save_npy(file, i8);
    CHECK(contents_of(file) == contents_of(numpys("i8_scalar")));
}

TEST_CASE("npy: numbers are converted if the other type has them") {
    const TemporaryDirectory directory;
    const std::string file = directory / "a.npy";
    save_npy(file, xt::xarray<double>{0.1, 1e300});
    CHECK((load_npy<float>(file) == xt::xarray<float>{0.1F, Limits<float>::infinity()}));
    CHECK_THROWS_WITH(load_npy<int>(file), Catch::Equals("[npy] " + file +
                                                         ": the array of type F64 read as I32: "
                                                         "expected a type of floats"));
    save_npy(file, xt::xarray<int>{1, -1});
    CHECK_THROWS_WITH(load_npy<unsigned>(file),
                      Contains(file + ": the array of type I32 read as U32: number 1"));
}

TEST_CASE("npy: other programs may order, quote and space the header differently") {
    const TemporaryDirectory directory;
    const char* const headers[] = {
        "{'shape': (2,), 'fortran_order': False, 'descr': '<f4'}",
        R"({ "descr" : "<f4" , "fortran_order" : False , "shape" : ( 2 , ) , }   )",
        "{'descr':'<f4','fortran_order':True,'shape':(2,1)}",
    };
    for (const char* header : headers) {
        INFO(header);
        CHECK(refusal(directory.write("a.npy", file_of(header, 8))) == "");
    }
    CHECK(NpyFile(directory.write("a.npy", file_of(dict("'<i1'", "(3,)"), 3))).dtype() == DType::I8);
}

TEST_CASE("npy: a malformed file is refused by an error that names it and the fault") {
    struct Case {
        std::string bytes, fault;
    };
    const std::string good = file_of(dict("'<f4'", "(2, 2)"), 16);
    const auto bad_shape = [](const std::string& shape) { return file_of(dict("'<f4'", shape), 16); };
    const auto bad_type = [](const std::string& type) { return file_of(dict(type, "(4,)"), 16); };
    std::string version = good;
    version[6] = 4;
    std::string minor = good;
    minor[7] = 1;
    std::string long_header = good;
    long_header[9] = '\x7f';
    const Case cases[] = {
        // cut, or not a .npy file at all
        {"", "0 bytes: too short"},
        {good.substr(0, 9), "9 bytes: too short"},
        {file_of("", 0, 2).substr(0, 11), "11 bytes: too short"},
        {"PK\3\4" + std::string(100, 'x'), "doesn't begin as .npy does"},
        {version, "format 4.0: expected 1.0, 2.0 or 3.0"},
        {minor, "format 1.1"},
        {good.substr(0, 30), "in a file of 30: is it cut?"},
        {long_header, "a header of 32"},
        {std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12) + "{",
         "a header of 4294967295 bytes in a file of 13"},
        {file_of(dict("'<f4'", "(4,)") + std::string(10000, ' '), 16), "expected at most 10000"},
        {good.substr(0, good.size() - 1),
         "15 bytes of data: expected 16 for shape (2, 2) of F32, is the file cut?"},
        {good + "d", "17 bytes of data: expected 16 for shape (2, 2) of F32, these are trailing bytes"},
        // shapes
        {bad_shape("(-4,)"), R"(the header has "-4,), }?": expected an integer from 0)"},
        {bad_shape("(4.0,)"), "expected a comma"},
        {bad_shape("(4L,)"), "expected a comma"},
        {bad_shape("(04,)"), "expected an integer"},
        {bad_shape("(+4,)"), "expected an integer"},
        {bad_shape("(0x4,)"), "expected a comma"},
        {bad_shape("(4294967296,)"), "expected an integer from 0 to 2^32 - 1"},
        {bad_shape("(99999999999999999999,)"), "expected an integer from 0 to 2^32 - 1"},
        {bad_shape("(4294967295, 4294967295, 4)"),
         "shape (4294967295, 4294967295, 4) of F32: too large to be true"},
        {bad_shape("(65536, 65536, 65536, 65536, 4)"), "too large to be true"},  // 0 modulo 2^64
        {bad_shape("(0, 4294967295, 4294967295, 4294967295)"), "too large to be true"},
        {bad_shape("(1, 1, 1, 1, 1, 1, 1, 1, 4)"), "a shape of more than 8 axes"},
        {bad_shape("(1000000,)"), "16 bytes of data: expected 4000000"},
        {bad_shape("(4)"), "expected a comma behind the first extent"},
        {bad_shape("4"), "expected ("},
        {bad_shape("[4]"), "expected ("},
        {bad_shape("(,)"), "expected an integer"},
        {bad_shape("(2, 2 2)"), "expected )"},
        {bad_shape("(2,,2)"), "expected an integer"},
        {bad_shape("(2, 2"), "expected an integer"},
        {bad_shape("(2 2)"), "expected a comma"},
        // types
        {bad_type("'>f4'"), "expected little-endian numbers, as astype('<...') makes them"},
        {bad_type("'=f4'"), "expected <f8, <f4,"},
        {bad_type("'f4'"), "expected <f8"},
        {bad_type("'|f4'"), "expected <f8"},
        {bad_type("'<f16'"), "expected <f8"},
        {bad_type("'<c8'"), "expected <f8"},
        {bad_type("'|O'"), R"(the header has "'|O', 'fortran_order": expected <f8)"},
        {bad_type("'<U4'"), "expected <f8"},
        {bad_type("''"), "expected <f8"},
        {bad_type("[('a', '<f4')]"), "expected \""},
        {bad_type("5"), "expected \""},
        // the dict
        {file_of("", 0), "expected {"},
        {file_of("[]", 0), "expected {"},
        {file_of("{}", 0), "a header without descr, fortran_order or shape"},
        {file_of("{'descr': '<f4', 'shape': (4,)}", 16), "without"},
        {file_of("{'descr': '<f4', 'fortran_order': False}", 16), "without"},
        {file_of("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", 16), "each once"},
        {file_of("{'shape': (4,), 'shape': (4,), 'descr': '<f4', 'fortran_order': False}", 16), "each once"},
        {file_of("{'more': 1, 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", 16), "each once"},
        {file_of("{descr: '<f4'}", 16), "expected \""},
        {file_of("{'descr\": '<f4'}", 16), "expected"},
        {file_of("{'descr", 16), "expected ' at its end"},
        {file_of("{'descr' '<f4'}", 16), "expected :"},
        {file_of("{'descr': '<f4' 'shape': (4,)}", 16), "expected }"},
        {file_of(dict("'<f4'", "(4,)", "false"), 16), "expected False"},
        {file_of(dict("'<f4'", "(4,)", "0"), 16), "expected False"},
        {file_of(dict("'<f4'", "(4,)", "Truely"), 16), "expected }"},
        {file_of(dict("'<f4'", "(4,)") + "}", 16), "expected spaces and the end of the line"},
        {file_of(dict("'<f4'", "(4,)") + "\n", 16), "expected spaces and the end of the line"},
        {file_of(dict("'<f4'", "(4,)") + std::string(1, '\0'), 16), "expected spaces"},
    };
    const TemporaryDirectory directory;
    const std::string file = directory / "bad.npy";
    for (const Case& c : cases) {
        directory.write("bad.npy", c.bytes);
        INFO(c.bytes.substr(0, 200));
        CHECK_THAT(refusal(file), StartsWith("[npy] " + file + ": ") && Contains(c.fault));
    }
    CHECK(refusal(directory.write("good.npy", good)) == "");
    CHECK_THAT(refusal(numpys("big_endian")), Contains("expected little-endian numbers"));
}

TEST_CASE("npy: every cut of a file is refused") {
    const TemporaryDirectory directory;
    const std::string bytes = contents_of(numpys("f8"));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO(size);
        CHECK(refusal(directory.write("cut.npy", bytes.substr(0, size))) != "");
    }
}
