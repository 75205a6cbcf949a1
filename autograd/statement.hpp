#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "autograd/expression.hpp"
#include "autograd/tape.hpp"

// A statement is an expression that was assigned to a Var: one loop over the elements, one node on the tape.
//
// What depends on the expression, and is compiled where the user writes it, is no more than two functions over a row
// of contiguous elements (FusedRow) and a list of the ops in it (steps_of). Broadcasting, strides, where a
// gradient goes and which rows there are is worked out in statement.cpp, once for all expressions.

namespace xtape {

inline constexpr std::size_t max_leaves = 16;
inline constexpr std::size_t max_constants = 16;

/// Where the rows of gradients go. For leaf k new values are from + contribution, written to `to`, with
/// to = addresses[2 k] and from = addresses[2 k + 1]: the same row if bit k of `adds` is set, else the beginning of a row
/// of zeros, a vector long. `to` is null where no gradient is wanted.
template <class T>
struct GradientRows {
    T* const* addresses;
    std::uint32_t adds;
};

/// The rows that a kernel goes over: `count` of n elements each. Those of what a statement has made lie one after the other;
/// those of leaf k are strides[k] apart, those of its gradient strides[leaves + k].
struct RowGrid {
    std::size_t n;
    std::size_t count = 1;
    const std::ptrdiff_t* strides = nullptr;  // needed for more than one row
};

/// A pointwise op by itself, on Vars: what a statement is replayed with, op by op.
template <class T>
struct PointwiseOp {
    const char* name;
    int arity;
    Var<T> (*apply)(const Var<T>* args);
    /// Gradients for the args, given the result and its gradient; an empty Var where none passes.
    void (*pull)(const Var<T>* args, const Var<T>& result, const Var<T>& gradient, Var<T>* arg_gradients);
};

/// One op of a statement, in the order of evaluation.
template <class T>
struct Step {
    struct Argument {
        enum class From : std::uint8_t { leaf, constant, step } from;
        std::uint8_t index;
    };
    const PointwiseOp<T>& (*op)();
    std::array<Argument, 3> args;

    std::size_t arity() const { return static_cast<std::size_t>(op().arity); }
};

/// An expression's type, as data.
template <class T>
struct Kernel {
    std::size_t leaves;
    std::size_t constants;
    /// Bit k: whether a gradient reaches leaf k. None passes through a comparison, say.
    std::uint32_t reached;
    /// How many numbers `forward` keeps beside each element of the value.
    std::size_t kept;
    /// out[i] = value, for each row's i < n and on to the end of its last vector, which the next row overwrites;
    /// likewise what is kept, in arrays `pitch` apart from keep[i] on. A null `keep` keeps nothing.
    void (*forward)(const RowGrid& rows, const T* const* leaves, const T* constants, T* out, T* keep,
                    std::size_t pitch);
    /// Gradient rows of the leaves from the row dy of the result's, for exactly i < n, with the value and what
    /// `forward` kept.
    void (*backward)(const RowGrid& rows, const T* const* leaves, const T* constants, const T* value,
                     const T* kept, std::size_t pitch, const T* dy, GradientRows<T> gradients);
    std::span<const Step<T>> steps;
};

/// A kernel with its operands: all there is to know about an expression at run time.
template <class T>
struct Statement {
    const Kernel<T>* kernel = nullptr;
    std::array<Var<T>, max_leaves> leaves;
    std::array<T, max_constants> constants;
};

/// Evaluates the statement and records it. The leaves broadcast to the result's shape.
template <class T>
Var<T> record_statement(const Statement<T>& statement);

/// Adds the statement's value to dense or strided elements at `target`; what is broadcast there (stride 0) is summed.
template <class T>
void accumulate_statement(const Statement<T>& statement, const Shape& shape, const Strides& strides,
                          T* target);

/// The statement that a node was made by; nothing for other nodes.
template <class T>
std::optional<Statement<T>> statement_at(Tape<T>& tape, NodeIndex index);

/// The statement's ops one by one, each recorded as a statement of its own; the last one is the result.
template <class T>
std::vector<Var<T>> replay(const Statement<T>& statement);

// ---- compiled where the expression is written -------------------------------------------------------------------

namespace detail {

/// The two loops of a statement. Arch is in the name, so that two builds never merge.
template <class E, class T, class Arch>
struct FusedRow {
    using N = Pack<T, Arch>;
    using Memo = typename E::template Memo<N>;
    static constexpr std::size_t leaf_count = E::leaves;
    static constexpr std::size_t constant_count = E::constants;
    // Number 0 of what is kept is the statement's own value, which is there in any case.
    static constexpr int first_kept = E::keeps_value ? 0 : 1;

