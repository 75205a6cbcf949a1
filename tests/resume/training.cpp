// resume_training FILE STEPS: trains a small LSTM with all that has a state, and saves the run after each step. It goes on
// from what FILE has. It makes a step for each character that it reads, and writes "<" before a save and ">" after it.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>

#include "nn/nn.hpp"

using namespace xtape;

namespace {

struct Model {
    using value_type = float;
    nn::LSTMCell<float> cell;
    nn::Linear<float> head;

    template <class F>
    void visit(F&& f) {
        f("cell", cell);
        f("head", head);
    }
};

struct Run {
    nn::Engine engine{1};
    Model model{{3, 8, engine}, {8, 2, engine}};
    nn::Adam<float> adam{model.cell, {.learning_rate = 0.01, .amsgrad = true}};
    nn::ReduceLROnPlateau schedule{{.learning_rate = 0.01, .factor = 0.9, .patience = 1}};
    nn::CarriedState<nn::LSTMCell<float>::State> carried;
    std::size_t step = 0;

    Run() { adam.add_group(model.head, {.learning_rate = 0.1}); }

    template <class F>
    void visit(F&& f) {
        f("engine", engine);
        f("model", model);
        f("adam", adam);
        f("schedule", schedule);
        f("carried", carried);
        f("step", step);
    }

    void train(Tape<float>& tape) {
        if (step % 16 == 0) carried.forget();
        xt::xtensor<float, 3> xs = xt::zeros<float>({4, 2, 3});
        std::normal_distribution<float> draw;
        for (float& x : xs) x = draw(engine);
        tape.clear();
        nn::zero_grad(model);
        const nn::Dropout dropout(0.2, engine);
        const auto [outputs, last] = nn::unroll(model.cell, tape.constant(xs), carried);
        const Var<float> loss = mean(square(model.head(dropout(outputs)) - 0.5f));
        backward(loss);
        nn::clip_grad_norm(model, 1);
        adam.step();
        adam.set_learning_rate(schedule(loss.item()));
        ++step;
    }
};

void say(char what) {
    if (::write(STDOUT_FILENO, &what, 1) != 1) throw std::runtime_error("nobody listens");
}

bool may_go_on() {
    char any = 0;
    return ::read(STDIN_FILENO, &any, 1) == 1;
}

}  // namespace

int main(int, char** arguments) try {
    const std::string file = arguments[1];
    const std::size_t steps = std::stoul(arguments[2]);
    Run run;
    Tape<float> tape;
    if (std::filesystem::exists(file)) nn::load(run, file);
    while (run.step < steps && may_go_on()) {
        run.train(tape);
        say('<');
        nn::save(run, file);
        say('>');
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
