#include "autograd/statement.hpp"

#include <algorithm>
#include <cstring>

#include "autograd/reductions.hpp"
#include "autograd/rows.hpp"
#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"

namespace xtape {
namespace {

// Leaves whose neighbours in a row don't lie side by side are copied, a piece of a row at a time, so that a kernel
// only ever sees contiguous elements.
constexpr std::size_t piece = 256;

template <class T>
struct alignas(buffer_alignment) Piece {
    T elements[piece];
};

template <class T>
constexpr T zeros[buffer_alignment / sizeof(T)] = {};

/// The rows of a statement's leaves, ready for its kernel.
template <class T>
class LeafRows {
public:
    LeafRows(const Tape<T>& tape, std::span<const NodeIndex> leaves, const Shape& shape)
        : count_(leaves.size()), rows_(shape) {
        for (std::size_t k = 0; k < count_; ++k) {
            const Node<T>& leaf = tape.at(leaves[k]);
            data_[k] = leaf.value;
            rows_.add(broadcast_strides(leaf.shape, leaf.full_strides(), shape));
        }
    }

    Rows<2 * max_leaves + 1>& rows() { return rows_; }

    /// Call after rows().merge().
    void prepare() {
        for (std::size_t k = 0; k < count_; ++k) {
            copied_[k] = rows_.inner_stride(k) != 1 && rows_.row_length() > 1;
            any_copied_ |= copied_[k];
            filled_from_[k] = nullptr;
        }
    }
    bool any_copied() const { return any_copied_; }