    // Copied out of the caller's arrays, whose elements the compiler would reload after every store.
    struct Source {
        std::array<const T*, leaf_count> rows;
        std::array<T, constant_count> numbers;
        std::size_t i = 0;

        Source(const T* const* leaves, const T* constants) {
            for (std::size_t k = 0; k < leaf_count; ++k) rows[k] = leaves[k];
            for (std::size_t k = 0; k < constant_count; ++k) numbers[k] = constants[k];
        }
        template <int K>
        N leaf() const {
            return N::load(std::get<K>(rows) + i);
        }
        template <int K>
        N constant() const {
            return N(std::get<K>(numbers));
        }
        void next_row(const RowGrid& grid) {
            for (std::size_t k = 0; k < leaf_count; ++k) rows[k] += grid.strides[k];
            i = 0;
        }
    };

    struct KeepingSource : Source {
        static constexpr bool has_kept = false;
        T* to;
        std::size_t pitch;

        KeepingSource(const T* const* leaves, const T* constants, T* keep, std::size_t apart)
            : Source(leaves, constants), to(keep), pitch(apart) {}
        void next_row(const RowGrid& grid) {
            Source::next_row(grid);
            if (to != nullptr) to += grid.n;
        }
        template <int K>
        void keep(const N& number) const {
            if constexpr (K > 0) {
                if (to != nullptr) number.store(to + (K - 1) * pitch + this->i);
            }
        }
    };

    struct KeptSource : Source {
        static constexpr bool has_kept = true;
        const T* value;
        const T* from;
        std::size_t pitch;

        KeptSource(const T* const* leaves, const T* constants, const T* result, const T* kept,
                   std::size_t apart)
            : Source(leaves, constants), value(result), from(kept), pitch(apart) {}
        void next_row(const RowGrid& grid) {
            Source::next_row(grid);
            value += grid.n;
            if (from != nullptr) from += grid.n;
        }
        template <int K>
        N kept() const {
            if constexpr (K == 0)
                return N::load(value + this->i);
            else
                return N::load(from + (K - 1) * pitch + this->i);
        }
    };

    struct Sink {
        struct Row {
            T* to;
            const T* from;
            std::size_t mask;  // of i: all bits where `from` is a row, none where it is a vector of zeros
        };
        std::array<Row, leaf_count> rows;
        std::size_t i = 0;
        std::size_t count = 0;  // lanes that are wanted

        explicit Sink(GradientRows<T> gradients) {
            for (std::size_t k = 0; k < leaf_count; ++k)
                rows[k] = {gradients.addresses[2 * k], gradients.addresses[2 * k + 1],
                           (gradients.adds >> k & 1u) != 0 ? ~std::size_t{0} : std::size_t{0}};
        }
        void next_row(const RowGrid& grid) {
            for (std::size_t k = 0; k < leaf_count; ++k) {
                if (rows[k].to == nullptr) continue;
                rows[k].to += grid.strides[leaf_count + k];
                if (rows[k].mask != 0) rows[k].from += grid.strides[leaf_count + k];
            }
        }
        template <int K>
        void add(const N& gradient) {
            const Row& row = std::get<K>(rows);
            if (row.to == nullptr) return;
            const T* const from = row.from + (i & row.mask);
            if (count == N::size) [[likely]] {
                (N::load(from) + gradient).store(row.to + i);
            } else {
                (N::load_first(from, count) + gradient).store_first(row.to + i, count);
            }
        }
    };

    [[gnu::flatten]] static void forward(const RowGrid& rows, const T* const* leaves, const T* constants,
                                         T* out, T* keep, std::size_t pitch) {
        KeepingSource source(leaves, constants, keep, pitch);
        for (std::size_t row = 0;;) {
            for (; source.i < rows.n; source.i += N::size) {
                Memo memo;
                E::template evaluate<0, 0, first_kept>(source, memo);
                memo.value.store(out + source.i);
            }
            if (++row == rows.count) return;
            source.next_row(rows);
            out += rows.n;
        }
    }

