// The least: dense tensors, arithmetic and linear algebra.
#include <xtensor-blas/xlinalg.hpp>
#include <xtensor/xarray.hpp>

int main() {}
