#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"
#include "benchmarks/agreement.hpp"
#include "benchmarks/pack_loop.hpp"
#include "benchmarks/tables.hpp"
#include "benchmarks/targets.hpp"
#include "benchmarks/turns.hpp"
#include "nn/nn.hpp"

// A chain of statements on eight numbers, h ← h + w tanh(h + v), forward and backward: nearly all of what it takes is not
// arithmetic. w is small, so that gradients neither grow nor fade to numbers that a processor is slow with.

namespace bench {
namespace {

using xtape::Parameter;
using xtape::Shape;
using xtape::Tape;
using xtape::Var;

constexpr std::size_t width = 8;

template <class T>
struct Chain {
    std::size_t steps;
    Buffer<T> v, w, h_0, dh;  // of 8 each; dh is the gradient of the last h
};

template <class T>
struct ChainResults {
    Buffer<T> h, dv, dw;  // of 8 each, the last h
};

template <class T>
class ChainContender {
public:
    virtual ~ChainContender() = default;
    virtual const char* name() const = 0;
    virtual void run() = 0;
    virtual ChainResults<T> results() = 0;
};

/// Keeps every tanh, as the tape does.
template <class T>
class ChainByHand : public ChainContender<T> {
    using P = xtape::Pack<T>;

public:
    explicit ChainByHand(const Chain<T>& chain)
        : c_(chain), tanh_(chain.steps * width), out_{chain.h_0, Buffer<T>(width), Buffer<T>(width)} {}

    const char* name() const override { return "by hand"; }
    ChainResults<T> results() override { return out_; }

    void run() override {
        out_.h = c_.h_0;
        for (std::size_t t = 0; t < c_.steps; ++t) {
            T* const h = out_.h.data();
            for_each_pack<T>(width, [&](auto load, auto store) {
                const P y = tanh(load(h) + load(c_.v.data()));
                store(tanh_.data() + t * width, y);
                store(h, fma(load(c_.w.data()), y, load(h)));
            });
        }
        dh_ = c_.dh;
        std::fill(out_.dv.begin(), out_.dv.end(), T(0));
        std::fill(out_.dw.begin(), out_.dw.end(), T(0));
        for (std::size_t t = c_.steps; t-- > 0;) {
            for_each_pack<T>(width, [&](auto load, auto store) {
                const P y = load(tanh_.data() + t * width), dy = load(dh_.data());
                const P dz = dy * load(c_.w.data()) * (1 - y * y);
                store(out_.dw.data(), fma(dy, y, load(out_.dw.data())));
                store(out_.dv.data(), load(out_.dv.data()) + dz);
                store(dh_.data(), dy + dz);
            });
        }
    }

private:
    const Chain<T>& c_;
    Buffer<T> tanh_, dh_;
    ChainResults<T> out_;
};

template <class T>
class ChainOnTape : public ChainContender<T> {
public:
    explicit ChainOnTape(const Chain<T>& chain)
        : c_(chain),
          v_(parameter(chain.v)),
          w_(parameter(chain.w)),
          h_0_(parameter(chain.h_0)),
          dh_(parameter(chain.dh)) {}

    void run() override {
        v_.zero_grad();
        w_.zero_grad();
        tape_.clear();
        h_ = last(tape_.watch(v_), tape_.watch(w_), stop_gradient(tape_.watch(h_0_)));
        backward(h_, stop_gradient(tape_.watch(dh_)));
    }

    ChainResults<T> results() override {
        const auto h = h_.value();
        return {Buffer<T>(h.begin(), h.end()), Buffer<T>(v_.grad_data(), v_.grad_data() + width),
                Buffer<T>(w_.grad_data(), w_.grad_data() + width)};
    }

protected:
    virtual Var<T> last(const Var<T>& v, const Var<T>& w, Var<T> h) = 0;

    const Chain<T>& c_;

private:
    static Parameter<T> parameter(const Buffer<T>& values) {
        Parameter<T> result(Shape{width});
        std::copy(values.begin(), values.end(), result.data());
        return result;
    }

