// expected: can't be saved: neither a number
#include <nn/nn.hpp>

struct Run {
    xtape::Parameter<float> weight{xtape::Shape{2, 3}};
    std::size_t step = 0;
    const char* note = "";

    template <class F>
    void visit(F&& f) {
        f("weight", weight);
        f("step", step);
#ifdef MISUSE
        f("note", note);
#endif
    }
};

void keep(const Run& run) { xtape::nn::save(run, "run.safetensors"); }
