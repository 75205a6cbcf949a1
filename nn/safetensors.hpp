#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/shape.hpp"
#include "autograd/xtensor.hpp"
#include "nn/dtype.hpp"
#include "nn/file.hpp"

// Tensors in a file that Python reads too: https://github.com/huggingface/safetensors#format
//
//     8 bytes     the header's length, little-endian
//     header      JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {...}}
//     data        the numbers of all tensors, row-major, little-endian; every byte belongs to one tensor
//
// Of the types that the format knows, those of DType are read. A file with any other (F8_E4M3, F8_E5M2, C64, ...) is refused,
// and so is a tensor with more than max_rank axes or an extent over 2^32 - 1, which Shape doesn't hold.

namespace xtape::nn {

/// A tensor as the header describes it. Its numbers are bytes [begin, end) of the data.
struct TensorEntry {
    std::string name;
    DType dtype;
    Shape shape;
    std::uint64_t begin, end;
};

/// A safetensors file, opened and checked as a whole: what the header says is what the file has. Numbers are read
/// when they are asked for, those of one tensor at a time.
///
/// The file may be replaced meanwhile, as save_safetensors does it: this one remains. If it is overwritten in place, numbers
/// of both may be read, but never beyond its end.
class SafetensorsFile {
public:
    /// Throws FileError that names the file and the fault. It is found before memory is asked for on the file's word: what
    /// is held until then is the header, of 100 MB at most and no longer than the file.
    explicit SafetensorsFile(const std::string& file);

    /// The file's.
    const std::string& name() const { return file_.name(); }
    /// In the order of their data.
    const std::vector<TensorEntry>& tensors() const { return tensors_; }
    /// nullptr if there is none of that name.
    const TensorEntry* find(std::string_view tensor) const;
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

    /// Reads all numbers of one of tensors(), converted as dtype.hpp says, to `numbers`. Throws FileError for floats read as
    /// integers, and for an integer that T doesn't have; what `numbers` holds is then unspecified.
    void read(const TensorEntry& tensor, DType as, void* numbers) const;
    template <FileNumber T>
    void read(const TensorEntry& tensor, T* numbers) const {
        read(tensor, dtype_of<T>, numbers);
    }
    /// Throws FileError also if there is no such tensor.
    template <FileNumber T>
    xt::xarray<T> read(std::string_view tensor) const {
        const TensorEntry& entry = get(tensor);
        xt::xarray<T> numbers(std::vector<std::size_t>(entry.shape.begin(), entry.shape.end()));
        read(entry, numbers.data());
        return numbers;
    }

    /// As find, but throws FileError if there is none.
    const TensorEntry& get(std::string_view tensor) const;

private:
    InputFile file_;
    std::uint64_t data_begin_ = 0;
    std::vector<TensorEntry> tensors_;
    std::vector<std::size_t> by_name_;  // positions in tensors_
    std::map<std::string, std::string> metadata_;
};

/// A tensor to be written: the numbers are dense, row-major, and stay where they are until then.
struct TensorSource {
    std::string name;
    DType dtype;  ///< of the numbers in memory
    Shape shape;
    const void* numbers;
    std::optional<DType> saved_as =
        {};  ///< the type in the file, if another one; converted as dtype.hpp says
};

/// Of a dense, row-major tensor: an xtensor container, an Array or a Parameter. Refers to it.
template <class E>
TensorSource tensor_source(std::string name, const E& tensor, std::optional<DType> saved_as = {}) {
    using T = std::remove_cvref_t<decltype(*tensor.data())>;
    if constexpr (XtensorExpression<E>) {
        static_assert(E::static_layout == xt::layout_type::row_major, "expected a dense row-major xtensor");
    }
    return {std::move(name), dtype_of<T>, Shape(tensor.shape()), tensor.data(), saved_as};
}
template <class E>
TensorSource tensor_source(std::string name, const E&& tensor, std::optional<DType> saved_as = {}) = delete;

/// Writes a file as write_file does. Tensors of wider numbers come first, and the header is padded, so that the numbers of each
/// are aligned; the header names them in alphabetical order. The same tensors make the same bytes.
///
/// Throws std::invalid_argument, before anything is written, for a name that is given twice, is "__metadata__" or isn't UTF-8, for
/// metadata that isn't UTF-8, for a header over 100 MB and for floats to be saved as integers; FileError if writing fails,
/// or an integer isn't in the type it is to be saved as. The file is then as it was.
void save_safetensors(const std::string& file, const std::vector<TensorSource>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace xtape::nn