    /// Pointers to elements begin ... begin + n of the current row; n <= piece if any leaf is copied.
    const T* const* at(std::size_t begin, std::size_t n) {
        for (std::size_t k = 0; k < count_; ++k) {
            const std::ptrdiff_t stride = rows_.inner_stride(k);
            const T* first = data_[k] + rows_.offset(k) + static_cast<std::ptrdiff_t>(begin) * stride;
            if (!copied_[k]) {
                current_[k] = first;
                continue;
            }
            current_[k] = pieces_[k].elements;
            if (stride == 0) {
                if (filled_from_[k] == first) continue;
                filled_from_[k] = first;
                std::fill_n(pieces_[k].elements, std::min(piece, rows_.row_length()), *first);
            } else {
                copy_row(n, first, stride, pieces_[k].elements, 1);
            }
        }
        return current_.data();
    }

private:
    std::size_t count_;
    Rows<2 * max_leaves + 1> rows_;
    std::array<const T*, max_leaves> data_;
    std::array<const T*, max_leaves> current_;
    std::array<const T*, max_leaves> filled_from_;
    std::array<bool, max_leaves> copied_;
    bool any_copied_ = false;
    std::array<Piece<T>, max_leaves> pieces_;
};

template <class T>
struct StatementRecord {
    const Kernel<T>* kernel;
    const T* constants;
};

/// Whether all leaves lie dense in the statement's own shape: then everything is a single row.
template <class T>
bool all_whole(const Tape<T>& tape, std::span<const NodeIndex> leaves, const Shape& shape) {
    return std::all_of(leaves.begin(), leaves.end(), [&](NodeIndex index) {
        const Node<T>& leaf = tape.at(index);
        return leaf.is_dense() && (&leaf.shape == &shape || leaf.shape == shape);
    });
}

template <class T>
void evaluate(const Tape<T>& tape, const Kernel<T>& kernel, const T* constants,
              std::span<const NodeIndex> leaves, const Shape& shape, T* out) {
    const std::size_t count = element_count(shape);
    if (count == 0) return;
    if (all_whole(tape, leaves, shape)) {
        std::array<const T*, max_leaves> rows;
        for (std::size_t k = 0; k < leaves.size(); ++k) rows[k] = tape.at(leaves[k]).value;
        kernel.forward(count, rows.data(), constants, out);
        return;
    }
    LeafRows<T> leaf_rows(tape, leaves, shape);
    auto& rows = leaf_rows.rows();
    rows.merge();
    leaf_rows.prepare();
    const std::size_t length = rows.row_length();
    const std::size_t step = leaf_rows.any_copied() ? piece : length;
    const T* const end = out + count;
    constexpr std::size_t widest = buffer_alignment / sizeof(T);
    const auto whole_vectors = [](std::size_t n) {
        return static_cast<std::ptrdiff_t>((n + widest - 1) / widest * widest);
    };
    do {
        for (std::size_t begin = 0; begin < length; begin += step) {
            const std::size_t n = std::min(step, length - begin);
            const T* const* at = leaf_rows.at(begin, n);
            // A kernel writes whole vectors. What it writes past the end of a row is overwritten by the next rows;
            // where it would pass the end of the last one, the row's rest takes a detour.
            const std::size_t rest = end - out < whole_vectors(n) ? n % widest : 0;
            kernel.forward(n - rest, at, constants, out);
            if (rest > 0) {
                std::array<const T*, max_leaves> tail;
                for (std::size_t k = 0; k < leaves.size(); ++k) tail[k] = at[k] + (n - rest);
                alignas(buffer_alignment) T last[widest];
                kernel.forward(rest, tail.data(), constants, last);
                std::memcpy(out + (n - rest), last, rest * sizeof(T));
            }
            out += n;
        }
    } while (rows.next());
}

/// What the leaves' shapes broadcast to: one of them, or else `broadcast`.
template <class T>
const Shape& result_shape(const Statement<T>& statement, Shape& broadcast) {
    Tape<T>& tape = statement.leaves[0].tape();
    const Shape* shape = &tape.node(statement.leaves[0]).shape;
    for (std::size_t k = 1; k < statement.kernel->leaves; ++k) {
        const Shape& leaf = tape.node(statement.leaves[k]).shape;
        if (&leaf == shape) continue;
        const bool alone = statement.kernel->steps.size() == 1;
        broadcast =
            broadcast_shapes(alone ? statement.kernel->steps[0].op().name : "statement", *shape, leaf);
        shape = broadcast == leaf ? &leaf : broadcast == *shape ? shape : &broadcast;
    }
    return *shape;
}

template <class T>
std::array<NodeIndex, max_leaves> leaf_indices(const Statement<T>& statement) {
    std::array<NodeIndex, max_leaves> indices;
    for (std::size_t k = 0; k < statement.kernel->leaves; ++k) indices[k] = statement.leaves[k].index();
    return indices;
}

// ---- backward ---------------------------------------------------------------------------------------------------

/// Whether no leaf is a view of another one, so that the first contribution to a leaf may be written and not added.
/// (The same leaf twice is no harm: the first one writes, the second adds.)
template <class T>
bool are_apart(const Sweep<T>& sweep, std::span<const NodeIndex> leaves) {
    for (std::size_t k = 1; k < leaves.size(); ++k) {
        const NodeIndex owner = sweep.node(leaves[k]).owner;
        for (std::size_t other = 0; other < k; ++other) {
            if (leaves[k] == leaves[other]) continue;
            if (leaves[other] == owner || sweep.node(leaves[other]).owner == leaves[k]) return false;
        }
    }
    return true;
}

template <class T>
void pull_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto& record = *static_cast<const StatementRecord<T>*>(node.payload);
    const std::span leaves(node.inputs, node.input_count);
    const T* dy = sweep.gradient(index);
    const std::size_t count = node.size();
    if (count == 0) return;
    Tape<T>& tape = sweep.tape();
    const auto wants = [&](std::size_t k) {
        return (record.kernel->reached >> k & 1u) != 0 && sweep.wants(leaves[k]);
    };

    std::array<GradientRow<T>, max_leaves> gradients;
    if (all_whole(tape, leaves, node.shape) && sweep.lie_as_values(leaves)) {
        std::array<const T*, max_leaves> rows;
        const bool may_write = are_apart(sweep, leaves);
        for (std::size_t k = 0; k < leaves.size(); ++k) {
            rows[k] = sweep.node(leaves[k]).value;
            gradients[k] = {};
            if (!wants(k)) continue;
            bool first = false;
            T* to = sweep.dense_target(leaves[k], may_write, first);
            gradients[k] = first ? GradientRow<T>{to, zeros<T>, 0} : GradientRow<T>{to, to, 1};
        }
        record.kernel->backward(count, rows.data(), record.constants, dy, gradients.data());
        return;
    }

