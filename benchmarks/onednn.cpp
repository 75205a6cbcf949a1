#include "benchmarks/contender.hpp"

#ifdef XTAPE_BENCH_ONEDNN
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <type_traits>
#include <unordered_map>

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace bench {

#ifdef XTAPE_BENCH_ONEDNN
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Dims = memory::dims;

/// oneDNN 3 folded the operation descriptors of oneDNN 2 into the primitive's.
template <class Primitive, class... Arguments>
auto describe(const dnnl::engine& engine, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
    return typename Primitive::primitive_desc(engine, arguments...);
#else
    return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), engine);
#endif
}
template <class Primitive, class Forward, class... Arguments>
auto describe_backward(const dnnl::engine& engine, const Forward& forward, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
    return typename Primitive::primitive_desc(engine, arguments..., forward);
#else
    return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), engine, forward);
#endif
}

struct Rnn {
    using Forward = dnnl::vanilla_rnn_forward;
    using Backward = dnnl::vanilla_rnn_backward;
    static constexpr std::array<std::size_t, 1> gate_order = {0};
    static constexpr std::size_t biases = 1;
};
struct Lstm {
    using Forward = dnnl::lstm_forward;
    using Backward = dnnl::lstm_backward;
    static constexpr std::array<std::size_t, 4> gate_order = {0, 1, 3, 2};  // i, f, g, o
    static constexpr std::size_t biases = 4;
};
struct Gru {
    using Forward = dnnl::gru_forward;
    using Backward = dnnl::gru_backward;
    static constexpr std::array<std::size_t, 3> gate_order = {1, 0, 2};  // z, r, n
    static constexpr std::size_t biases = 3;
};
struct GruResetAfter {
    using Forward = dnnl::lbr_gru_forward;
    using Backward = dnnl::lbr_gru_backward;
    static constexpr std::array<std::size_t, 3> gate_order = {1, 0, 2};
    static constexpr std::size_t biases = 4;  // the fourth is c_n
};

/// oneDNN's training primitives. The weights are kept in oneDNN's plain layout (ldigo) and gate order; what the
/// primitives want instead is made from them in every run, since training changes them between runs.
template <class Kind>
class OneDnn : public Contender<float> {
    static constexpr std::size_t gates = Kind::gate_order.size();

public:
    explicit OneDnn(const Problem<float>& problem)
        : p_(problem), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
        const auto t = dim(p_.size.steps), b = dim(p_.size.batch), d = dim(p_.size.inputs),
                   h = dim(p_.size.hidden);
        const auto g = dim(gates);
        memory::desc x({t, b, d}, type, Tag::tnc), y({t, b, h}, type, Tag::tnc), none;
        memory::desc bias({1, 1, dim(Kind::biases), h}, type, Tag::ldgo);
        // Without an initial state oneDNN 2.6 computes a wrong gradient of W_h: it is given one of zeros.
        memory::desc state({1, 1, b, h}, type, Tag::ldnc);
        Dims layer{1, 1, d, g, h}, iter{1, 1, h, g, h};
        memory::desc any_layer(layer, type, Tag::any), any_iter(iter, type, Tag::any);

        constexpr auto training = dnnl::prop_kind::forward_training;
        constexpr auto backward = dnnl::prop_kind::backward;
        constexpr auto direction = dnnl::rnn_direction::unidirectional_left2right;
        constexpr auto activation = dnnl::algorithm::eltwise_tanh;
        auto describe_both = [&] {
            if constexpr (std::is_same_v<Kind, Rnn>) {
                auto f = describe<typename Kind::Forward>(engine_, training, activation, direction, x, state,
                                                          any_layer, any_iter, bias, y, none);
                return std::pair(
                    f, describe_backward<typename Kind::Backward>(
                           engine_, f, backward, activation, direction, x, state, any_layer, any_iter, bias,
                           y, none, x, state, any_layer, any_iter, bias, y, none));
            } else if constexpr (std::is_same_v<Kind, Lstm>) {
                auto f = describe<typename Kind::Forward>(engine_, training, direction, x, state, state,
                                                          any_layer, any_iter, bias, y, none, none);
                return std::pair(
                    f, describe_backward<typename Kind::Backward>(
                           engine_, f, backward, direction, x, state, state, any_layer, any_iter, bias, y,
                           none, none, x, state, state, any_layer, any_iter, bias, y, none, none));
            } else {
                auto f = describe<typename Kind::Forward>(engine_, training, direction, x, state, any_layer,
                                                          any_iter, bias, y, none);
                return std::pair(f, describe_backward<typename Kind::Backward>(
                                        engine_, f, backward, direction, x, state, any_layer, any_iter, bias,
                                        y, none, x, state, any_layer, any_iter, bias, y, none));
            }
        };
        auto [f, g_] = describe_both();
        forward_ = typename Kind::Forward(f);
        backward_ = typename Kind::Backward(g_);

