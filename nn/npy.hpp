#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "autograd/shape.hpp"
#include "autograd/xtensor.hpp"
#include "nn/dtype.hpp"
#include "nn/file.hpp"

// One array in a file of NumPy: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
//
// Read are formats 1.0 to 3.0, row-major and Fortran order, of f2, f4, f8, i1 to i8, u1 to u8 and b1. Refused are big-endian numbers
// (write them with astype("<f4")), all other types, and arrays that Shape doesn't hold.

namespace xtape::nn {

/// A .npy file, opened and checked as a whole.
class NpyFile {
public:
    /// Throws FileError that names the file and the fault. It is found before memory is asked for on the file's word: what
    /// is held until then is the header, of 10 000 bytes at most.
    explicit NpyFile(const std::string& file);

    DType dtype() const { return dtype_; }
    const Shape& shape() const { return shape_; }
    /// Whether the first index runs fastest.
    bool is_fortran_order() const { return is_fortran_order_; }

    /// Reads all numbers, in the order of the file, converted as dtype.hpp says. Throws FileError for floats read as integers,
    /// and for an integer that the type doesn't have; what `numbers` holds is then unspecified.
    void read(DType as, void* numbers) const;

private:
    InputFile file_;
    DType dtype_{};
    Shape shape_;
    bool is_fortran_order_ = false;
    std::uint64_t data_begin_ = 0;
};

/// The array of a file, row-major whatever its order there. Throws FileError as NpyFile and its `read` do.
template <FileNumber T>
xt::xarray<T> load_npy(const std::string& file) {
    const NpyFile npy(file);
    std::vector<std::size_t> shape(npy.shape().begin(), npy.shape().end());
    if (npy.is_fortran_order()) std::reverse(shape.begin(), shape.end());
    xt::xarray<T> numbers(shape);
    npy.read(dtype_of<T>, numbers.data());
    if (npy.is_fortran_order()) numbers = xt::xarray<T>(xt::transpose(numbers));
    return numbers;
}

/// Writes dense, row-major numbers as numpy.save does (format 1.0), in the way of write_file. Throws std::invalid_argument for
/// BF16, which NumPy doesn't have.
void save_npy(const std::string& file, DType dtype, const Shape& shape, const void* numbers);

/// Writes what any xtensor expression says.
template <XtensorExpression E>
void save_npy(const std::string& file, const E& expression) {
    using T = typename E::value_type;
    const xt::xarray<T> dense = expression;
    save_npy(file, dtype_of<T>, Shape(dense.shape()), dense.data());
}

}  // namespace xtape::nn
