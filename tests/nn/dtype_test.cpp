#include "nn/dtype.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace xtape::nn;

namespace {

constexpr std::array all_types{DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64,
                               DType::I32, DType::I16, DType::I8,  DType::U64,  DType::U32,
                               DType::U16, DType::U8,  DType::BOOL};
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The number that a pattern of a sign, exponent and fraction stands for, by definition.
double number_of(std::uint16_t bits, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
    const double fraction = std::ldexp(bits & ((1 << fraction_bits) - 1), -fraction_bits);
    const double sign = bits >> 15 == 1 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * infinity : std::nan("");
    return sign *
           (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

struct Half {
    const char* name;
    int exponent_bits;
    float (*from)(std::uint16_t);
    std::uint16_t (*to)(double);
};
constexpr Half halves[] = {{"F16", 5, float_from_f16, f16_from}, {"BF16", 8, float_from_bf16, bf16_from}};

/// What becomes of one number; nothing if it isn't converted.
template <class To, class From>
std::optional<To> converted(From number, DType from = dtype_of<From>, DType to = dtype_of<To>) {
    To result{};
    if (convert(from, &number, to, &result, 1) == 0) return std::nullopt;
    return result;
}

template <class T>
constexpr T largest = std::numeric_limits<T>::max();
template <class T>
constexpr T smallest = std::numeric_limits<T>::lowest();

}  // namespace

TEST_CASE("dtype: names are those of safetensors, both ways, with the sizes of their numbers") {
    const std::string names[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16",
                                 "I8",  "U64", "U32", "U16",  "U8",  "BOOL"};
    const std::size_t sizes[] = {8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1};
    for (std::size_t k = 0; k < all_types.size(); ++k) {
        CHECK(name_of(all_types[k]) == names[k]);
        CHECK(dtype_named(names[k]) == all_types[k]);
        CHECK(size_of(all_types[k]) == sizes[k]);
        CHECK(is_floating(all_types[k]) == (k < 4));
    }
    for (const char* name : {"", "f32", "F8_E4M3", "F32 "}) CHECK(!dtype_named(name));
}

TEST_CASE("dtype: a C++ type is what its size and sign say, whatever it is called") {
    STATIC_REQUIRE(dtype_of<float> == DType::F32);
    STATIC_REQUIRE(dtype_of<double> == DType::F64);
    STATIC_REQUIRE(dtype_of<bool> == DType::BOOL);
    STATIC_REQUIRE(dtype_of<long long> == DType::I64);
    STATIC_REQUIRE(dtype_of<std::size_t> == (sizeof(std::size_t) == 8 ? DType::U64 : DType::U32));
    STATIC_REQUIRE(dtype_of<signed char> == DType::I8);
    STATIC_REQUIRE(dtype_of<unsigned short> == DType::U16);
    STATIC_REQUIRE(!FileNumber<char>);
    STATIC_REQUIRE(!FileNumber<long double>);
}

TEST_CASE("dtype: every pattern of a half is the number that its definition says") {
    for (const Half& half : halves) {
        std::size_t wrong = 0;
        for (unsigned bits = 0; bits < 65536; ++bits) {
            const double expected = number_of(static_cast<std::uint16_t>(bits), half.exponent_bits);
            const float found = half.from(static_cast<std::uint16_t>(bits));
            if (std::isnan(expected))
                wrong += !std::isnan(found);
            else
                wrong += double(found) != expected || std::signbit(found) != std::signbit(expected);
        }
        INFO(half.name);
        CHECK(wrong == 0);
    }
}

TEST_CASE("dtype: a number becomes the nearest half, and the even one of two that are equally near") {
    for (const Half& half : halves) {
        const unsigned infinite = ((1U << half.exponent_bits) - 1) << (15 - half.exponent_bits);
        std::size_t wrong = 0;
        for (unsigned bits = 0; bits < infinite; ++bits) {
            const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
            const double a = number_of(low, half.exponent_bits);
            // Beyond the last one numbers are rounded as if there were another of the same distance.
            const double b = bits + 1 == infinite ? 2 * a - number_of(low - 1, half.exponent_bits)
                                                  : number_of(high, half.exponent_bits);
            const double between = (a + b) / 2;
            const std::uint16_t even = bits % 2 == 0 ? low : high;
            for (const unsigned sign : {0U, 0x8000U}) {
                const double s = sign == 0 ? 1 : -1;
                wrong += half.to(s * a) != (low | sign);
                wrong += half.to(s * std::nextafter(between, 0)) != (low | sign);
                wrong += half.to(s * between) != (even | sign);
                wrong += half.to(s * std::nextafter(between, infinity)) != (high | sign);
            }
        }
        INFO(half.name);
        CHECK(wrong == 0);
        for (const double huge : {1e39, 1.7e308, infinity}) {
            CHECK(half.to(huge) == infinite);
            CHECK(half.to(-huge) == (infinite | 0x8000U));
        }
        CHECK(half.to(5e-324) == 0);
        CHECK(half.to(-5e-324) == 0x8000);
    }
}

TEST_CASE("dtype: NaN stays NaN, with its sign, in every type of floats") {
    for (const double nan : {std::nan(""), -std::nan("")}) {
        for (const DType through : {DType::F64, DType::F32, DType::F16, DType::BF16}) {
            std::array<std::byte, 8> bytes{};
            double back = 0;
            CHECK(convert(DType::F64, &nan, through, bytes.data(), 1) == 1);
            CHECK(convert(through, bytes.data(), DType::F64, &back, 1) == 1);
            CHECK(std::isnan(back));
            CHECK(std::signbit(back) == std::signbit(nan));
        }
    }
    for (const Half& half : halves) {  // also one whose only bit is lost
        const double nan = std::bit_cast<double>(0x7ff0000000000001U);
        CHECK(std::isnan(half.from(half.to(nan))));
    }
}

TEST_CASE("dtype: a double becomes the nearest float, or an infinite one") {
    CHECK(converted<float>(0.1) == 0.1F);
    CHECK(converted<float>(1e39) == std::numeric_limits<float>::infinity());
    CHECK(converted<float>(-1e-60) == -0.0F);
    CHECK(converted<double>(0.1F) == double(0.1F));
}

TEST_CASE("dtype: floats aren't integers, even if they are whole") {
    for (const DType from : all_types)
        for (const DType to : all_types) {
            const bool allowed = !is_floating(from) || is_floating(to);
            CHECK(is_convertible(from, to) == allowed);
            const std::uint64_t zero = 0;
            std::uint64_t result = 1;
            if (allowed)
                CHECK(convert(from, &zero, to, &result, 1) == 1);
            else
                CHECK_THROWS_AS(convert(from, &zero, to, &result, 1), std::invalid_argument);
        }
}

TEST_CASE("dtype: an integer becomes an equal one, or none") {
    CHECK(converted<std::int8_t>(std::int64_t(-128)) == std::int8_t(-128));
    CHECK(!converted<std::int8_t>(std::int64_t(-129)));
    CHECK(converted<std::uint8_t>(255) == std::uint8_t(255));
    CHECK(!converted<std::uint8_t>(256));
    CHECK(!converted<std::uint64_t>(-1));
    CHECK(!converted<std::int64_t>(largest<std::uint64_t>));
    CHECK(converted<std::uint64_t>(largest<std::int64_t>) == std::uint64_t(largest<std::int64_t>));
    CHECK(!converted<std::uint32_t>(std::int64_t(1) << 32));
    CHECK(!converted<std::int16_t>(std::uint16_t(32768)));
    CHECK(converted<bool>(1) == true);
    CHECK(converted<bool>(std::uint64_t(0)) == false);
    CHECK(!converted<bool>(2));
    CHECK(!converted<bool>(-1));
    CHECK(converted<std::int32_t>(true) == 1);
}

TEST_CASE("dtype: an integer becomes an equal float, or none") {
    CHECK(converted<float>(1 << 24) == 16777216.0F);
    CHECK(!converted<float>((1 << 24) + 1));
    CHECK(converted<float>((1 << 24) + 2) == 16777218.0F);
    CHECK(converted<double>(-(std::int64_t(1) << 53)) == -9007199254740992.0);
    CHECK(!converted<double>(-(std::int64_t(1) << 53) - 1));
    CHECK(converted<double>(smallest<std::int64_t>) == -0x1p63);
    CHECK(converted<float>(std::uint64_t(1) << 63) == 0x1p63F);
    CHECK(!converted<double>(largest<std::uint64_t>));
    CHECK(!converted<float>(largest<std::int64_t>));
    CHECK(converted<double>(true) == 1.0);
    const auto as_f16 = [](int number) { return converted<std::uint16_t>(number, DType::I32, DType::F16); };
    CHECK(as_f16(2048) == 0x6800);
    CHECK(!as_f16(2049));
    CHECK(as_f16(-65504) == 0xfbff);
    CHECK(!as_f16(65536));
    const auto as_bf16 = [](int number) { return converted<std::uint16_t>(number, DType::I32, DType::BF16); };
    CHECK(as_bf16(256) == 0x4380);
    CHECK(!as_bf16(257));
}

TEST_CASE("dtype: a byte that is neither 0 nor 1 is no bool") {
    for (const DType to : all_types) {
        const std::uint8_t bytes[] = {1, 0, 2, 1};
        std::array<std::uint64_t, 4> result{};
        CHECK(convert(DType::BOOL, bytes, to, result.data(), 4) == 2);
    }
}

TEST_CASE("dtype: numbers may lie anywhere, and conversion stops at the first that has no equal") {
    std::array<char, 64> from{}, to{};
    const std::int32_t numbers[] = {1, -2, 300, 4};
    std::memcpy(from.data() + 1, numbers, sizeof numbers);
    CHECK(convert(DType::I32, from.data() + 1, DType::F64, to.data() + 3, 4) == 4);
    double third = 0;
    std::memcpy(&third, to.data() + 3 + 2 * sizeof third, sizeof third);
    CHECK(third == 300);
    CHECK(convert(DType::I32, from.data() + 1, DType::I8, to.data() + 3, 4) == 2);
    CHECK(convert(DType::I32, nullptr, DType::I8, nullptr, 0) == 0);
}

TEST_CASE("dtype: bytes are counted unless they can't be") {
    using xtape::Shape;
    constexpr std::size_t long_axis = 0xffffffff;
    CHECK(byte_count(Shape{}, DType::F64) == 8U);
    CHECK(byte_count(Shape{2, 3}, DType::F16) == 12U);
    CHECK(byte_count(Shape{2, 0, 3}, DType::F16) == 0U);
    CHECK(byte_count(Shape{long_axis, 1U << 31U}, DType::BOOL) == (std::uint64_t(long_axis) << 31U));
    CHECK(!byte_count(Shape{long_axis, long_axis}, DType::BOOL));
    CHECK(!byte_count(Shape{1U << 31U, 1U << 31U}, DType::U16));
    CHECK(!byte_count(Shape{0, long_axis, long_axis, long_axis}, DType::BOOL));
}