        x_ = memory(x, engine_, const_cast<float*>(p_.x.data()));
        dy_ = memory(y, engine_, const_cast<float*>(p_.dh.data()));
        y_ = memory(y, engine_);
        dx_ = memory(x, engine_);
        for (memory* m : {&h_0_, &c_0_, &dh_0_, &dc_0_}) {
            *m = memory(state, engine_);
            std::fill_n(floats(*m), p_.size.batch * p_.size.hidden, 0.0f);
        }
        bias_ = memory(bias, engine_);
        dbias_ = memory(bias, engine_);
        workspace_ = memory(f.workspace_desc(), engine_);
        layer_ = memory({layer, type, Tag::ldigo}, engine_);
        iter_ = memory({iter, type, Tag::ldigo}, engine_);
        forward_layer_ = like(layer_, f.weights_layer_desc());
        forward_iter_ = like(iter_, f.weights_iter_desc());
        backward_layer_ = like(layer_, g_.weights_layer_desc());
        backward_iter_ = like(iter_, g_.weights_iter_desc());
        dlayer_ = memory(g_.diff_weights_layer_desc(), engine_);
        diter_ = memory(g_.diff_weights_iter_desc(), engine_);

        fill_plain(layer_, p_.w_x, p_.size.inputs);
        fill_plain(iter_, p_.w_h, p_.size.hidden);
        std::fill_n(floats(bias_), Kind::biases * p_.size.hidden, 0.0f);
        for (std::size_t gate = 0; gate < gates; ++gate)
            std::copy_n(p_.bias.data() + Kind::gate_order[gate] * p_.size.hidden, p_.size.hidden,
                        floats(bias_) + gate * p_.size.hidden);
        std::copy(p_.bias_n.begin(), p_.bias_n.end(), floats(bias_) + gates * p_.size.hidden);
    }

    Author author() const override { return Author::onednn; }

    void run() override {
        reorder(layer_, forward_layer_);
        reorder(iter_, forward_iter_);
        std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC_LAYER, x_},
                                                  {DNNL_ARG_SRC_ITER, h_0_},
                                                  {DNNL_ARG_WEIGHTS_LAYER, forward_layer_},
                                                  {DNNL_ARG_WEIGHTS_ITER, forward_iter_},
                                                  {DNNL_ARG_BIAS, bias_},
                                                  {DNNL_ARG_DST_LAYER, y_},
                                                  {DNNL_ARG_WORKSPACE, workspace_}};
        if constexpr (std::is_same_v<Kind, Lstm>) arguments[DNNL_ARG_SRC_ITER_C] = c_0_;
        forward_.execute(stream_, arguments);

        reorder(layer_, backward_layer_);
        reorder(iter_, backward_iter_);
        // The primitive adds to these.
        for (memory* gradient : {&dlayer_, &diter_, &dbias_})
            std::fill_n(floats(*gradient), gradient->get_desc().get_size() / sizeof(float), 0.0f);
        arguments[DNNL_ARG_WEIGHTS_LAYER] = backward_layer_;
        arguments[DNNL_ARG_WEIGHTS_ITER] = backward_iter_;
        arguments[DNNL_ARG_DIFF_DST_LAYER] = dy_;
        arguments[DNNL_ARG_DIFF_SRC_LAYER] = dx_;
        arguments[DNNL_ARG_DIFF_WEIGHTS_LAYER] = dlayer_;
        arguments[DNNL_ARG_DIFF_WEIGHTS_ITER] = diter_;
        arguments[DNNL_ARG_DIFF_BIAS] = dbias_;
        arguments[DNNL_ARG_DIFF_SRC_ITER] = dh_0_;
        if constexpr (std::is_same_v<Kind, Lstm>) arguments[DNNL_ARG_DIFF_SRC_ITER_C] = dc_0_;
        backward_.execute(stream_, arguments);
        stream_.wait();
    }

    Results<float> results() override {
        Results<float> result;
        result.h.assign(floats(y_), floats(y_) + p_.dh.size());
        result.dx.assign(floats(dx_), floats(dx_) + p_.x.size());
        result.dw_x = from_plain(dlayer_, layer_.get_desc(), p_.size.inputs);
        result.dw_h = from_plain(diter_, iter_.get_desc(), p_.size.hidden);
        std::size_t h = p_.size.hidden;
        result.dbias.resize(gates * h);
        for (std::size_t gate = 0; gate < gates; ++gate)
            std::copy_n(floats(dbias_) + gate * h, h, result.dbias.data() + Kind::gate_order[gate] * h);
        if (Kind::biases > gates)
            result.dbias_n.assign(floats(dbias_) + gates * h, floats(dbias_) + (gates + 1) * h);
        return result;
    }

