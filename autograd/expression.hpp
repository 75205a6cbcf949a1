#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "autograd/pack.hpp"
#include "autograd/pointwise.hpp"
#include "autograd/var.hpp"

// Expression templates over Vars, as xtensor's over tensors: `sigmoid(f) * c + sigmoid(i) * tanh(g)` computes
// nothing; it is a type that spells the formula, and a value that holds the Vars and constants in it.
//
// An expression reads itself in two directions for any number type N (see Pack and Scalar): `evaluate` computes
// its value and leaves each intermediate one in a Memo, `pull` walks back through the Memo and hands each leaf its
// gradient. Both are what the loops of a statement are made of. On the way forward what ops call costly is kept in
// the source, and the way back, which evaluates once more, finds it there.

namespace xtape {

template <class T>
class Affine;

template <class E>
concept Expression = requires {
    requires std::remove_cvref_t<E>::is_expression;
};

template <class V>
inline constexpr bool is_var = false;
template <class T>
inline constexpr bool is_var<Var<T>> = true;
template <class V>
inline constexpr bool is_affine = false;
template <class T>
inline constexpr bool is_affine<Affine<T>> = true;

/// What pointwise ops take: a Var, an expression or a sum of products.
template <class V>
concept Tensor = is_var<std::remove_cvref_t<V>> || is_affine<std::remove_cvref_t<V>> || Expression<V>;
template <class V>
concept Operand = Tensor<V> || std::is_arithmetic_v<std::remove_cvref_t<V>>;

template <class E>
struct ExpressionBase {
    static constexpr bool is_expression = true;
    using default_arch = xsimd::default_arch;
};

/// A Var in an expression.
template <class T>
struct Leaf : ExpressionBase<Leaf<T>> {
    using value_type = T;
    static constexpr int leaves = 1, constants = 0, steps = 0, kept = 0;

    Var<T> var;

    explicit Leaf(const Var<T>& v) : var(v) {}

    template <class N>
    struct Memo {
        N value;
    };
    template <int L, int C, int K, class N, class Source>
    [[gnu::always_inline]] static void evaluate(const Source& source, Memo<N>& memo) {
        memo.value = source.template leaf<L>();
    }
    template <int L, class N, class Sink>
    [[gnu::always_inline]] static void pull(const Memo<N>&, const N& gradient, Sink& sink) {
        sink.template add<L>(gradient);
    }
    /// Which leaves a gradient reaches, a bit each.
    template <int L, class N>
    static constexpr std::uint32_t reached() {
        return 1u << L;
    }
    template <int L, int C>
    void collect(Var<T>* vars, T*) const {
        vars[L] = var;
    }
};

/// A number in an expression.
template <class T>
struct Constant : ExpressionBase<Constant<T>> {
    using value_type = T;
    static constexpr int leaves = 0, constants = 1, steps = 0, kept = 0;

    T number;

    explicit Constant(T x) : number(x) {}

    template <class N>
    struct Memo {
        N value;
    };
    template <int L, int C, int K, class N, class Source>
    [[gnu::always_inline]] static void evaluate(const Source& source, Memo<N>& memo) {
        memo.value = source.template constant<C>();
    }
    template <int L, class N, class Sink>
    [[gnu::always_inline]] static void pull(const Memo<N>&, const N&, Sink&) {}
    template <int L, class N>
    static constexpr std::uint32_t reached() {
        return 0;
    }
    template <int L, int C>
    void collect(Var<T>*, T* numbers) const {
        numbers[C] = number;
    }
};

/// A pointwise op on expressions. Of what is kept, number K is its own, the next ones are its arguments'.
template <class Op, class... Args>
struct Apply : ExpressionBase<Apply<Op, Args...>> {
    using op = Op;
    using value_type = typename std::tuple_element_t<0, std::tuple<Args...>>::value_type;
    static constexpr bool keeps_value = Op::keeps == Kept::value;
    static constexpr bool keeps_other = Op::keeps == Kept::other;
    static constexpr int own_kept = keeps_value || keeps_other;

    static constexpr int leaves = (Args::leaves + ...);
    static constexpr int constants = (Args::constants + ...);
    static constexpr int steps = 1 + (Args::steps + ...);
    static constexpr int kept = own_kept + (Args::kept + ...);
    static constexpr auto each_argument = std::index_sequence_for<Args...>{};

    std::tuple<Args...> args;

    explicit Apply(Args... a) : args(std::move(a)...) {}

    template <class N>
    struct Memo {
        std::tuple<typename Args::template Memo<N>...> args;
        N value;
        [[no_unique_address]] std::conditional_t<keeps_other, N, Zero> kept;
    };

