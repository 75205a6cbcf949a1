// What a user's file holds: all of xtape, and a cell of its own (a minimal gated unit).
#include <autograd/autograd.hpp>
#include <nn/nn.hpp>

template <class T>
struct Cell {
    using Var = xtape::Var<T>;

    Cell(std::size_t inputs, std::size_t hidden)
        : W(xtape::Shape{2 * hidden, inputs}, "W"), U(xtape::Shape{2 * hidden, hidden}, "U") {}

    Var operator()(const Var& x, const Var& h) {
        auto& tape = x.tape();
        const auto [zx, nx] = xtape::split<2>(matmul(x, transpose(tape.watch(W))), 1);
        const auto [zh, nh] = xtape::split<2>(matmul(h, transpose(tape.watch(U))), 1);
        const Var z = sigmoid(zx + zh);
        return (1 - z) * tanh(nx + z * nh) + z * h;
    }

    template <class F>
    void visit(F&& f) {
        f("W", W);
        f("U", U);
    }

    xtape::Parameter<T> W, U;
};

template struct Cell<float>;
template struct Cell<double>;
