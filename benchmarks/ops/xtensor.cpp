// In this file xtensor vectorises by xsimd (XTENSOR_USE_XSIMD), which changes its types: nothing of xtape's that names
// them is included.

#include "benchmarks/ops/by_arrays.hpp"
#include "benchmarks/ops/contender.hpp"

#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xtensor_config.hpp>

namespace bench::ops {
namespace {

template <class T>
struct XtensorArrays {
    using Array = xt::xtensor<T, 2>;
    using Row = xt::xtensor<T, 1>;
    using Column = xt::xtensor<T, 2>;  // (rows, 1)
    static constexpr const char* name = "xtensor";
    static std::string version() {
        return "xtensor " + std::to_string(XTENSOR_VERSION_MAJOR) + "." +
               std::to_string(XTENSOR_VERSION_MINOR) + "." + std::to_string(XTENSOR_VERSION_PATCH);
    }

    static Array array(std::size_t rows, std::size_t cols) { return Array::from_shape({rows, cols}); }
    static Row row(std::size_t cols) { return Row::from_shape({cols}); }
    static Column column(std::size_t rows) { return array(rows, 1); }
    template <class A>
    static void fill(A& array, const Buffer<T>& values) {
        std::copy(values.begin(), values.end(), array.begin());
    }
    template <class A>
    static Buffer<T> buffer(const A& array) {
        return Buffer<T>(array.begin(), array.end());
    }
    static T at(const Array& x, std::size_t i, std::int64_t j) { return x(i, static_cast<std::size_t>(j)); }
    static T& at(Array& x, std::size_t i, std::int64_t j) { return x(i, static_cast<std::size_t>(j)); }

    template <class A, class E>
    static void set(A& to, E&& expression) {
        xt::noalias(to) = std::forward<E>(expression);
    }

    // An expression that is passed by value into another one lives there.
    // clang-format off
    template <class E> static auto sigmoid(E&& x) { return T(1) / (T(1) + exp(-std::forward<E>(x))); }
    template <class E> static auto tanh(E&& x) { return xt::tanh(std::forward<E>(x)); }
    template <class E> static auto exp(E&& x) { return xt::exp(std::forward<E>(x)); }
    template <class E> static auto log(E&& x) { return xt::log(std::forward<E>(x)); }
    template <class E> static auto sqrt(E&& x) { return xt::sqrt(std::forward<E>(x)); }

    template <class E> static T sum(E&& x) { return xt::sum(std::forward<E>(x), xt::evaluation_strategy::immediate)(); }
    template <class E> static auto sum_of_rows(E&& x) { return xt::sum(std::forward<E>(x), {0}, xt::evaluation_strategy::immediate); }
    template <class E> static auto sum_of_columns(E&& x) { return xt::sum(std::forward<E>(x), {1}, xt::keep_dims | xt::evaluation_strategy::immediate); }
    template <class E> static auto max_of_columns(E&& x) { return xt::amax(std::forward<E>(x), {1}, xt::keep_dims | xt::evaluation_strategy::immediate); }
    template <class E> static auto repeated_row(E&& x, std::size_t rows) { return xt::broadcast(std::forward<E>(x), std::array{rows, x.size()}); }
    template <class E> static auto repeated_column(E&& x, std::size_t cols) { return xt::broadcast(std::forward<E>(x), std::array{x.size(), cols}); }
    template <class E> static auto plus_row(E&& x, const Row& row) { return std::forward<E>(x) + row; }
    template <class E> static auto less_column(E&& x, const Column& column) { return std::forward<E>(x) - column; }
    template <class E> static auto over_column(E&& x, const Column& column) { return std::forward<E>(x) / column; }
    // clang-format on
};

}  // namespace

template <class T>
const Peer<T>* xtensor_peer() {
    static const ArrayPeer<T, XtensorArrays<T>> peer;
    return &peer;
}

template const Peer<float>* xtensor_peer();
template const Peer<double>* xtensor_peer();

}  // namespace bench::ops