    template <int L, int C, int K, class N, class Source>
    [[gnu::always_inline]] static void evaluate(const Source& source, Memo<N>& memo) {
        [&]<std::size_t... A>(std::index_sequence<A...>) {
            (Argument<A>::template evaluate<L + leaves_before<A>, C + constants_before<A>,
                                            K + own_kept + kept_before<A>>(source, std::get<A>(memo.args)),
             ...);
            const auto& inputs = memo.args;
            if constexpr (keeps_other) {
                if constexpr (Source::has_kept)
                    memo.kept = source.template kept<K>();
                else
                    memo.kept = Op::kept(std::get<A>(inputs).value...);
                memo.value = Op::value(std::get<A>(inputs).value..., memo.kept);
                if constexpr (!Source::has_kept) source.template keep<K>(memo.kept);
            } else if constexpr (keeps_value && Source::has_kept) {
                memo.value = source.template kept<K>();
            } else {
                memo.value = Op::value(std::get<A>(inputs).value...);
                if constexpr (keeps_value) source.template keep<K>(memo.value);
            }
        }
        (each_argument);
    }

    template <int L, class N, class Sink>
    [[gnu::always_inline]] static void pull(const Memo<N>& memo, const N& gradient, Sink& sink) {
        [&]<std::size_t... A>(std::index_sequence<A...>) {
            const auto partials = [&] {
                if constexpr (keeps_other)
                    return Op::partials(std::get<A>(memo.args).value..., memo.value, memo.kept);
                else
                    return Op::partials(std::get<A>(memo.args).value..., memo.value);
            }();
            (pull_argument<A, L + leaves_before<A>>(std::get<A>(memo.args), gradient, std::get<A>(partials),
                                                    sink),
             ...);
        }
        (each_argument);
    }

    template <int L, class N>
    static constexpr std::uint32_t reached() {
        return []<std::size_t... K>(std::index_sequence<K...>) {
            return (argument_reached<K, L + leaves_before<K>, N>() | ...);
        }
        (each_argument);
    }

    template <int L, int C>
    void collect(Var<value_type>* vars, value_type* numbers) const {
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            (std::get<K>(args).template collect<L + leaves_before<K>, C + constants_before<K>>(vars, numbers),
             ...);
        }
        (each_argument);
    }

    template <std::size_t K>
    using Argument = std::tuple_element_t<K, std::tuple<Args...>>;

private:
    static constexpr int sum_before(std::size_t k, std::initializer_list<int> counts) {
        int sum = 0;
        for (std::size_t i = 0; i < k; ++i) sum += counts.begin()[i];
        return sum;
    }
    template <std::size_t K>
    static constexpr int leaves_before = sum_before(K, {Args::leaves...});
    template <std::size_t K>
    static constexpr int constants_before = sum_before(K, {Args::constants...});
    template <std::size_t K>
    static constexpr int kept_before = sum_before(K, {Args::kept...});
    template <class, class N>
    using Number = const N&;
    template <std::size_t K, int L, class N>
    static constexpr std::uint32_t argument_reached() {
        using Partials = decltype(Op::partials(std::declval<Number<Args, N>>()..., std::declval<const N&>()));
        if constexpr (std::is_same_v<std::tuple_element_t<K, Partials>, Zero>)
            return 0;
        else
            return Argument<K>::template reached<L, N>();
    }
    template <std::size_t K, int L, class M, class N, class Partial, class Sink>
    [[gnu::always_inline]] static void pull_argument(const M& memo, const N& gradient, const Partial& partial,
                                                     Sink& sink) {
        if constexpr (!std::is_same_v<Partial, Zero> && Argument<K>::leaves > 0) {
            Argument<K>::template pull<L>(memo, N(chain(gradient, partial)), sink);
        }
    }
};

// ---- building ---------------------------------------------------------------------------------------------------

template <class... Operands>
struct CommonValue;
template <class First, class... Rest>
struct CommonValue<First, Rest...> : CommonValue<Rest...> {};
template <class First, class... Rest>
requires Tensor<First>
struct CommonValue<First, Rest...> {
    using type = typename First::value_type;
};
/// float or double: what the tensors among the operands hold.
template <class... Operands>
using common_value = typename CommonValue<std::remove_cvref_t<Operands>...>::type;

/// An operand as a part of an expression of T.
template <class T, class V>
auto as_expression(const V& operand) {
    if constexpr (std::is_arithmetic_v<V>) {
        return Constant<T>(static_cast<T>(operand));
    } else {
        static_assert(std::is_same_v<typename V::value_type, T>, "float and double tensors don't mix");
        if constexpr (is_var<V>)
            return Leaf<T>(operand);
        else if constexpr (is_affine<V>)
            return Leaf<T>(Var<T>(operand));
        else
            return operand;
    }
}

/// The expression `Op(operands...)`: how a user calls a pointwise op of their own.
template <class Op, Operand... Operands>
requires(Tensor<Operands> || ...) auto apply(const Operands&... operands) {
    static_assert(sizeof...(Operands) == Op::arity, "the op takes another number of operands");
    using T = common_value<Operands...>;
    return Apply<Op, decltype(as_expression<T>(operands))...>(as_expression<T>(operands)...);
}

