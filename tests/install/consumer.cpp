// sum(tanh(x Wᵀ)) and its gradient, by xtape and by hand: statements compiled here, products in the library.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

#include <autograd/autograd.hpp>
#include <nn/nn.hpp>

template <class T>
bool gradient_is_right() {
    constexpr std::size_t B = 5, D = 3, H = 37;  // H: whole vectors and a rest, whatever their width
    xt::xarray<T> x = xt::zeros<T>(std::array{B, D});
    xt::xarray<T> W = xt::zeros<T>(std::array{H, D});
    for (std::size_t i = 0; i < x.size(); ++i) x.flat(i) = T(std::sin(1.0 + double(i)));
    for (std::size_t i = 0; i < W.size(); ++i) W.flat(i) = T(std::cos(2.0 + double(i)));

    xtape::Parameter<T> weight(W, "weight");
    xtape::Tape<T> tape;
    xtape::Var<T> y = tanh(matmul(tape.constant(x), transpose(tape.watch(weight))));
    backward(sum(y));

    double worst = 0;
    for (std::size_t h = 0; h < H; ++h)
        for (std::size_t d = 0; d < D; ++d) {
            double dW = 0;
            for (std::size_t b = 0; b < B; ++b) {
                double z = 0;
                for (std::size_t k = 0; k < D; ++k) z += double(x(b, k)) * double(W(h, k));
                dW += (1 - std::pow(std::tanh(z), 2)) * double(x(b, d));
            }
            worst = std::max(worst, std::abs(double(weight.grad()(h, d)) - dW));
        }
    std::printf("largest difference of a gradient: %.1e\n", worst);
    return worst < (sizeof(T) == 4 ? 1e-5 : 1e-13);
}

int main() { return gradient_is_right<float>() && gradient_is_right<double>() ? 0 : 1; }
