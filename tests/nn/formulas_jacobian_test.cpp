// Formula 4: what one step does to a gradient, and what many of them do.

#include <vector>

#include <xtensor-blas/xlinalg.hpp>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/nn/numbers.hpp"

using namespace numbers;
using xtape::Tape;
using xtape::Var;

namespace {

double spectral_norm(const Matrix& a) { return xt::amax(std::get<1>(xt::linalg::svd(a)))(); }

double spectral_radius(const Matrix& a) {
    const xt::xtensor<std::complex<double>, 1> values = xt::linalg::eigvals(a);
    return xt::amax(xt::abs(values))();
}

xtape::Parameter<double> rotation(std::size_t H, double scale, std::mt19937_64& engine) {
    xtape::Parameter<double> w(xtape::Shape{H, H});
    xtape::nn::orthogonal(w, engine, scale);
    return w;
}

/// ‖∂L/∂h_t‖ for t = 0...T, for L = Σ seed ⊙ h_T of a recurrence h_{t+1} = step(h_t).
template <class Step>
std::vector<double> gradient_norms(Tape<double>& tape, const Matrix& h0, const Matrix& seed, std::size_t T,
                                   Step step) {
    std::vector<Var<double>> h{tape.variable(h0)};
    for (std::size_t t = 0; t < T; ++t) h.push_back(Var<double>(step(t, h.back())).retain());
    backward(h.back(), tape.constant(seed));
    std::vector<double> norms;
    for (const Var<double>& state : h) norms.push_back(numbers::norm(state.grad()));
    return norms;
}

}  // namespace

TEST_CASE("formula 4: the Jacobian of a step is diag(1 - h²) W_hh, and its norm within the bound") {
    constexpr std::size_t D = 4, H = 6;
    std::mt19937_64 engine(4);
    for (double scale : {0.2, 1.0, 5.0}) {
        xtape::nn::RNNCell<double> cell(D, H, engine);
        cell.w_hh.value() *= scale;
        Tape<double> tape;
        const Var<double> h = tape.variable(random(engine, std::array{std::size_t{1}, H}));
        const Var<double> next = cell(tape.constant(random(engine, std::array{std::size_t{1}, D})), h);
        Matrix jacobian = xt::zeros<double>(std::array{H, H});
        for (std::size_t i = 0; i < H; ++i) {
            Matrix unit = xt::zeros<double>(std::array{std::size_t{1}, H});
            unit(0, i) = 1;
            const auto dh = grad(next, {h}, {.seed = tape.constant(unit)});
            for (std::size_t j = 0; j < H; ++j) jacobian(i, j) = dh[0].value()(0, j);
        }

        const Matrix W = matrix(cell.w_hh);
        const Matrix slope = 1 - transposed(matrix(next)) * transposed(matrix(next));  // a column
        CHECK(distance(jacobian, Matrix(slope * W)) < tolerance);
        const double bound = xt::amax(slope)() * spectral_norm(W);
        CHECK(spectral_norm(jacobian) <= bound * (1 + 1e-12));
        CHECK(bound <= spectral_norm(W));
    }
}

TEST_CASE("formula 4: through a linear recurrence by λQ a gradient grows as λ^T, exactly") {
    constexpr std::size_t T = 40, B = 2, H = 5;
    std::mt19937_64 engine(4);
    for (double lambda : {0.8, 1.0, 1.25}) {
        const auto w = rotation(H, lambda, engine);
        Tape<double> tape;
        const Var<double> wt = transpose(tape.watch(w));
        const auto norms =
            gradient_norms(tape, random(engine, std::array{B, H}), random(engine, std::array{B, H}), T,
                           [&](std::size_t, const Var<double>& h) { return matmul(h, wt); });
        for (std::size_t t = 0; t < T; ++t)
            CHECK(norms[t] == Approx(std::pow(lambda, double(T - t)) * norms[T]).epsilon(1e-10));
    }
}

TEST_CASE("formula 4: under tanh the gradient through λQ decays, and never faster than its slopes allow") {
    constexpr std::size_t T = 40, B = 2, H = 5;
    std::mt19937_64 engine(4);
    const auto w = rotation(H, 1.0, engine);
    Tape<double> tape;
    const Var<double> wt = transpose(tape.watch(w));
    const auto norms =
        gradient_norms(tape, random(engine, std::array{B, H}), random(engine, std::array{B, H}), T,
                       [&](std::size_t, const Var<double>& h) { return tanh(matmul(h, wt)); });
    for (std::size_t t = 0; t < T; ++t) CHECK(norms[t] < norms[t + 1]);
    CHECK(norms[0] < 0.5 * norms[T]);
}

TEST_CASE("formula 4: saturation makes a gradient vanish although the weight alone would let it explode") {
    constexpr std::size_t T = 20, B = 2, H = 5;
    std::mt19937_64 engine(4);
    const auto w = rotation(H, 2.0, engine);
    const Matrix h0 = random(engine, std::array{B, H}), seed = random(engine, std::array{B, H});
    for (double bias : {0.0, 10.0}) {
        Tape<double> tape;
        const Var<double> wt = transpose(tape.watch(w));
        const auto linear = gradient_norms(
            tape, h0, seed, T, [&](std::size_t, const Var<double>& h) { return matmul(h, wt) + bias; });
        CHECK(linear[0] == Approx(std::pow(2.0, double(T)) * linear[T]).epsilon(1e-10));
        const auto squashed = gradient_norms(
            tape, h0, seed, T, [&](std::size_t, const Var<double>& h) { return tanh(matmul(h, wt) + bias); });
        if (bias > 0) CHECK(squashed[0] < 1e-30 * squashed[T]);
    }
}

TEST_CASE(
    "formula 4: the same matrix T times and T different ones of equal spectral radius let a gradient grow "
    "alike") {
    // What the numbers say: per step, for radius 0.8, 1 and 1.2, the tied matrix multiplies a gradient by 0.78, 1.00 and
    // 1.18, the fresh ones by 0.75, 0.96 and 1.13. Whether it vanishes or explodes is decided by the radius, not by being
    // tied. The remaining 4 % are the distance, at H = 64, from a random matrix's radius, which repetition finds, to the
    // root of its mean squared gain, which independent factors grow by; it shrinks with H.
    constexpr std::size_t T = 50, B = 3, H = 64;
    std::mt19937_64 engine(11);
    const auto scaled = [&](double radius) {
        const Matrix a = random(engine, std::array{H, H});
        return Matrix(a * (radius / spectral_radius(a)));
    };
    const Matrix h0 = random(engine, std::array{B, H}), seed = random(engine, std::array{B, H});
    for (double radius : {0.8, 1.0, 1.2}) {
        Tape<double> tape;
        const Var<double> tied = tape.constant(scaled(radius));
        std::vector<Var<double>> fresh;
        for (std::size_t t = 0; t < T; ++t) fresh.push_back(tape.constant(scaled(radius)));

        const auto growth = [&](auto matrix_of_step) {
            const auto norms = gradient_norms(tape, h0, seed, T, [&](std::size_t t, const Var<double>& h) {
                return matmul(h, transpose(matrix_of_step(t)));
            });
            return std::pow(norms[0] / norms[T], 1 / double(T));
        };
        const double of_tied = growth([&](std::size_t) { return tied; });
        const double of_fresh = growth([&](std::size_t t) { return fresh[t]; });
        CAPTURE(radius, of_tied, of_fresh);
        CHECK(of_tied == Approx(radius).epsilon(0.06));
        CHECK(of_fresh == Approx(radius).epsilon(0.10));
        CHECK(of_tied == Approx(of_fresh).epsilon(0.12));
    }
}
