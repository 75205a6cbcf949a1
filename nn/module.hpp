#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/autograd.hpp"

// A module is a struct that lists its parameters and the modules in it:
//
//     struct Model {
//         LSTMCell<float> cell;
//         std::vector<Linear<float>> layers;
//
//         template <class F>
//         void visit(F&& f) {
//             f("cell", cell);
//             f("layers", layers);
//         }
//     };
//
// Names ("cell.weight", "layers.0.bias"), counts, optimizers and clipping all come from that list. A Parameter, and an
// array or a vector of modules, are modules too.

namespace xtape::nn {

/// Where a parameter is found in a module. Reads as a string where one is asked for.
class Path {
public:
    Path() = default;
    Path(const Path& parent, std::string_view name) : parent_(&parent), name_(name) {}
    Path(const Path& parent, std::size_t position) : parent_(&parent), position_(position) {}

    std::string string() const {
        if (parent_ == nullptr) return "";
        const std::string before = parent_->string();
        return before + (before.empty() ? "" : ".") +
               (name_.empty() ? std::to_string(position_) : std::string(name_));
    }
    operator std::string() const { return string(); }  // NOLINT(google-explicit-constructor)

private:
    const Path* parent_ = nullptr;
    std::string_view name_;
    std::size_t position_ = 0;
};

namespace detail {

template <class M>
inline constexpr bool is_parameter = false;
template <class T>
inline constexpr bool is_parameter<Parameter<T>> = true;

struct AnyVisitor {
    template <class Member>
    void operator()(std::string_view name, Member& member) const;
};
template <class M>
concept HasVisit = requires(M& module, AnyVisitor f) {
    module.visit(f);
};

/// Tied tensors that a walk has met.
using Met = std::vector<const void*>;

template <class M, class F>
void walk(M& module, const Path& path, F& f, Met& met) {
    using Plain = std::remove_const_t<M>;
    if constexpr (is_parameter<Plain>) {
        if (module.is_tied()) {
            const void* const tensor = module.storage().get();
            if (std::ranges::find(met, tensor) != met.end()) return;
            met.push_back(tensor);
        }
        if constexpr (std::invocable<F&, const Path&, M&>) {
            f(path, module);
        } else {
            static_assert(std::invocable<F&, M&>,
                          "a module of float where one of double is wanted, or the reverse");
            f(module);
        }
    } else if constexpr (HasVisit<Plain>) {
        // `visit` only says what there is, so one that isn't const will do for a const module.
        const_cast<Plain&>(module).visit([&](std::string_view name, auto& member) {
            using Member =
                std::conditional_t<std::is_const_v<M>, const std::remove_reference_t<decltype(member)>,
                                   std::remove_reference_t<decltype(member)>>;
            walk<Member>(member, Path(path, name), f, met);
        });
    } else {
        static_assert(
            std::ranges::range<M>,
            "neither a Parameter nor a module: a module is a struct with a member template visit(f) that "
            "calls f(name, member) for each parameter and module in it");
        std::size_t position = 0;
        for (auto& member : module) walk(member, Path(path, position++), f, met);
    }
}

}  // namespace detail

template <class M>
concept Module = detail::is_parameter<std::remove_const_t<M>> || detail::HasVisit<std::remove_const_t<M>> ||
    std::ranges::range<M>;

/// Calls f(parameter), or f(name, parameter), for every parameter, in the order in which `visit` lists them; once for those
/// that are tied.
template <Module M, class F>
void for_each_parameter(M& module, F&& f) {
    detail::Met met;
    detail::walk(module, Path(), f, met);
}

/// How many numbers the parameters hold.
template <Module M>
std::size_t parameter_count(const M& module) {
    std::size_t count = 0;
    for_each_parameter(module, [&](const auto& parameter) { count += parameter.size(); });
    return count;
}

/// Empties all gradients.
template <Module M>
void zero_grad(M& module) {
    for_each_parameter(module, [](auto& parameter) { parameter.zero_grad(); });
}

/// See Parameter::freeze.
template <Module M>
void freeze(M& module) {
    for_each_parameter(module, [](auto& parameter) { parameter.freeze(); });
}
template <Module M>
void unfreeze(M& module) {
    for_each_parameter(module, [](auto& parameter) { parameter.unfreeze(); });
}

/// All parameters of a module of float or double. They stay where they are, so the module has to as well.
template <class T, Module M>
std::vector<Parameter<T>*> parameters(M& module) {
    std::vector<Parameter<T>*> list;
    for_each_parameter(module, [&](Parameter<T>& parameter) { list.push_back(&parameter); });
    return list;
}

/// Sets the `training` flag of every module in this one that has such a member, its own included.
template <class M>
void set_training(M& module, bool training) {
    if constexpr (requires { module.training = training; }) module.training = training;
    if constexpr (detail::HasVisit<M>) {
        module.visit([&](std::string_view, auto& member) { set_training(member, training); });
    } else if constexpr (!detail::is_parameter<M>) {
        for (auto& member : module) set_training(member, training);
    }
}
/// What is random while a model learns, as dropout, is so from here on, and isn't.
template <Module M>
void train(M& module) {
    set_training(module, true);
}
template <Module M>
void eval(M& module) {
    set_training(module, false);
}

namespace detail {

template <class M>
struct ModuleValue {};
template <class M>
requires requires { typename M::value_type; } && HasVisit<M>
struct ModuleValue<M> {
    using type = typename M::value_type;
};
template <std::ranges::range M>
struct ModuleValue<M> : ModuleValue<std::ranges::range_value_t<M>> {};
template <template <class...> class M, class T, class... Others>
requires std::floating_point<T> &&
    (!requires { typename M<T, Others...>::value_type; }) struct ModuleValue<M<T, Others...>> {
    using type = T;
};
/// A layer or a wrapper of another module.
template <template <class> class M, class Inner>
requires HasVisit<M<Inner>> && HasVisit<Inner> &&
    (!requires { typename M<Inner>::value_type; }) struct ModuleValue<M<Inner>> : ModuleValue<Inner> {
};

template <class M>
concept has_module_value = requires {
    typename ModuleValue<M>::type;
};

template <class M>
struct KnownModuleValue : ModuleValue<M> {
    static_assert(has_module_value<M>,
                  "of float or of double? A module that isn't a template says so by `using value_type = "
                  "float;`; else name it: Adam<float>, parameters<float>(module)");
};

}  // namespace detail

/// float or double, as M<T> or M::value_type says.
template <class M>
using module_value = typename detail::KnownModuleValue<std::remove_const_t<M>>::type;

template <Module M>
auto parameters(M& module) {
    return parameters<module_value<M>>(module);
}

}  // namespace xtape::nn
