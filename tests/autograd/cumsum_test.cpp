#include "autograd/cumsum.hpp"

#include "autograd/autograd.hpp"
#include "tests/autograd/tensors.hpp"
#include "tests/catch.hpp"

using namespace xtape;
using tensors::difference;
using tensors::Numbers;
using tensors::random;

TEST_CASE("cumsum: running sums along any axis, and their gradient", "[cumsum]") {
    const auto x = random({3, 4, 5}, 1), dy = random({3, 4, 5}, 2);
    for (std::ptrdiff_t axis : {0, 1, 2, -2}) {
        Tape<double> tape;
        const auto v = tape.variable(x);
        const Var<double> y = cumsum(v, axis);
        const std::ptrdiff_t at = axis < 0 ? axis + 3 : axis;
        CHECK(difference(y.value(), Numbers(xt::cumsum(x, at))) < 1e-15);
        backward(y, tape.constant(dy));
        const auto place = static_cast<std::size_t>(at);
        const Numbers from_end = xt::flip(Numbers(xt::cumsum(Numbers(xt::flip(dy, place)), at)), place);
        CHECK(difference(v.grad(), from_end) < 1e-15);
    }
}

TEST_CASE("cumsum: of a strided view, of one element and of nothing", "[cumsum]") {
    const auto x = random({4, 6}, 1);
    Tape<double> tape;
    const auto v = tape.variable(x);
    CHECK(difference(cumsum(slice(transpose(v), 0, 1, 6, 2), 0).value(),
                     Numbers(xt::cumsum(Numbers(xt::view(Numbers(xt::transpose(x)), xt::range(1, 6, 2))),
                                        0))) < 1e-15);
    CHECK(cumsum(slice(v, 0, 0, 1), 0).value()(0, 3) == x(0, 3));
    CHECK(cumsum(slice(v, 0, 0, 0), 0).shape() == Shape{0, 6});
    CHECK_THROWS_AS(cumsum(v, 2), IndexError);
}
