// A file is refused by a FileError that names it, or it says the truth: the numbers of every tensor are read, in every
// type, and what is read is what is saved again.
#include "nn/safetensors.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/fuzz/memory_file.hpp"
#include "tests/fuzz/mutate_header.hpp"
#include "tests/temporary_directory.hpp"

using namespace xtape::nn;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

/// The numbers, as they are in the file. Bytes that are no bools are left out.
std::vector<std::byte> raw(const SafetensorsFile& file, const TensorEntry& tensor) {
    std::vector<std::byte> numbers(tensor.end - tensor.begin);
    try {
        file.read(tensor, tensor.dtype, numbers.data());
    } catch (const FileError&) {
        check(tensor.dtype == DType::BOOL);
        numbers.clear();
    }
    return numbers;
}

void read_as_anything(const SafetensorsFile& file, const TensorEntry& tensor) {
    for (const DType as :
         {DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16, DType::I8,
          DType::U64, DType::U32, DType::U16, DType::U8, DType::BOOL}) {
        std::vector<std::byte> numbers(xtape::element_count(tensor.shape) * size_of(as));
        try {
            file.read(tensor, as, numbers.data());
        } catch (const FileError&) {
        }
    }
}

void check_saved_again(const SafetensorsFile& file) {
    std::vector<TensorSource> sources;
    std::vector<std::vector<std::byte>> numbers;
    for (const TensorEntry& tensor : file.tensors()) {
        numbers.push_back(raw(file, tensor));
        if (numbers.back().size() != tensor.end - tensor.begin) return;
        sources.push_back({tensor.name, tensor.dtype, tensor.shape, numbers.back().data()});
    }
    static const TemporaryDirectory directory;
    const std::string path = directory / "again";
    save_safetensors(path, sources, file.metadata());
    const SafetensorsFile again(path);
    check(again.metadata() == file.metadata());
    check(again.tensors().size() == sources.size());
    for (std::size_t k = 0; k < sources.size(); ++k) {
        const TensorEntry& tensor = again.get(sources[k].name);
        check(tensor.dtype == sources[k].dtype && tensor.shape == sources[k].shape);
        check(raw(again, tensor) == numbers[k]);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const MemoryFile input(bytes, count);
    try {
        const SafetensorsFile file(input.path());
        std::uint64_t read = 0;
        for (const TensorEntry& tensor : file.tensors()) {
            check(file.find(tensor.name) == &tensor);
            read += tensor.end - tensor.begin;
            read_as_anything(file, tensor);
        }
        check(read <= count);
        check_saved_again(file);
    } catch (const FileError& error) {
        check(std::string(error.what()).starts_with("[safetensors] " + input.path() + ": "));
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t count, std::size_t most,
                                               unsigned seed) {
    return mutate_header(bytes, count, most, seed, 0, 8);
}