/// The same for xtape's own ops: what isn't in PointwiseOps, and so isn't tested, doesn't compile.
template <class Op, Operand... Operands>
auto builtin(const Operands&... operands) {
    static_assert(is_listed<Op>, "add the op to PointwiseOps, so that it is tested");
    return apply<Op>(operands...);
}

/// Operands of which one is a tensor, and neither a sum of products, whose + and - are its own.
template <class A, class B>
concept OperandPair = Operand<A> && Operand<B> &&(Tensor<A> || Tensor<B>);
template <class A, class B>
concept PlainPair = OperandPair<A, B> && !is_affine<A> && !is_affine<B>;

// clang-format off
template <class A, class B> requires PlainPair<A, B> auto operator+(const A& a, const B& b) { return builtin<op::Add>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator-(const A& a, const B& b) { return builtin<op::Subtract>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator*(const A& a, const B& b) { return builtin<op::Multiply>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator/(const A& a, const B& b) { return builtin<op::Divide>(a, b); }
template <Tensor X> auto operator-(const X& x) { return builtin<op::Negative>(x); }

template <class A, class B> requires OperandPair<A, B> auto pow(const A& a, const B& b) { return builtin<op::Pow>(a, b); }
template <Tensor X> auto square(const X& x) { return builtin<op::Square>(x); }
template <Tensor X> auto sqrt(const X& x) { return builtin<op::Sqrt>(x); }
template <Tensor X> auto rsqrt(const X& x) { return builtin<op::Rsqrt>(x); }
template <Tensor X> auto exp(const X& x) { return builtin<op::Exp>(x); }
template <Tensor X> auto expm1(const X& x) { return builtin<op::Expm1>(x); }
template <Tensor X> auto log(const X& x) { return builtin<op::Log>(x); }
template <Tensor X> auto log1p(const X& x) { return builtin<op::Log1p>(x); }
template <Tensor X> auto tanh(const X& x) { return builtin<op::Tanh>(x); }
template <Tensor X> auto sigmoid(const X& x) { return builtin<op::Sigmoid>(x); }
template <Tensor X> auto softplus(const X& x) { return builtin<op::Softplus>(x); }
template <Tensor X> auto relu(const X& x) { return builtin<op::Relu>(x); }
template <Tensor X> auto leaky_relu(const X& x, double slope = 0.01) { return builtin<op::LeakyRelu>(x, slope); }
template <Tensor X> auto gelu(const X& x) { return builtin<op::Gelu>(x); }
template <Tensor X> auto silu(const X& x) { return builtin<op::Silu>(x); }
template <Tensor X> auto abs(const X& x) { return builtin<op::Abs>(x); }
template <Tensor X> auto sign(const X& x) { return builtin<op::Sign>(x); }
template <Tensor X> auto sin(const X& x) { return builtin<op::Sin>(x); }
template <Tensor X> auto cos(const X& x) { return builtin<op::Cos>(x); }
template <Tensor X> auto erf(const X& x) { return builtin<op::Erf>(x); }
template <class A, class B> requires OperandPair<A, B> auto minimum(const A& a, const B& b) { return builtin<op::Minimum>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto maximum(const A& a, const B& b) { return builtin<op::Maximum>(a, b); }
template <Tensor X, Operand A, Operand B> auto clamp(const X& x, const A& low, const B& high) { return builtin<op::Clamp>(x, low, high); }
/// a where the condition holds (is not 0), b elsewhere.
template <Tensor C, Operand A, Operand B> auto where(const C& condition, const A& a, const B& b) { return builtin<op::Where>(condition, a, b); }

// Comparisons give 1 where they hold and 0 elsewhere.
template <class A, class B> requires OperandPair<A, B> auto operator==(const A& a, const B& b) { return builtin<op::Equal>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator!=(const A& a, const B& b) { return builtin<op::NotEqual>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator<(const A& a, const B& b) { return builtin<op::Less>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator<=(const A& a, const B& b) { return builtin<op::LessEqual>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator>(const A& a, const B& b) { return builtin<op::Greater>(a, b); }
template <class A, class B> requires OperandPair<A, B> auto operator>=(const A& a, const B& b) { return builtin<op::GreaterEqual>(a, b); }
// clang-format on

// ---- conditions -------------------------------------------------------------------------------------------------

/// Comparisons, and what && || make of them, are conditions: as a partial they let a gradient pass or not.
template <class Op, class... Args>
inline constexpr bool is_condition<Apply<Op, Args...>> =
    std::is_base_of_v<op::Comparison, Op> ||
    ((std::is_same_v<Op, op::Multiply> || std::is_same_v<Op, op::Maximum>)&&(is_condition<Args> && ...));

template <class A, class B>
requires(is_condition<A>&& is_condition<B>&& Expression<A>&& Expression<B>) auto operator&&(const A& a,
                                                                                            const B& b) {
    return a * b;
}
template <class A, class B>
requires(is_condition<A>&& is_condition<B>&& Expression<A>&& Expression<B>) auto operator||(const A& a,
                                                                                            const B& b) {
    return maximum(a, b);
}

}  // namespace xtape