    LeafRows<T> leaf_rows(tape, leaves, node.shape);
    auto& rows = leaf_rows.rows();
    std::array<T*, max_leaves> targets;
    std::array<std::size_t, max_leaves> target_rows;
    for (std::size_t k = 0; k < leaves.size(); ++k) {
        gradients[k] = {};
        targets[k] = nullptr;
        if (!wants(k)) continue;
        const auto target = sweep.target(leaves[k]);
        targets[k] = target.data;
        target_rows[k] = rows.add(broadcast_strides(sweep.node(leaves[k]).shape, target.strides, node.shape));
    }
    rows.merge();
    leaf_rows.prepare();
    std::array<Piece<T>, max_leaves> pieces;
    bool in_pieces = leaf_rows.any_copied();
    for (std::size_t k = 0; k < leaves.size(); ++k) {
        if (targets[k] != nullptr && rows.inner_stride(target_rows[k]) != 1 && rows.row_length() > 1)
            in_pieces = true;
    }
    const std::size_t length = rows.row_length();
    const std::size_t step = in_pieces ? piece : length;
    do {
        for (std::size_t begin = 0; begin < length; begin += step) {
            const std::size_t n = std::min(step, length - begin);
            for (std::size_t k = 0; k < leaves.size(); ++k) {
                if (targets[k] == nullptr) continue;
                const std::ptrdiff_t stride = rows.inner_stride(target_rows[k]);
                T* to =
                    targets[k] + rows.offset(target_rows[k]) + static_cast<std::ptrdiff_t>(begin) * stride;
                gradients[k] = stride == 1 || length == 1 ? GradientRow<T>{to, to, 1}
                                                          : GradientRow<T>{pieces[k].elements, zeros<T>, 0};
            }
            record.kernel->backward(n, leaf_rows.at(begin, n), record.constants, dy, gradients.data());
            for (std::size_t k = 0; k < leaves.size(); ++k) {
                if (targets[k] == nullptr || gradients[k].step == 1) continue;
                const std::ptrdiff_t stride = rows.inner_stride(target_rows[k]);
                T* to =
                    targets[k] + rows.offset(target_rows[k]) + static_cast<std::ptrdiff_t>(begin) * stride;
                add_row<T>(n, pieces[k].elements, 1, to, stride);
            }
            dy += n;
        }
    } while (rows.next());
}

/// The Vars that an op of the statement takes, given the results of the ops before it.
template <class T>
std::array<Var<T>, 3> arguments_of(const Statement<T>& statement, const Step<T>& step,
                                   std::span<const Var<T>> results) {
    using Argument = typename Step<T>::Argument;
    std::array<Var<T>, 3> args;
    for (std::size_t k = 0; k < static_cast<std::size_t>(step.op().arity); ++k) {
        const Argument arg = step.args[k];
        switch (arg.from) {
            case Argument::From::leaf: args[k] = statement.leaves[arg.index]; break;
            case Argument::From::constant:
                args[k] = statement.leaves[0].tape().constant(statement.constants[arg.index]);
                break;
            case Argument::From::step: args[k] = results[arg.index]; break;
        }
    }
    return args;
}

/// For derivatives of derivatives: the statement is replayed op by op, and each op's rule is read with Vars.
template <class T>
void pull(Pull<T>& node) {
    using Argument = typename Step<T>::Argument;
    const Statement<T> statement = *statement_at(node.tape(), node.index());
    const std::vector<Var<T>> results = replay(statement);
    std::vector<Var<T>> gradients(results.size());
    gradients.back() = node.gradient();
    for (std::size_t s = results.size(); s-- > 0;) {
        if (!gradients[s]) continue;
        const Step<T>& step = statement.kernel->steps[s];
        const PointwiseOp<T>& op = step.op();
        const auto args = arguments_of(statement, step, std::span<const Var<T>>(results));
        std::array<Var<T>, 3> contributions;
        op.pull(args.data(), results[s], gradients[s], contributions.data());
        for (std::size_t k = 0; k < static_cast<std::size_t>(op.arity); ++k) {
            const Argument arg = step.args[k];
            if (!contributions[k] || arg.from == Argument::From::constant) continue;
            if (arg.from == Argument::From::leaf) {
                if (node.wants(arg.index)) node.add(arg.index, contributions[k]);
                continue;
            }
            Var<T>& sum = gradients[arg.index];
            const Var<T> mine = sum_to(contributions[k], results[arg.index].shape());
            sum = sum ? Var<T>(sum + mine) : mine;
        }
    }
}

template <class T>
constexpr Rule<T> statement_rule{"statement", &pull<T>, &pull_values<T>};

}  // namespace

