#include "nn/safetensors.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace xtape::nn {

namespace {

using nlohmann::json;

constexpr const char* metadata_key = "__metadata__";
constexpr std::uint64_t longest_header = 100'000'000;  // that of the reference implementation

/// In quotes, whatever it is.
std::string quoted(std::string text, std::size_t enough = 80) {
    if (text.size() > enough) text = text.substr(0, enough) + "...";
    return json(std::move(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string tensor_called(const std::string& name) { return "tensor " + quoted(name); }

/// Takes what the JSON parser finds, and refuses at once what has no place in a header.
class HeaderReader {
public:
    HeaderReader(const InputFile& file, std::uint64_t data_size, std::vector<TensorEntry>& tensors,
                 std::map<std::string, std::string>& metadata)
        : file_(file), data_size_(data_size), tensors_(tensors), metadata_(metadata) {}

    bool start_object(std::size_t) {
        if (place_ == Place::start) {
            place_ = Place::header;
        } else if (place_ == Place::header) {
            place_ = name_ == metadata_key ? Place::metadata : Place::tensor;
            found_ = {};
        } else {
            refuse("an object");
        }
        return true;
    }
    bool key(std::string& key) {
        switch (place_) {
            case Place::header:
                name_ = std::move(key);
                if (name_ == metadata_key && std::exchange(has_metadata_, true)) file_.fail("metadata twice");
                break;
            case Place::metadata:
                key_ = std::move(key);
                if (metadata_.contains(key_)) file_.fail("metadata " + quoted(key_) + " twice");
                break;
            default:  // an array has no keys, so it's a tensor
                key_ = std::move(key);
                take_tensor_key();
        }
        return true;
    }
    bool end_object() {
        if (place_ == Place::tensor) add_tensor();
        place_ = place_ == Place::header ? Place::end : Place::header;
        return true;
    }
    bool start_array(std::size_t) {
        if (place_ != Place::tensor || key_ == "dtype") refuse("an array");
        place_ = key_ == "shape" ? Place::shape : Place::offsets;
        return true;
    }
    bool end_array() {
        if (place_ == Place::offsets && found_.offsets.size() != 2)
            fail_tensor("one data offset: expected two");
        place_ = Place::tensor;
        return true;
    }
    bool string(std::string& text) {
        if (place_ == Place::metadata) {
            metadata_.emplace(std::move(key_), std::move(text));
        } else if (place_ == Place::tensor && key_ == "dtype") {
            found_.dtype = dtype_named(text);
            if (!found_.dtype)
                fail_tensor("dtype " + quoted(text) +
                            ": expected F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL");
        } else {
            refuse("a string");
        }
        return true;
    }
    bool number_unsigned(std::uint64_t number) {
        if (place_ == Place::shape) {
            if (found_.shape.size() == max_rank)
                fail_tensor("a shape of more than " + std::to_string(max_rank) + " axes");
            if (number > std::numeric_limits<std::uint32_t>::max())
                fail_tensor("an axis of extent " + std::to_string(number) + ": expected at most 2^32 - 1");
            found_.shape.push_back(number);
        } else if (place_ == Place::offsets) {
            if (found_.offsets.size() == 2) fail_tensor("more than two data offsets");
            found_.offsets.push_back(number);
        } else {
            refuse("a number");
        }
        return true;
    }
    bool number_integer(std::int64_t number) { refuse("the number " + std::to_string(number)); }
    bool number_float(double, const std::string& text) { refuse("the number " + quoted(text)); }
    bool boolean(bool) { refuse("a boolean"); }
    bool null() { refuse("null"); }
    bool binary(json::binary_t&) { refuse("binary data"); }
    bool parse_error(std::size_t position, const std::string&, const json::exception& error) {
        const std::string what = error.what();  // "[json.exception.parse_error.101] parse error at ..."
        file_.fail("the header isn't JSON in UTF-8, at its byte " + std::to_string(position) + ": " +
                   quoted(what.substr(what.find(' ') + 1), 200));
    }

private:
    enum class Place { start, header, metadata, tensor, shape, offsets, end };

    struct Found {
        std::optional<DType> dtype;
        Shape shape;
        std::vector<std::uint64_t> offsets;
        bool has_dtype = false, has_shape = false, has_offsets = false;
    };

    [[noreturn]] void fail_tensor(const std::string& fault) const {
        file_.fail(tensor_called(name_) + ": " + fault);
    }

    [[noreturn]] void refuse(const std::string& value) const {
        switch (place_) {
            case Place::start:
            case Place::end: file_.fail("the header is " + value + ": expected an object");
            case Place::header: file_.fail(quoted(name_) + " is " + value + ": expected an object");
            case Place::metadata:
                file_.fail("metadata " + quoted(key_) + " is " + value + ": expected a string");
            case Place::tensor:
                fail_tensor(key_ + " is " + value + ": expected " +
                            (key_ == "dtype" ? "a string" : "an array"));
            case Place::shape: fail_tensor("the shape has " + value + ": expected integers from 0");
            case Place::offsets: fail_tensor("data_offsets has " + value + ": expected two integers from 0");
        }
        file_.fail("unexpected " + value);
    }

    void take_tensor_key() {
        bool* const has = key_ == "dtype"          ? &found_.has_dtype
                          : key_ == "shape"        ? &found_.has_shape
                          : key_ == "data_offsets" ? &found_.has_offsets
                                                   : nullptr;
        if (has == nullptr) fail_tensor("key " + quoted(key_) + ": expected dtype, shape and data_offsets");
        if (std::exchange(*has, true)) fail_tensor(key_ + " twice");
    }

    void add_tensor() {
        if (!found_.has_dtype) fail_tensor("no dtype");
        if (!found_.has_shape) fail_tensor("no shape");
        if (!found_.has_offsets) fail_tensor("no data_offsets");
        const std::uint64_t begin = found_.offsets[0], end = found_.offsets[1];
        const std::string where = "bytes " + std::to_string(begin) + " to " + std::to_string(end);
        if (begin > end) fail_tensor(where + ": expected a begin that isn't behind the end");
        if (end > data_size_)
            fail_tensor(where + " of the data, which has " + std::to_string(data_size_) +
                        ": is the file cut?");
        const std::optional<std::uint64_t> size = byte_count(found_.shape, *found_.dtype);
        const std::string expected = to_string(found_.shape) + " of " + std::string(name_of(*found_.dtype));
        if (!size) fail_tensor("shape " + expected + ": too large to be true");
        if (*size != end - begin)
            fail_tensor(where + ": expected " + std::to_string(*size) + " bytes for shape " + expected);
        tensors_.push_back({std::move(name_), *found_.dtype, found_.shape, begin, end});
    }

    const InputFile& file_;
    std::uint64_t data_size_;
    std::vector<TensorEntry>& tensors_;
    std::map<std::string, std::string>& metadata_;

    Place place_ = Place::start;
    bool has_metadata_ = false;
    std::string name_, key_;
    Found found_;
};

/// Every byte has to belong to one tensor. `tensors` are in the order of their data.
void check_coverage(const InputFile& file, const std::vector<TensorEntry>& tensors, std::uint64_t data_size) {
    std::uint64_t end = 0;
    for (const TensorEntry& tensor : tensors) {
        const std::string where =
            tensor_called(tensor.name) + " begins at byte " + std::to_string(tensor.begin) + " of the data, ";
        if (tensor.begin < end)
            file.fail(where + "and the one before it ends at " + std::to_string(end) + ": they overlap");
        if (tensor.begin > end)
            file.fail(where + "and nothing is said of those from " + std::to_string(end) + ": a gap");
        end = tensor.end;
    }
    if (end != data_size)
        file.fail("the last tensor ends at byte " + std::to_string(end) + " of the data, which has " +
                  std::to_string(data_size) + ": trailing bytes");
}

/// Positions, in the order of the tensors' names, which have to differ.
template <class Tensors, class Fail>
std::vector<std::size_t> sorted_by_name(const Tensors& tensors, const Fail& fail) {
    std::vector<std::size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    const auto name = [&](std::size_t k) -> const std::string& { return tensors[k].name; };
    std::ranges::sort(order, {}, name);
    const auto twice = std::ranges::adjacent_find(order, {}, name);
    if (twice != order.end()) fail(tensor_called(name(*twice)) + " twice");
    return order;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& file) : file_(file, "safetensors") {
    std::uint64_t length = 0;
    if (file_.size() < sizeof length)
        file_.fail(std::to_string(file_.size()) + " bytes: expected 8 with the header's length");
    file_.read(0, &length, sizeof length);
    const std::string header_length = "a header of " + std::to_string(length) + " bytes";
    if (length > file_.size() - sizeof length) {
        if ((length & 0xffff) == 0x4b50)  // "PK"
            file_.fail("a zip archive, as PyTorch writes them: convert it to safetensors first");
        file_.fail(header_length + " in a file of " + std::to_string(file_.size()) +
                   ": cut, or not safetensors");
    }
    if (length > longest_header)
        file_.fail(header_length + ": expected at most " + std::to_string(longest_header));
    data_begin_ = sizeof length + length;
    const std::uint64_t data_size = file_.size() - data_begin_;

    std::string header(length, '\0');
    file_.read(sizeof length, header.data(), header.size());
    if (!header.starts_with('{')) file_.fail("the header doesn't begin with {: not safetensors");
    // The parser takes a zero for the end, and would ignore what follows.
    if (header.find('\0') != std::string::npos) file_.fail("the header isn't JSON: it has a zero byte");
    HeaderReader reader(file_, data_size, tensors_, metadata_);
    json::sax_parse(header, &reader);

    std::ranges::sort(tensors_, {}, [](const TensorEntry& t) { return std::tuple(t.begin, t.end); });
    by_name_ = sorted_by_name(tensors_, [&](const std::string& fault) { file_.fail(fault); });
    check_coverage(file_, tensors_, data_size);
}

const TensorEntry* SafetensorsFile::find(std::string_view tensor) const {
    const auto name = [&](std::size_t k) -> std::string_view { return tensors_[k].name; };
    const auto position = std::ranges::lower_bound(by_name_, tensor, {}, name);
    return position != by_name_.end() && name(*position) == tensor ? &tensors_[*position] : nullptr;
}

const TensorEntry& SafetensorsFile::get(std::string_view tensor) const {
    if (const TensorEntry* entry = find(tensor)) return *entry;
    std::string names;
    constexpr std::size_t enough = 10;
    for (std::size_t k = 0; k < std::min(by_name_.size(), enough); ++k)
        names += (k == 0 ? "" : ", ") + quoted(tensors_[by_name_[k]].name);
    if (by_name_.size() > enough) names += ", ...";
    file_.fail("no " + tensor_called(std::string(tensor)) + ": expected one of " +
               std::to_string(by_name_.size()) + (names.empty() ? "" : ": " + names));
}

void SafetensorsFile::read(const TensorEntry& tensor, DType as, void* numbers) const {
    file_.read_numbers(data_begin_ + tensor.begin, tensor.dtype, as, numbers, element_count(tensor.shape),
                       tensor_called(tensor.name));
}

namespace {

DType type_in_file(const TensorSource& tensor) { return tensor.saved_as.value_or(tensor.dtype); }

/// Throws what describes `text` if it can't be a string of JSON.
void check_utf8(const std::string& op, const std::string& what, const std::string& text) {
    try {
        json(text).dump();
    } catch (const json::exception&) {
        throw std::invalid_argument(op + what + " " + quoted(text) + ": expected UTF-8");
    }
}

/// The length, the header and its padding.
std::string head(const std::string& op, const std::vector<TensorSource>& tensors,
                 const std::vector<std::size_t>& order, const std::map<std::string, std::string>& metadata) {
    json header = json::object();
    for (const auto& [key, text] : metadata) {
        check_utf8(op, "metadata", key);
        check_utf8(op, "metadata " + quoted(key) + ":", text);
        header[metadata_key][key] = text;
    }
    std::uint64_t begin = 0;
    for (const std::size_t k : order) {
        const TensorSource& tensor = tensors[k];
        check_utf8(op, "tensor", tensor.name);
        const std::string called = op + tensor_called(tensor.name);
        const DType type = type_in_file(tensor);
        if (tensor.name == metadata_key) throw std::invalid_argument(called + ": the format's own name");
        if (!is_convertible(tensor.dtype, type)) {
            throw std::invalid_argument(called + " of type " + std::string(name_of(tensor.dtype)) +
                                        " saved as " + std::string(name_of(type)) +
                                        ": expected a type of floats");
        }
        const std::optional<std::uint64_t> size = byte_count(tensor.shape, type);
        if (!size)
            throw std::invalid_argument(called + " of shape " + to_string(tensor.shape) + " is too large");
        json& entry = header[tensor.name];
        entry["dtype"] = name_of(type);
        entry["shape"] = std::vector<std::size_t>(tensor.shape.begin(), tensor.shape.end());
        entry["data_offsets"] = {begin, begin + *size};
        begin += *size;
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    const std::uint64_t length = text.size();
    if (length > longest_header) {
        throw std::invalid_argument(op + "a header of " + std::to_string(length) +
                                    " bytes: expected at most " + std::to_string(longest_header));
    }
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + text;
}

void write_numbers(std::ostream& out, const std::string& file, const TensorSource& tensor) {
    const DType type = type_in_file(tensor);
    const std::size_t count = element_count(tensor.shape);
    const auto* from = static_cast<const std::byte*>(tensor.numbers);
    const auto write = [&](const std::byte* bytes, std::size_t size) {
        out.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
    };
    if (type == tensor.dtype) return write(from, count * size_of(type));

    constexpr std::size_t piece = 4096;
    std::array<std::byte, piece * 8> bytes;
    for (std::size_t done = 0; done < count && out; done += piece) {
        const std::size_t these = std::min(piece, count - done);
        const std::size_t converted =
            convert(tensor.dtype, from + done * size_of(tensor.dtype), type, bytes.data(), these);
        if (converted < these) {
            throw FileError("save_safetensors", file,
                            tensor_called(tensor.name) + " of type " + std::string(name_of(tensor.dtype)) +
                                " saved as " + std::string(name_of(type)) + ": number " +
                                std::to_string(done + converted) + " has no equal of that type");
        }
        write(bytes.data(), these * size_of(type));
    }
}

}  // namespace

void save_safetensors(const std::string& file, const std::vector<TensorSource>& tensors,
                      const std::map<std::string, std::string>& metadata) {
    const std::string op = "[save_safetensors] " + file + ": ";
    std::vector<std::size_t> order =
        sorted_by_name(tensors, [&](const std::string& fault) { throw std::invalid_argument(op + fault); });
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](std::size_t k) { return size_of(type_in_file(tensors[k])); });
    const std::string bytes = head(op, tensors, order, metadata);
    write_file(file, [&](std::ostream& out) {
        out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        for (const std::size_t k : order) write_numbers(out, file, tensors[k]);
    });
}

}  // namespace xtape::nn