    [[gnu::flatten]] static void backward(const RowGrid& rows, const T* const* leaves, const T* constants,
                                          const T* value, const T* kept, std::size_t pitch, const T* dy,
                                          GradientRows<T> gradients) {
        KeptSource source(leaves, constants, value, kept, pitch);
        Sink sink(gradients);
        for (std::size_t row = 0;;) {
            for (; source.i < rows.n; source.i += N::size) {
                Memo memo;
                E::template evaluate<0, 0, first_kept>(source, memo);
                sink.i = source.i;
                sink.count = rows.n - source.i < N::size ? rows.n - source.i : N::size;
                const N gradient =
                    sink.count == N::size ? N::load(dy + source.i) : N::load_first(dy + source.i, sink.count);
                E::template pull<0>(memo, gradient, sink);
            }
            if (++row == rows.count) return;
            source.next_row(rows);
            sink.next_row(rows);
            dy += rows.n;
        }
    }
};

template <class Op, class T>
struct SingleOp {
    static Var<T> apply(const Var<T>* args) {
        return [&]<std::size_t... K>(std::index_sequence<K...>) {
            return Var<T>(xtape::apply<Op>(args[K]...));
        }
        (std::make_index_sequence<Op::arity>{});
    }
    static void pull(const Var<T>* args, const Var<T>& result, const Var<T>& gradient,
                     Var<T>* arg_gradients) {
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            const auto partials = Op::partials(args[K]..., result);
            (pull_one(gradient, std::get<K>(partials), arg_gradients[K]), ...);
        }
        (std::make_index_sequence<Op::arity>{});
    }
    template <class Partial>
    static void pull_one(const Var<T>& gradient, const Partial& partial, Var<T>& arg_gradient) {
        if constexpr (!std::is_same_v<Partial, Zero>) arg_gradient = chain(gradient, partial);
    }
    static constexpr PointwiseOp<T> table{Op::name, Op::arity, &apply, &pull};
};

/// The listed ops are compiled once, in pointwise_ops.cpp; `position` is the place in PointwiseOps.
template <class T>
const PointwiseOp<T>& listed_op(std::size_t position);

template <class Op, class... Ops>
constexpr std::size_t position_in(TypeList<Ops...>) {
    std::size_t position = 0;
    (void)((std::is_same_v<Op, Ops> ? false : (++position, true)) && ...);
    return position;
}

template <class Op, class T>
const PointwiseOp<T>& pointwise_op() {
    if constexpr (is_listed<Op>)
        return listed_op<T>(position_in<Op>(PointwiseOps{}));
    else
        return SingleOp<Op, T>::table;
}

template <class T, std::size_t Count>
struct StepList {
    std::array<Step<T>, Count> steps{};
    std::size_t count = 0;
    std::uint8_t leaves = 0;
    std::uint8_t constants = 0;
};

/// Appends the ops of E in the order of evaluation; returns where its value comes from.
template <class E, class T, std::size_t Count>
constexpr typename Step<T>::Argument append_steps(StepList<T, Count>& list) {
    using Argument = typename Step<T>::Argument;
    if constexpr (E::leaves == 1 && E::steps == 0) {
        return {Argument::From::leaf, list.leaves++};
    } else if constexpr (E::steps == 0) {
        return {Argument::From::constant, list.constants++};
    } else {
        Step<T> step{&pointwise_op<typename E::op, T>, {}};
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            ((step.args[K] = append_steps<typename E::template Argument<K>>(list)), ...);
        }
        (E::each_argument);
        list.steps[list.count] = step;
        return {Argument::From::step, static_cast<std::uint8_t>(list.count++)};
    }
}

template <class E, class T>
inline constexpr auto steps_of = [] {
    StepList<T, static_cast<std::size_t>(E::steps)> list;
    append_steps<E>(list);
    return list.steps;
}();

template <class E, class T, class Arch>
inline constexpr Kernel<T> kernel_of{E::leaves,
                                     E::constants,
                                     E::template reached<0, Pack<T, Arch>>(),
                                     E::kept - E::keeps_value,
                                     &FusedRow<E, T, Arch>::forward,
                                     &FusedRow<E, T, Arch>::backward,
                                     steps_of<E, T>};

}  // namespace detail

/// An expression as a statement; its leaves' tape is the first one's.
template <class Arch = xsimd::default_arch, class E>
Statement<typename E::value_type> statement_of(const E& expression) {
    using T = typename E::value_type;
    static_assert(E::leaves >= 1);
    static_assert(E::leaves <= max_leaves && E::constants <= max_constants && E::steps < 128,
                  "a statement this long has to be split into two");
    Statement<T> statement;
    statement.kernel = &detail::kernel_of<E, T, Arch>;
    expression.template collect<0, 0>(statement.leaves.data(), statement.constants.data());
    return statement;
}

template <class T>
template <class E, class Arch>
requires(E::is_expression) Var<T>::Var(const E& expression)
    : Var(record_statement(statement_of<Arch>(expression))) {
    static_assert(std::is_same_v<T, typename E::value_type>, "float and double tensors don't mix");
}

/// Any tensor as a value on its tape: what functions that take a Var do with an expression.
template <Tensor X>
auto as_var(const X& x) {
    return Var<typename X::value_type>(x);
}

}  // namespace xtape
