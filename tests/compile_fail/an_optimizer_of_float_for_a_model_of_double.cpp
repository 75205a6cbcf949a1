// expected: a module of float where one of double is wanted, or the reverse
#include <nn/nn.hpp>

void train() {
    xtape::nn::Engine engine(1);
    xtape::nn::LSTMCell<double> model(2, 3, engine);
#ifdef MISUSE
    xtape::nn::Adam<float> optimizer(model);
#else
    xtape::nn::Adam<double> optimizer(model);
#endif
    optimizer.step();
}