    Parameter<T> v_, w_, h_0_, dh_;
    Tape<T> tape_;
    Var<T> h_;
};

/// Each statement is recorded and swept as it comes.
template <class T>
class RecordedChain : public ChainOnTape<T> {
public:
    using ChainOnTape<T>::ChainOnTape;
    const char* name() const override { return "recorded"; }

private:
    Var<T> last(const Var<T>& v, const Var<T>& w, Var<T> h) override {
        for (std::size_t t = 0; t < this->c_.steps; ++t) h = h + w * tanh(h + v);
        return h;
    }
};

/// The promise that all steps are alike.
template <class T>
class RepeatedChain : public ChainOnTape<T> {
public:
    using ChainOnTape<T>::ChainOnTape;
    const char* name() const override { return "every_step"; }

private:
    Var<T> last(const Var<T>& v, const Var<T>& w, Var<T> h) override {
        const auto step = xtape::nn::every_step(
            [=](const Var<T>&, const Var<T>& before) -> Var<T> { return before + w * tanh(before + v); });
        const Var<T> inputs = xtape::nn::zeros(h.tape(), {this->c_.steps, 1});
        return xtape::nn::unroll_states(step, inputs, h).back();
    }
};

template <class T>
bool print_row(std::size_t steps, double seconds) {
    const auto wave = [](double height, double frequency) {
        Buffer<T> result(width);
        for (std::size_t i = 0; i < width; ++i)
            result[i] = static_cast<T>(height * std::sin(frequency * static_cast<double>(i + 1)));
        return result;
    };
    const Chain<T> chain{steps, wave(1, 0.37), wave(1e-3, 0.71), wave(1, 1.3), wave(1, 2.1)};
    ChainByHand<T> by_hand(chain);
    RecordedChain<T> recorded(chain);
    RepeatedChain<T> repeated(chain);
    const std::vector<ChainContender<T>*> all = {&by_hand, &recorded, &repeated};
    bool right = true;
    for (ChainContender<T>* contender : all) {
        all[0]->run();
        contender->run();
        const ChainResults<T> expected = all[0]->results(), actual = contender->results();
        for (const auto& [part, member] : {std::pair("h", &ChainResults<T>::h),
                                           {"dv", &ChainResults<T>::dv},
                                           {"dw", &ChainResults<T>::dw}})
            right &= same_part(all[0]->name(), contender->name(), part, expected.*member, actual.*member,
                               std::is_same_v<T, float> ? 2e-4 : 1e-11);
    }
    if (!right) return false;
    std::vector<Work> work;
    for (ChainContender<T>* contender : all) work.push_back([contender] { contender->run(); });
    const std::vector<double> time = time_in_turns(work, seconds);
    const auto per_step = [&](double t) { return t / static_cast<double>(steps) * 1e9; };
    const double over_recorded = per_step(time[1] - time[0]), over_repeated = per_step(time[2] - time[0]);
    Targets row;
    row.at_most("recorded", over_recorded, 50).at_most("every_step", over_repeated, 50);
    std::printf("%-8s %10zu %12.1f %12.1f %12.1f %12.1f %12.1f  %s\n",
                std::is_same_v<T, float> ? "float" : "double", steps, per_step(time[0]), per_step(time[1]),
                over_recorded, per_step(time[2]), over_repeated, row.verdict().c_str());
    return true;
}

}  // namespace

bool overhead_table(const Settings& settings) {
    std::printf(
        "\nWhat a statement on 8 numbers costs: h = h + w tanh(h + v), forward and backward, ns each, and "
        "how much "
        "of it is\nover the hand-written loop\n%-8s %10s %12s %12s %12s %12s %12s  targets\n",
        "", "statements", "by hand", "recorded", "over", "every_step", "over");
    bool right = true;
    for (const std::size_t steps : {100u, 1000u}) {
        right &= print_row<float>(steps, settings.seconds);
        right &= print_row<double>(steps, settings.seconds);
    }
    return right;
}

}  // namespace bench