template <class T>
std::optional<Statement<T>> statement_at(Tape<T>& tape, NodeIndex index) {
    const Node<T>& node = tape.at(index);
    if (node.rule != &statement_rule<T>) return std::nullopt;
    const auto& record = *static_cast<const StatementRecord<T>*>(node.payload);
    Statement<T> statement;
    statement.kernel = record.kernel;
    for (std::size_t k = 0; k < record.kernel->leaves; ++k) statement.leaves[k] = tape[node.inputs[k]];
    std::copy_n(record.constants, record.kernel->constants, statement.constants.begin());
    return statement;
}

template <class T>
Var<T> record_statement(const Statement<T>& statement) {
    Tape<T>& tape = statement.leaves[0].tape();
    const Kernel<T>& kernel = *statement.kernel;
    Shape broadcast;
    const Shape& shape = result_shape(statement, broadcast);
    T* value = tape.allocate(element_count(shape));

    auto* constants = tape.template allocate_records<T>(kernel.constants);
    std::copy_n(statement.constants.begin(), kernel.constants, constants);
    auto* indices = tape.template allocate_records<NodeIndex>(kernel.leaves);
    for (std::size_t k = 0; k < kernel.leaves; ++k) indices[k] = statement.leaves[k].index();
    const std::span<const NodeIndex> leaves(indices, kernel.leaves);
    evaluate(tape, kernel, constants, leaves, shape, value);
    return tape.record(statement_rule<T>, leaves, shape, value,
                       tape.keep(StatementRecord<T>{&kernel, constants}));
}

template <class T>
void accumulate_statement(const Statement<T>& statement, const Shape& shape, const Strides& strides,
                          T* target) {
    Tape<T>& tape = statement.leaves[0].tape();
    Shape broadcast;
    const Shape common = broadcast_shapes("gradient", result_shape(statement, broadcast), shape);
    if (element_count(common) == 0) return;
    const auto indices = leaf_indices(statement);
    LeafRows<T> leaf_rows(tape, std::span(indices.data(), statement.kernel->leaves), common);
    auto& rows = leaf_rows.rows();
    const std::size_t to = rows.add(broadcast_strides(shape, strides, common));
    rows.merge();
    leaf_rows.prepare();
    Piece<T> values;
    do {
        for (std::size_t begin = 0; begin < rows.row_length(); begin += piece) {
            const std::size_t n = std::min(piece, rows.row_length() - begin);
            statement.kernel->forward(n, leaf_rows.at(begin, n), statement.constants.data(), values.elements);
            const std::ptrdiff_t stride = rows.inner_stride(to);
            add_row<T>(n, values.elements, 1,
                       target + rows.offset(to) + static_cast<std::ptrdiff_t>(begin) * stride, stride);
        }
    } while (rows.next());
}

template <class T>
std::vector<Var<T>> replay(const Statement<T>& statement) {
    std::vector<Var<T>> results;
    results.reserve(statement.kernel->steps.size());
    for (const Step<T>& step : statement.kernel->steps) {
        const auto args = arguments_of(statement, step, std::span<const Var<T>>(results));
        results.push_back(step.op().apply(args.data()));
    }
    return results;
}

#define XTAPE_INSTANTIATE(T)                                                                   \
    template Var<T> record_statement(const Statement<T>&);                                     \
    template void accumulate_statement(const Statement<T>&, const Shape&, const Strides&, T*); \
    template std::optional<Statement<T>> statement_at(Tape<T>&, NodeIndex);                    \
    template std::vector<Var<T>> replay(const Statement<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
