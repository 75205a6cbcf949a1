#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "autograd/shape.hpp"

// The number types that files hold, and what becomes of a number that is read as, or written as, another type:
//
//     float to float       rounded to the nearest, ties to even; beyond the range it becomes infinite; NaN stays NaN
//     integer to any       only if the result is equal
//     float to integer     never
//
// BOOL counts as an integer that is 0 or 1.

namespace xtape::nn {

enum class DType : std::uint8_t { F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL };

/// "F32", as safetensors calls it.
std::string_view name_of(DType dtype);
/// The reverse of name_of: nothing for any other name.
std::optional<DType> dtype_named(std::string_view name);

/// The bytes of one number.
std::size_t size_of(DType dtype);
bool is_floating(DType dtype);

/// The bytes of a dense tensor. Nothing if they, or those of the extents that aren't 0, are more than 2^63 - 1, and so
/// can't be counted in strides.
std::optional<std::uint64_t> byte_count(const Shape& shape, DType dtype);

/// float, double, bool and the integers. char and wchar_t aren't numbers; halves have no type in C++20.
template <class T>
concept FileNumber = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bool> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
     !std::same_as<T, char16_t> && !std::same_as<T, char32_t> && sizeof(T) <= 8);

/// The type of a number in memory.
template <FileNumber T>
inline constexpr DType dtype_of = [] {
    if constexpr (std::same_as<T, float>) return DType::F32;
    if constexpr (std::same_as<T, double>) return DType::F64;
    if constexpr (std::same_as<T, bool>) return DType::BOOL;
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? DType::I8 : DType::U8;
    if constexpr (sizeof(T) == 2) return is_signed ? DType::I16 : DType::U16;
    if constexpr (sizeof(T) == 4) return is_signed ? DType::I32 : DType::U32;
    return is_signed ? DType::I64 : DType::U64;
}();

/// Whether numbers of one type may be read as the other at all: not floats as integers.
bool is_convertible(DType from, DType to);

/// Converts `count` numbers from one place to another; neither needs to be aligned. Returns how many were converted: less
/// than `count` if the next one has no equal number in the other type, or is a bool that is neither 0 nor 1.
/// Throws std::invalid_argument for types that aren't convertible.
std::size_t convert(DType from, const void* numbers, DType to, void* result, std::size_t count);

/// IEEE 754's binary16: a sign, 5 bits of exponent, 10 of fraction.
float float_from_f16(std::uint16_t bits);
/// Rounded once, to the nearest, ties to even.
std::uint16_t f16_from(double number);

/// The upper half of a float: a sign, 8 bits of exponent, 7 of fraction.
float float_from_bf16(std::uint16_t bits);
std::uint16_t bf16_from(double number);

}  // namespace xtape::nn