private:
    static constexpr auto type = memory::data_type::f32;
    static memory::dim dim(std::size_t size) { return static_cast<memory::dim>(size); }
    static float* floats(const memory& m) { return static_cast<float*>(m.get_data_handle()); }

    memory like(const memory& plain, const memory::desc& wanted) {
        return wanted == plain.get_desc() ? plain : memory(wanted, engine_);
    }
    void reorder(memory& from, memory& to) {
        if (from.get_data_handle() != to.get_data_handle())
            dnnl::reorder(from, to).execute(stream_, from, to);
    }

    // ldigo element (i, gate, o) is row (gate, o), column i of a row-major weight.
    void fill_plain(memory& to, const Buffer<float>& weight, std::size_t columns) {
        std::size_t h = p_.size.hidden;
        for (std::size_t i = 0; i < columns; ++i)
            for (std::size_t gate = 0; gate < gates; ++gate)
                for (std::size_t o = 0; o < h; ++o)
                    floats(to)[(i * gates + gate) * h + o] =
                        weight[(Kind::gate_order[gate] * h + o) * columns + i];
    }
    Buffer<float> from_plain(memory from, const memory::desc& plain_desc, std::size_t columns) const {
        memory plain(plain_desc, engine_);
        dnnl::stream stream(engine_);
        dnnl::reorder(from, plain).execute(stream, from, plain);
        stream.wait();
        std::size_t h = p_.size.hidden;
        Buffer<float> weight(gates * h * columns);
        for (std::size_t i = 0; i < columns; ++i)
            for (std::size_t gate = 0; gate < gates; ++gate)
                for (std::size_t o = 0; o < h; ++o)
                    weight[(Kind::gate_order[gate] * h + o) * columns + i] =
                        floats(plain)[(i * gates + gate) * h + o];
        return weight;
    }

    const Problem<float>& p_;
    dnnl::engine engine_;
    dnnl::stream stream_;
    typename Kind::Forward forward_;
    typename Kind::Backward backward_;
    memory h_0_, c_0_, dh_0_, dc_0_, x_, y_, dx_, dy_, bias_, dbias_, workspace_, layer_, iter_;
    memory forward_layer_, forward_iter_, backward_layer_, backward_iter_, dlayer_, diter_;
};

}  // namespace

template <>
Contenders<float> onednn_contenders(const Problem<float>& problem) {
    omp_set_num_threads(1);
    Contenders<float> result;
    switch (problem.cell) {
        case Cell::rnn: result.push_back(std::make_unique<OneDnn<Rnn>>(problem)); break;
        case Cell::lstm: result.push_back(std::make_unique<OneDnn<Lstm>>(problem)); break;
        case Cell::gru: result.push_back(std::make_unique<OneDnn<Gru>>(problem)); break;
        case Cell::gru_reset_after: result.push_back(std::make_unique<OneDnn<GruResetAfter>>(problem)); break;
        case Cell::mgu: break;
    }
    return result;
}

std::string onednn_version() {
    const dnnl_version_t* v = dnnl_version();
    return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
           std::to_string(v->patch);
}
#else
template <>
Contenders<float> onednn_contenders(const Problem<float>&) {
    return {};
}

std::string onednn_version() { return ""; }
#endif

/// oneDNN trains in single precision only.
template <>
Contenders<double> onednn_contenders(const Problem<double>&) {
    return {};
}

}  // namespace bench
