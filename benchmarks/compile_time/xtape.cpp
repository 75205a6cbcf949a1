// A cell of one's own, with all of xtape.
#include <nn/nn.hpp>

using namespace xtape;

struct Cell {
    struct State {
        Var<float> h, c;
    };
    Parameter<float> w_x, w_h, bias;

    Cell(std::size_t D, std::size_t H, nn::Engine& engine)
        : w_x(Shape{4 * H, D}), w_h(Shape{4 * H, H}), bias(Shape{4 * H}) {
        nn::normal(w_x, 0.1, engine);
        nn::normal(w_h, 0.1, engine);
    }

    auto on(Tape<float>& tape) const {
        const Var<float> wx = transpose(tape.watch(w_x)), wh = transpose(tape.watch(w_h)),
                         b = tape.watch(bias);
        return nn::every_step([=](const Var<float>& x, const State& s) -> State {
            auto [i, f, o, g] = split<4>(matmul(x, wx) + matmul(s.h, wh) + b);
            const Var<float> c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
            return {sigmoid(o) * tanh(c), c};
        });
    }

    template <class F>
    void visit(F&& f) {
        f("w_x", w_x);
        f("w_h", w_h);
        f("bias", bias);
    }
};

int main() {
    nn::Engine engine(1);
    Cell cell(3, 4, engine);
    nn::Adam<float> adam(cell);
    Tape<float> tape;
    const Var<float> zero = nn::zeros(tape, Shape{2, 4});
    const Var<float> x = tape.constant(xt::xarray<float>(xt::ones<float>({5, 2, 3})));
    backward(sum(nn::unroll(cell, x, {zero, zero}).outputs));
    adam.step();
}
