#include "nn/dtype.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace xtape::nn {

namespace {

static_assert(std::endian::native == std::endian::little, "the numbers of files are little-endian");
static_assert(sizeof(bool) == 1, "a bool of a file is a byte");

struct Description {
    std::string_view name;
    std::size_t size;
    bool is_floating;
};

constexpr std::array<Description, 13> descriptions{{
    {"F64", 8, true},
    {"F32", 4, true},
    {"F16", 2, true},
    {"BF16", 2, true},
    {"I64", 8, false},
    {"I32", 4, false},
    {"I16", 2, false},
    {"I8", 1, false},
    {"U64", 8, false},
    {"U32", 4, false},
    {"U16", 2, false},
    {"U8", 1, false},
    {"BOOL", 1, false},
}};

const Description& description(DType dtype) { return descriptions.at(static_cast<std::size_t>(dtype)); }

/// The float with so many bits of exponent and fraction that is nearest.
template <int exponent_bits, int fraction_bits>
std::uint16_t rounded_to(double number) {
    constexpr int bias = (1 << (exponent_bits - 1)) - 1;
    constexpr int least_exponent = 1 - bias;
    constexpr unsigned infinity = ((1U << exponent_bits) - 1) << fraction_bits;

    const auto bits = std::bit_cast<std::uint64_t>(number);
    const auto sign = static_cast<unsigned>(bits >> 63 << 15);
    const int exponent = std::max(static_cast<int>(bits >> 52 & 0x7ff) - 1023, least_exponent);
    const auto with_sign = [&](unsigned magnitude) { return static_cast<std::uint16_t>(sign | magnitude); };
    if (std::isnan(number)) {
        const auto payload =
            static_cast<unsigned>(bits >> (52 - fraction_bits)) & ((1U << fraction_bits) - 1);
        return with_sign(infinity | 1U << (fraction_bits - 1) | payload);
    }
    if (exponent > bias) return with_sign(infinity);

    // In units of the last place the number is below 2^(fraction_bits + 1); its leading 1, where it has one, is added to the
    // exponent, and so is what a carry leaves.
    const double units_in_one = std::bit_cast<double>(std::uint64_t(1023 + fraction_bits - exponent) << 52);
    const auto units = static_cast<unsigned>(std::nearbyint(std::abs(number) * units_in_one));
    return with_sign((static_cast<unsigned>(exponent - least_exponent) << fraction_bits) + units);
}

struct F16 {
    std::uint16_t bits;
};
struct BF16 {
    std::uint16_t bits;
};

double as_double(F16 x) { return static_cast<double>(float_from_f16(x.bits)); }
double as_double(BF16 x) { return static_cast<double>(float_from_bf16(x.bits)); }
template <class T>
double as_double(T x) {
    return static_cast<double>(x);
}

template <class To>
To rounded(double x) {
    if constexpr (std::same_as<To, F16>)
        return {f16_from(x)};
    else if constexpr (std::same_as<To, BF16>)
        return {bf16_from(x)};
    else
        return static_cast<To>(x);
}

template <std::integral T>
bool is_exact_as_double(T x) {
    auto magnitude = static_cast<std::uint64_t>(x);  // NOLINT(bugprone-signed-char-misuse): not a letter
    if (std::cmp_less(x, 0)) magnitude = 0 - magnitude;
    return magnitude == 0 || static_cast<int>(std::bit_width(magnitude)) - std::countr_zero(magnitude) <= 53;
}

template <class From, class To>
bool convert_number(From x, To& y) {
    if constexpr (!std::integral<From>) {
        y = rounded<To>(as_double(x));
        return true;
    } else if constexpr (std::same_as<To, bool>) {
        y = x == 1;
        return x == 0 || x == 1;
    } else if constexpr (std::integral<To>) {
        y = static_cast<To>(x);  // NOLINT(bugprone-signed-char-misuse): not a letter
        return std::in_range<To>(x);
    } else {
        y = rounded<To>(as_double(x));
        return is_exact_as_double(x) && as_double(y) == as_double(x);
    }
}

template <class Stored, class Number>
struct Type {
    using stored = Stored;  // in a file: a bool may be any byte there
    using number = Number;
};

/// f(Type), for the C++ types of a DType.
template <class F>
std::size_t with_type(DType dtype, const F& f) {
    switch (dtype) {
        case DType::F64: return f(Type<double, double>());
        case DType::F32: return f(Type<float, float>());
        case DType::F16: return f(Type<F16, F16>());
        case DType::BF16: return f(Type<BF16, BF16>());
        case DType::I64: return f(Type<std::int64_t, std::int64_t>());
        case DType::I32: return f(Type<std::int32_t, std::int32_t>());
        case DType::I16: return f(Type<std::int16_t, std::int16_t>());
        case DType::I8: return f(Type<std::int8_t, std::int8_t>());
        case DType::U64: return f(Type<std::uint64_t, std::uint64_t>());
        case DType::U32: return f(Type<std::uint32_t, std::uint32_t>());
        case DType::U16: return f(Type<std::uint16_t, std::uint16_t>());
        case DType::U8: return f(Type<std::uint8_t, std::uint8_t>());
        case DType::BOOL: return f(Type<std::uint8_t, bool>());
    }
    throw std::invalid_argument("[dtype] " + std::to_string(static_cast<int>(dtype)) + " is no DType");
}

}  // namespace

