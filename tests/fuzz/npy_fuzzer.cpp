// A file is refused by a FileError that names it, or it says the truth: its numbers are read, in every type.
#include "nn/npy.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/fuzz/memory_file.hpp"
#include "tests/fuzz/mutate_header.hpp"

using namespace xtape::nn;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

template <class T>
void load(const std::string& path, const NpyFile& file) {
    try {
        const xt::xarray<T> array = load_npy<T>(path);
        check(xtape::Shape(array.shape()) == file.shape());
        check(array.size() == xtape::element_count(file.shape()));
    } catch (const FileError&) {
        check(!is_floating(dtype_of<T>) || !is_floating(file.dtype()));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const MemoryFile input(bytes, count);
    try {
        const NpyFile file(input.path());
        check(xtape::element_count(file.shape()) * size_of(file.dtype()) <= count);
        load<double>(input.path(), file);
        load<float>(input.path(), file);
        load<std::int32_t>(input.path(), file);
        load<std::uint8_t>(input.path(), file);
        load<bool>(input.path(), file);
    } catch (const FileError& error) {
        check(std::string(error.what()).starts_with("[npy] " + input.path() + ": "));
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t count, std::size_t most,
                                               unsigned seed) {
    const bool is_short = count > 6 && bytes[6] == 1;
    return mutate_header(bytes, count, most, seed, 8, is_short ? 2 : 4);
}
