#include "examples/parameter_file.hpp"

#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "nn/file.hpp"

namespace examples {

namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

/// All that comes before the numbers. Names and model come from this program's own code: letters, digits, dots,
/// underscores; nothing that JSON would want escaped.
std::string head(const std::vector<NamedTensor>& tensors, const std::string& model) {
    std::string json = R"({"__metadata__":{"model":")" + model + "\"}";
    std::size_t offset = 0;
    for (const auto& [name, shape, values] : tensors) {
        std::string extents;
        for (const std::size_t extent : shape)
            extents += (extents.empty() ? "" : ",") + std::to_string(extent);
        const std::size_t end = offset + values.size_bytes();
        json += ",\"" + name + R"(":{"dtype":"F32","shape":[)" + extents + R"(],"data_offsets":[)" +
                std::to_string(offset) + "," + std::to_string(end) + "]}";
        offset = end;
    }
    json += "}";
    json.append((8 - json.size() % 8) % 8, ' ');  // so that the numbers are aligned
    const std::uint64_t length = json.size();
    std::string out(sizeof length, '\0');
    std::memcpy(out.data(), &length, sizeof length);
    return out + json;
}

}  // namespace

void save_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                  const std::string& model) {
    std::string bytes = head(tensors, model);
    for (const NamedTensor& tensor : tensors) {
        bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size_bytes());
    }
    xtape::nn::write_file(file, [&](std::ostream& out) { out << bytes; });
}

void load_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                  const std::string& model) {
    // The head is compared, not parsed: only a file that says exactly what would be written here fits.
    const std::string expected = head(tensors, model);
    std::size_t data_size = 0;
    for (const NamedTensor& tensor : tensors) data_size += tensor.values.size_bytes();

    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error("parameters: cannot read " + file.string());
    std::string found(expected.size(), '\0'), data(data_size, '\0');
    in.read(found.data(), static_cast<std::streamsize>(found.size()));
    in.read(data.data(), static_cast<std::streamsize>(data.size()));
    if (!in || found != expected || in.get() != std::ifstream::traits_type::eof()) {
        throw std::runtime_error(
            "parameters: " + file.string() +
            " was not saved from this model, or is cut: text, cell and sizes must be the same");
    }
    const char* from = data.data();
    for (const NamedTensor& tensor : tensors) {
        std::memcpy(tensor.values.data(), from, tensor.values.size_bytes());
        from += tensor.values.size_bytes();
    }
}

}  // namespace examples
