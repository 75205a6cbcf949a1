#include "autograd/array.hpp"

#include <algorithm>
#include <cstdint>

#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("array: takes any xtensor expression, and gives an xtensor over its own aligned memory",
          "[array]") {
    const auto x = random({3, 4}, 1);
    Array<double> a = xt::transpose(x) * 2;
    CHECK(a.shape() == Shape{4, 3});
    CHECK(a.size() == 12);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % buffer_alignment == 0);
    CHECK(difference(a.view(), Numbers(2 * xt::transpose(x))) == 0);
    a.view()(1, 2) = 7;
    CHECK(a.data()[5] == 7);
    a = x;
    CHECK(difference(a.view(), x) == 0);
}

TEST_CASE("array: copies are apart, moves take the memory", "[array]") {
    const auto x = random({3}, 1);
    Array<double> a = x;
    Array<double> b = a;
    b.view()(0) = 9;
    CHECK(difference(a.view(), x) == 0);
    const double* memory = b.data();
    const Array<double> c = std::move(b);
    CHECK(c.data() == memory);
    CHECK(c.view()(0) == 9);
    Array<double> empty;
    Array<double> copy_of_empty = empty;
    copy_of_empty = a;
    CHECK(difference(copy_of_empty.view(), x) == 0);
    a = empty;
    CHECK(a.data() == nullptr);
}

TEST_CASE("array: resizing to no more elements keeps the memory", "[array]") {
    Array<double> a(Shape{4, 5});
    CHECK(difference(a.view(), Numbers(xt::zeros<double>({4, 5}))) == 0);
    const double* memory = a.data();
    a = random({2, 7}, 1);
    CHECK(a.data() == memory);
    a = random({20}, 2);
    CHECK(a.data() == memory);
    CHECK(difference(a.view(), random({20}, 2)) == 0);
}

TEST_CASE("array: a vector's width of zeros lies behind the last element", "[array]") {
    Array<float> array(Shape{100});
    std::fill_n(array.data(), 100, 1.0f);
    for (std::size_t count : {7u, 100u, 0u, 33u}) {
        array.resize(Shape{count});
        for (std::size_t i = 0; i < buffer_alignment / sizeof(float); ++i)
            CHECK(array.data()[count + i] == 0);
    }
}
