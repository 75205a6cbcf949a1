#include "nn/npy.hpp"

#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace xtape::nn {

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longest_header = 10'000;  // what NumPy itself reads unless it is told to trust the file
constexpr std::size_t alignment = 64;

struct NpyType {
    std::string_view description;
    DType dtype;
};
constexpr NpyType types[] = {
    {"<f8", DType::F64}, {"<f4", DType::F32}, {"<f2", DType::F16}, {"<i8", DType::I64},
    {"<i4", DType::I32}, {"<i2", DType::I16}, {"|i1", DType::I8},  {"<u8", DType::U64},
    {"<u4", DType::U32}, {"<u2", DType::U16}, {"|u1", DType::U8},  {"|b1", DType::BOOL},
};

/// Reads the text of a header: a Python dict of exactly three keys.
class DictReader {
public:
    DictReader(const InputFile& file, std::string_view text) : file_(file), rest_(text) {}

    void read() {
        expect("{");
        while (!accept("}")) {
            take_entry();
            if (!accept(",")) {
                expect("}");
                break;
            }
        }
        if (!shape_ || !dtype_ || !is_fortran_order_)
            file_.fail("a header without descr, fortran_order or shape: expected all three");
        skip_spaces();
        if (rest_ != "\n") fail("expected spaces and the end of the line");
    }

    DType dtype() const { return *dtype_; }
    const Shape& shape() const { return *shape_; }
    bool is_fortran_order() const { return *is_fortran_order_; }

private:
    [[noreturn]] void fail(const std::string& expected) const {
        std::string found(rest_.substr(0, 20));
        for (char& c : found)
            if (c < ' ' || c > '~') c = '?';
        file_.fail("the header has \"" + found + "\": " + expected);
    }

    void skip_spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }
    bool accept(std::string_view token) {
        skip_spaces();
        if (!rest_.starts_with(token)) return false;
        rest_.remove_prefix(token.size());
        return true;
    }
    void expect(std::string_view token) {
        if (!accept(token)) fail("expected " + std::string(token));
    }

    /// In single quotes, as NumPy writes it, or double ones.
    std::string_view take_string() {
        const std::string_view quote = accept("'") ? "'" : "\"";
        if (quote == "\"") expect(quote);
        const std::size_t end = rest_.find(quote);
        if (end == std::string_view::npos) fail("expected " + std::string(quote) + " at its end");
        const std::string_view text = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return text;
    }

    void take_entry() {
        skip_spaces();
        const std::string_view before = rest_;
        const std::string_view key = take_string();
        expect(":");
        if (key == "descr" && !dtype_) {
            dtype_ = take_type();
        } else if (key == "fortran_order" && !is_fortran_order_) {
            is_fortran_order_ = accept("True");
            if (!*is_fortran_order_) expect("False");
        } else if (key == "shape" && !shape_) {
            shape_ = take_shape();
        } else {
            rest_ = before;
            fail("expected descr, fortran_order and shape, each once");
        }
    }

    DType take_type() {
        skip_spaces();
        const std::string_view before = rest_;
        std::string description(take_string());
        if (description.ends_with('1') && description.starts_with('<')) description[0] = '|';
        for (const NpyType& type : types)
            if (type.description == description) return type.dtype;
        rest_ = before;
        fail(description.starts_with('>')
                 ? "expected little-endian numbers, as astype('<...') makes them"
                 : "expected <f8, <f4, <f2, <i8, <i4, <i2, |i1, <u8, <u4, <u2, |u1 or |b1");
    }

    Shape take_shape() {
        Shape shape;
        expect("(");
        while (!accept(")")) {
            if (shape.size() == max_rank)
                file_.fail("a shape of more than " + std::to_string(max_rank) + " axes");
            shape.push_back(take_extent());
            if (accept(",")) continue;
            if (shape.size() == 1) fail("expected a comma behind the first extent");
            expect(")");
            break;
        }
        return shape;
    }

    std::size_t take_extent() {
        skip_spaces();
        std::uint32_t extent = 0;
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
        const auto digits = static_cast<std::size_t>(end - rest_.data());
        if (error != std::errc() || (rest_[0] == '0' && digits > 1))
            fail("expected an integer from 0 to 2^32 - 1");
        rest_.remove_prefix(digits);
        return extent;
    }

    const InputFile& file_;
    std::string_view rest_;
    std::optional<DType> dtype_;
    std::optional<Shape> shape_;
    std::optional<bool> is_fortran_order_;
};

}  // namespace

