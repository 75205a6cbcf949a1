// Formula 8: the GRU in both forms, with hand-derived gradients for every weight, bias, x and h.

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;
using xtape::nn::Reset;

namespace {

constexpr std::size_t B = 3, D = 4, H = 5;

struct Step {
    explicit Step(Reset form) : cell(D, H, engine, form) {
        cell.bias.value() = random(engine, std::array{3 * H}, 0.3);
        cell.bias_n.value() = random(engine, std::array{H}, 0.3);
    }

    std::mt19937_64 engine{8};
    xtape::nn::GRUCell<double> cell;
    Matrix x = random(engine, std::array{B, D}), h = random(engine, std::array{B, H}),
           dh_next = random(engine, std::array{B, H});

    Matrix W(std::size_t gate) const { return rows(matrix(cell.weight_x), gate * H, (gate + 1) * H); }
    Matrix U(std::size_t gate) const { return rows(matrix(cell.weight_h), gate * H, (gate + 1) * H); }
    Vector b(std::size_t gate) const {
        return xt::view(vector(cell.bias), xt::range(gate * H, (gate + 1) * H));
    }

    Matrix from_x(std::size_t gate) const { return product(x, transposed(W(gate))) + b(gate); }
    Matrix from_h(std::size_t gate) const { return product(h, transposed(U(gate))); }
};
constexpr std::size_t R = 0, Z = 1, N = 2;

Matrix stacked(const Matrix& r, const Matrix& z, const Matrix& n) {
    return xt::concatenate(xt::xtuple(r, z, n), 0);
}

/// The tape's side: h' and all gradients.
struct Result {
    Matrix h_next, dx, dh;
};
Result run(Step& s) {
    Tape<double> tape;
    const Var<double> x = tape.variable(s.x), h = tape.variable(s.h);
    const Var<double> next = s.cell(x, h);
    backward(next, tape.constant(s.dh_next));
    return {next.value(), x.grad(), h.grad()};
}

void check_input_side(Step& s, const Matrix& zr, const Matrix& zz, const Matrix& zn, const Matrix& dx) {
    const Matrix all = xt::concatenate(xt::xtuple(zr, zz, zn), 1);
    CHECK(distance(s.cell.weight_x.grad(), product(transposed(all), s.x)) < tolerance);
    CHECK(distance(s.cell.bias.grad(), column_sums(all)) < tolerance);
    const Matrix expected = product(zr, s.W(R)) + product(zz, s.W(Z)) + product(zn, s.W(N));
    CHECK(distance(dx, expected) < tolerance);
}

}  // namespace

TEST_CASE("formula 8: a GRU that resets before the product, its value and every gradient") {
    Step s(Reset::before_product);
    const auto [h_next, dx, dh] = run(s);

    const Matrix r = sigma(s.from_x(R) + s.from_h(R));
    const Matrix z = sigma(s.from_x(Z) + s.from_h(Z));
    const Matrix rh = r * s.h;
    const Matrix n = xt::tanh(s.from_x(N) + product(rh, transposed(s.U(N))));
    CHECK(distance(h_next, Matrix((1 - z) * n + z * s.h)) < tolerance);

    const Matrix dz = s.dh_next * (s.h - n), dn = s.dh_next * (1 - z);
    const Matrix zn = dn * (1 - n * n);      // of the pre-activations
    const Matrix drh = product(zn, s.U(N));  // of r ⊙ h
    const Matrix zr = drh * s.h * r * (1 - r);
    const Matrix zz = dz * z * (1 - z);
    check_input_side(s, zr, zz, zn, dx);
    CHECK(distance(s.cell.weight_h.grad(), stacked(product(transposed(zr), s.h), product(transposed(zz), s.h),
                                                   product(transposed(zn), rh))) < tolerance);
    CHECK_FALSE(s.cell.bias_n.has_grad());
    const Matrix expected = s.dh_next * z + drh * r + product(zr, s.U(R)) + product(zz, s.U(Z));
    CHECK(distance(dh, expected) < tolerance);
}

TEST_CASE("formula 8: a GRU that resets after the product, its value and every gradient") {
    Step s(Reset::after_product);
    const auto [h_next, dx, dh] = run(s);

    const Matrix r = sigma(s.from_x(R) + s.from_h(R));
    const Matrix z = sigma(s.from_x(Z) + s.from_h(Z));
    const Matrix u = s.from_h(N) + vector(s.cell.bias_n);  // U_n h + c_n
    const Matrix n = xt::tanh(s.from_x(N) + r * u);
    CHECK(distance(h_next, Matrix((1 - z) * n + z * s.h)) < tolerance);

    const Matrix dz = s.dh_next * (s.h - n), dn = s.dh_next * (1 - z);
    const Matrix zn = dn * (1 - n * n);  // of the pre-activations
    const Matrix du = zn * r;
    const Matrix zr = zn * u * r * (1 - r);
    const Matrix zz = dz * z * (1 - z);
    check_input_side(s, zr, zz, zn, dx);
    CHECK(distance(s.cell.weight_h.grad(), stacked(product(transposed(zr), s.h), product(transposed(zz), s.h),
                                                   product(transposed(du), s.h))) < tolerance);
    CHECK(distance(s.cell.bias_n.grad(), column_sums(du)) < tolerance);
    const Matrix expected = s.dh_next * z + product(zr, s.U(R)) + product(zz, s.U(Z)) + product(du, s.U(N));
    CHECK(distance(dh, expected) < tolerance);
}

TEST_CASE("formula 8: the two forms of the GRU agree where no reset happens, and differ otherwise") {
    Step before(Reset::before_product), after(Reset::after_product);
    after.cell.bias_n.value() = xt::zeros<double>(std::array{H});
    CHECK(distance(run(before).h_next, run(after).h_next) > 1e-3);
    for (Step* s : {&before, &after})
        for (std::size_t row = 0; row < H; ++row) s->cell.bias.value()(row) = 1e3;  // r = 1
    CHECK(distance(run(before).h_next, run(after).h_next) < tolerance);
}