std::string_view name_of(DType dtype) { return description(dtype).name; }

std::optional<DType> dtype_named(std::string_view name) {
    for (std::size_t k = 0; k < descriptions.size(); ++k)
        if (descriptions[k].name == name) return static_cast<DType>(k);
    return std::nullopt;
}

std::size_t size_of(DType dtype) { return description(dtype).size; }

bool is_floating(DType dtype) { return description(dtype).is_floating; }

std::optional<std::uint64_t> byte_count(const Shape& shape, DType dtype) {
    std::uint64_t bytes = size_of(dtype);
    bool is_empty = false;
    for (const std::uint64_t extent : shape) {
        is_empty |= extent == 0;
        if (extent == 0) continue;
        if (bytes > std::numeric_limits<std::int64_t>::max() / extent) return std::nullopt;
        bytes *= extent;
    }
    return is_empty ? 0 : bytes;
}

bool is_convertible(DType from, DType to) { return is_floating(to) || !is_floating(from); }

std::size_t convert(DType from, const void* numbers, DType to, void* result, std::size_t count) {
    if (!is_convertible(from, to)) {
        throw std::invalid_argument("[convert] " + std::string(name_of(from)) + " to " +
                                    std::string(name_of(to)) + ": expected a type of floats");
    }
    if (count == 0) return 0;
    if (from == to && from != DType::BOOL) {
        std::memcpy(result, numbers, count * size_of(from));
        return count;
    }
    return with_type(from, [&]<class From>(From) {
        return with_type(to, [&]<class To>(To) -> std::size_t {
            using Number = typename To::number;
            if constexpr (!std::integral<typename From::stored> && std::integral<Number>) {
                return 0;  // refused above
            } else {
                const auto* in = static_cast<const std::byte*>(numbers);
                auto* out = static_cast<std::byte*>(result);
                for (std::size_t k = 0; k < count; ++k) {
                    typename From::stored x;
                    Number y;
                    std::memcpy(&x, in + k * sizeof x, sizeof x);
                    if constexpr (std::same_as<typename From::number, bool>)
                        if (x > 1) return k;
                    if (!convert_number(x, y)) return k;
                    std::memcpy(out + k * sizeof y, &y, sizeof y);
                }
                return count;
            }
        });
    });
}

float float_from_f16(std::uint16_t bits) {
    const unsigned sign = bits >> 15U, exponent = bits >> 10U & 31U, fraction = bits & 1023U;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return sign == 1 ? -magnitude : magnitude;
    }
    const unsigned widened = exponent == 31 ? 255 : exponent + (127 - 15);
    return std::bit_cast<float>(sign << 31U | widened << 23U | fraction << 13U);
}

std::uint16_t f16_from(double number) { return rounded_to<5, 10>(number); }

float float_from_bf16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

std::uint16_t bf16_from(double number) { return rounded_to<8, 7>(number); }

}  // namespace xtape::nn