NpyFile::NpyFile(const std::string& file) : file_(file, "npy") {
    unsigned char
        start[12];  // the magic, the version's two numbers, two or four bytes of the header's length
    if (file_.size() < 10) file_.fail(std::to_string(file_.size()) + " bytes: too short for .npy");
    file_.read(0, start, 10);
    if (std::memcmp(start, magic.data(), magic.size()) != 0) file_.fail("doesn't begin as .npy does");
    const unsigned major = start[6], minor = start[7];
    if (major < 1 || major > 3 || minor != 0) {
        file_.fail("format " + std::to_string(major) + "." + std::to_string(minor) +
                   ": expected 1.0, 2.0 or 3.0");
    }
    std::uint64_t length = std::uint64_t{start[8]} | std::uint64_t{start[9]} << 8U;
    std::uint64_t header_begin = 10;
    if (major > 1) {
        if (file_.size() < 12) file_.fail(std::to_string(file_.size()) + " bytes: too short for .npy");
        file_.read(10, start + 10, 2);
        length |= std::uint64_t(start[10]) << 16U | std::uint64_t(start[11]) << 24U;
        header_begin = 12;
    }
    const std::string header_length = "a header of " + std::to_string(length) + " bytes";
    if (length > file_.size() - header_begin)
        file_.fail(header_length + " in a file of " + std::to_string(file_.size()) + ": is it cut?");
    if (length > longest_header)
        file_.fail(header_length + ": expected at most " + std::to_string(longest_header));
    data_begin_ = header_begin + length;

    std::string header(length, '\0');
    file_.read(header_begin, header.data(), header.size());
    DictReader dict(file_, header);
    dict.read();
    dtype_ = dict.dtype();
    shape_ = dict.shape();
    is_fortran_order_ = dict.is_fortran_order();

    const std::optional<std::uint64_t> size = byte_count(shape_, dtype_);
    const std::string what = "shape " + to_string(shape_) + " of " + std::string(name_of(dtype_));
    if (!size) file_.fail(what + ": too large to be true");
    const std::uint64_t data_size = file_.size() - data_begin_;
    if (*size != data_size) {
        file_.fail(std::to_string(data_size) + " bytes of data: expected " + std::to_string(*size) + " for " +
                   what + (data_size < *size ? ", is the file cut?" : ", these are trailing bytes"));
    }
}

void NpyFile::read(DType as, void* numbers) const {
    file_.read_numbers(data_begin_, dtype_, as, numbers, element_count(shape_), "the array");
}

void save_npy(const std::string& file, DType dtype, const Shape& shape, const void* numbers) {
    const NpyType* type = std::ranges::find(types, dtype, &NpyType::dtype);
    if (type == std::end(types))
        throw std::invalid_argument("[save_npy] " + file + ": NumPy has no " + std::string(name_of(dtype)));
    const std::optional<std::uint64_t> size = byte_count(shape, dtype);
    if (!size)
        throw std::invalid_argument("[save_npy] " + file + ": shape " + to_string(shape) + " is too large");

    std::string header = "{'descr': '" + std::string(type->description) +
                         "', 'fortran_order': False, 'shape': " + to_string(shape) + ", }";
    const std::size_t start = magic.size() + 4;
    header.append(alignment - (start + header.size() + 1) % alignment, ' ');
    header += '\n';
    write_file(file, [&](std::ostream& out) {
        const auto length = static_cast<std::uint16_t>(header.size());
        const char version_and_length[] = {1, 0, static_cast<char>(length & 0xffU),
                                           static_cast<char>(length >> 8U)};
        out << magic << std::string_view(version_and_length, 4) << header;
        out.write(static_cast<const char*>(numbers), static_cast<std::streamsize>(*size));
    });
}

}  // namespace xtape::nn
