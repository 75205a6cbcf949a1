#include "benchmarks/ops/contender.hpp"

#ifdef XTAPE_BENCH_EIGEN
#include <Eigen/Core>

#include "benchmarks/ops/by_arrays.hpp"
#endif

namespace bench::ops {

#ifdef XTAPE_BENCH_EIGEN
namespace {

using Index = Eigen::Index;

template <class T>
struct EigenArrays {
    using Array = Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Row = Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor>;
    using Column = Eigen::Array<T, Eigen::Dynamic, 1>;
    static constexpr const char* name = "Eigen";
    static std::string version() {
        return "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
               "." + std::to_string(EIGEN_MINOR_VERSION);
    }

    static Index index(std::size_t size) { return static_cast<Index>(size); }
    static Array array(std::size_t rows, std::size_t cols) { return Array(index(rows), index(cols)); }
    static Row row(std::size_t cols) { return Row(index(cols)); }
    static Column column(std::size_t rows) { return Column(index(rows)); }
    template <class A>
    static void fill(A& array, const Buffer<T>& values) {
        std::copy(values.begin(), values.end(), array.data());
    }
    template <class A>
    static Buffer<T> buffer(const A& array) {
        return Buffer<T>(array.data(), array.data() + array.size());
    }
    static T at(const Array& x, std::size_t i, std::int64_t j) { return x(index(i), j); }
    static T& at(Array& x, std::size_t i, std::int64_t j) { return x(index(i), j); }

    template <class A, class E>
    static void set(A& to, const E& expression) {
        to = expression;
    }

    // clang-format off
    template <class E> static auto sigmoid(const E& x) { return x.logistic(); }
    template <class E> static auto tanh(const E& x) { return x.tanh(); }
    template <class E> static auto exp(const E& x) { return x.exp(); }
    template <class E> static auto log(const E& x) { return x.log(); }
    template <class E> static auto sqrt(const E& x) { return x.sqrt(); }

    template <class E> static T sum(const E& x) { return x.sum(); }
    template <class E> static auto sum_of_rows(const E& x) { return x.colwise().sum(); }
    template <class E> static auto sum_of_columns(const E& x) { return x.rowwise().sum(); }
    template <class E> static auto max_of_columns(const E& x) { return x.rowwise().maxCoeff(); }
    template <class E> static auto repeated_row(const E& x, std::size_t rows) { return x.replicate(index(rows), 1); }
    template <class E> static auto repeated_column(const E& x, std::size_t cols) { return x.replicate(1, index(cols)); }
    template <class E> static auto plus_row(const E& x, const Row& row) { return x.rowwise() + row; }
    template <class E> static auto less_column(const E& x, const Column& column) { return x.colwise() - column; }
    template <class E> static auto over_column(const E& x, const Column& column) { return x.colwise() / column; }
    // clang-format on
};

}  // namespace

template <class T>
const Peer<T>* eigen_peer() {
    static const ArrayPeer<T, EigenArrays<T>> peer;
    return &peer;
}
#else
template <class T>
const Peer<T>* eigen_peer() {
    return nullptr;
}
#endif

template const Peer<float>* eigen_peer();
template const Peer<double>* eigen_peer();

}  // namespace bench::ops
