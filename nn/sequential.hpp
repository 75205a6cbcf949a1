#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "nn/module.hpp"

namespace xtape::nn {

namespace detail {

/// value_type of the first part that has one.
template <class... Parts>
struct FirstValue {};
template <class First, class... Rest>
struct FirstValue<First, Rest...> : FirstValue<Rest...> {};
template <class First, class... Rest>
requires(Module<First>&& has_module_value<First>) struct FirstValue<First, Rest...> {
    using value_type = nn::module_value<First>;
};

}  // namespace detail

/// One after the other: modules, and plain functions of what the part before them gives. The first part gets whatever the
/// whole is called with; expressions become values from part to part.
///
///     const nn::Sequential model(nn::Linear<float>(D, H, engine),
///                                [](const Var<float>& x) { return tanh(x); },
///                                nn::Linear<float>(H, O, engine));
///     const Var<float> y = model(x);
///
/// Parameters have the names that PyTorch gives them, by position: "0.weight", "2.bias".
template <class... Parts>
struct Sequential : detail::FirstValue<Parts...> {
    static_assert(sizeof...(Parts) > 0, "a Sequential of nothing");

    explicit Sequential(Parts... in_order) : parts(std::move(in_order)...) {}

    template <class... Inputs>
    auto operator()(Inputs&&... inputs) const {
        return rest<1>(std::get<0>(parts)(std::forward<Inputs>(inputs)...));
    }

    template <class F>
    void visit(F&& f) {
        visit_each(f, std::index_sequence_for<Parts...>());
    }

    std::tuple<Parts...> parts;

private:
    template <std::size_t k, class Y>
    auto rest(const Y& y) const {
        if constexpr (Expression<Y> || is_affine<Y>)
            return rest<k>(Var<typename Y::value_type>(y));
        else if constexpr (k == sizeof...(Parts))
            return y;
        else
            return rest<k + 1>(std::get<k>(parts)(y));
    }

    template <class F, std::size_t... k>
    void visit_each(F& f, std::index_sequence<k...>) {
        const auto visit_part = [&](std::size_t position, auto& part) {
            if constexpr (Module<std::remove_reference_t<decltype(part)>>) f(std::to_string(position), part);
        };
        (visit_part(k, std::get<k>(parts)), ...);
    }
};

}  // namespace xtape::nn
