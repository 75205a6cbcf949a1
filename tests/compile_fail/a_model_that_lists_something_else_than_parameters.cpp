// expected: neither a Parameter nor a module
#include <nn/nn.hpp>

struct Model {
    xtape::Parameter<float> weight{xtape::Shape{2, 3}};
    int layers = 1;

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
#ifdef MISUSE
        f("layers", layers);
#endif
    }
};

std::size_t count(const Model& model) { return xtape::nn::parameter_count(model); }
