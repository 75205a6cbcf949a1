#include "nn/state_file.hpp"

#include <cstring>
#include <locale>
#include <sstream>

#include "nn/mismatch.hpp"

namespace xtape::nn::detail {
namespace {

constexpr const char* format = "xtape";
constexpr const char* version = "1";

/// An engine as the standard library writes it: numbers with spaces between them.
std::vector<std::uint64_t> numbers_of(const Engine& engine) {
    std::stringstream text;
    text.imbue(std::locale::classic());
    text << engine;
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t number = 0; text >> number;) numbers.push_back(number);
    return numbers;
}

/// The reverse. False for numbers that no engine writes.
bool set_engine(Engine& engine, const std::vector<std::uint64_t>& numbers) {
    // Behind its words stands where among them it is: the standard library would believe any number.
    if (numbers.size() > Engine::state_size && numbers.back() > Engine::state_size) return false;
    std::stringstream text;
    text.imbue(std::locale::classic());
    for (const std::uint64_t number : numbers) text << number << ' ';
    text >> engine;
    return !text.fail();
}

std::string joined(const std::vector<std::string>& items, const char* by) {
    std::string text;
    for (const std::string& item : items) text += (text.empty() ? "" : by) + item;
    return text;
}

}  // namespace

void StateSaver::tensor(std::string name, DType dtype, const Shape& shape, void* numbers) {
    tensors_.push_back({std::move(name), dtype, shape, numbers});
}

void StateSaver::engine(std::string name, Engine& engine) {
    std::vector<std::uint64_t>& numbers = numbers_.emplace_back(numbers_of(engine));
    list(std::move(name), numbers);
}

void StateSaver::unchanged(std::string name, const Unchanged& part) {
    tensor(std::move(name), DType::U64, Shape{}, numbers_.emplace_back(1, part.number).data());
}

void StateSaver::write(const std::string& file) const {
    save_safetensors(file, tensors_, {{"format", format}, {"version", version}});
}

StateLoader::StateLoader(const std::string& file) : file_(file), is_known_(file_.tensors().size()) {
    const auto& metadata = file_.metadata();
    const auto has = [&](const char* key, const char* value) {
        const auto found = metadata.find(key);
        return found != metadata.end() && found->second == value;
    };
    if (!has("format", format))
        throw FileError("load", file, "not a run of xtape: expected \"format\": \"xtape\" in its metadata");
    if (!has("version", version))
        throw FileError("load", file,
                        "a run of another version: expected \"version\": \"1\" in its metadata");
}

bool StateLoader::has_type(const TensorEntry& entry, DType dtype) {
    is_known_[static_cast<std::size_t>(&entry - file_.tensors().data())] = true;
    if (entry.dtype == dtype) return true;
    faults_.push_back("type of " + entry.name + " " + std::string(name_of(entry.dtype)) + ", expected " +
                      std::string(name_of(dtype)));
    return false;
}

const TensorEntry* StateLoader::find(const std::string& name, DType dtype) {
    const TensorEntry* const entry = file_.find(name);
    if (entry == nullptr) missing_.push_back(name);
    return entry != nullptr && has_type(*entry, dtype) ? entry : nullptr;
}

void StateLoader::tensor(const std::string& name, DType dtype, const Shape& shape, void* numbers) {
    const TensorEntry* const entry = find(name, dtype);
    if (entry == nullptr) return;
    if (!(entry->shape == shape)) {
        faults_.push_back("shape of " + name + " " + to_string(entry->shape) + ", expected " +
                          to_string(shape));
        return;
    }
    const std::size_t bytes = element_count(shape) * size_of(dtype);
    if (bytes == 0) return;
    const auto read = std::make_shared<std::vector<std::byte>>(bytes);
    file_.read(*entry, dtype, read->data());
    assign_.push_back([read, numbers] { std::memcpy(numbers, read->data(), read->size()); });
}

const TensorEntry* StateLoader::find_list(const std::string& name, DType dtype) {
    const TensorEntry* const entry = find(name, dtype);
    if (entry == nullptr || entry->shape.size() == 1) return entry;
    faults_.push_back("shape of " + name + " " + to_string(entry->shape) + ", expected a list");
    return nullptr;
}

std::vector<const TensorEntry*> StateLoader::find_arrays(
    const std::string& name, DType dtype,
    const std::function<std::string(const std::vector<Shape>&)>& expected) {
    std::vector<const TensorEntry*> entries;
    std::vector<Shape> shapes;
    bool fits = true;
    while (const TensorEntry* entry = file_.find(name + "." + std::to_string(entries.size()))) {
        fits = has_type(*entry, dtype) && fits;
        entries.push_back(entry);
        shapes.push_back(entry->shape);
    }
    const std::string other = expected(shapes);
    if (fits && other.empty()) return entries;
    if (!other.empty()) {
        std::vector<std::string> found;
        for (const Shape& shape : shapes) found.push_back(to_string(shape));
        faults_.push_back("shapes of " + name + " " + (found.empty() ? "none" : joined(found, " ")) +
                          ", expected " + other);
    }
    return {};
}

void StateLoader::engine(const std::string& name, Engine& engine) {
    const TensorEntry* const entry = find_list(name, DType::U64);
    if (entry == nullptr) return;
    std::vector<std::uint64_t> numbers = numbers_of(engine);
    Engine read;
    if (entry->shape[0] == numbers.size()) {
        file_.read(*entry, numbers.data());
        if (set_engine(read, numbers)) {
            assign_.push_back([read, &engine] { engine = read; });
            return;
        }
    }
    faults_.push_back(name + " isn't the state of an engine");
}

void StateLoader::unchanged(const std::string& name, const Unchanged& part) {
    const TensorEntry* const entry = find(name, DType::U64);
    if (entry == nullptr) return;
    std::uint64_t number = 0;
    const bool is_number = entry->shape.size() == 0;
    if (is_number) file_.read(*entry, &number);
    if (is_number && number == part.number) return;
    faults_.push_back(name + " " + (is_number ? std::to_string(number) : to_string(entry->shape)) +
                      ", expected " + std::to_string(part.number));
}

void StateLoader::finish() {
    Mismatch mismatch;
    mismatch.missing = missing_;
    for (std::size_t k = 0; k < is_known_.size(); ++k) {
        if (!is_known_[k]) mismatch.unknown.push_back(printable(file_.tensors()[k].name));
    }
    std::string faults = mismatch.text();
    if (!faults_.empty()) faults += (faults.empty() ? "" : "; ") + joined(faults_, "; ");
    if (!faults.empty()) throw FileError("load", file_.name(), faults);
    for (const auto& assign : assign_) assign();
}

}  // namespace xtape::nn::detail
