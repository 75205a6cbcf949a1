#include "autograd/statement.hpp"

#include <algorithm>

#include "autograd/kernel_call.hpp"
#include "autograd/reductions.hpp"
#include "autograd/rows.hpp"
#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

using detail::call_backward;
using detail::call_forward;
using detail::max_computed_again;
using detail::piece;
using detail::StatementRecord;
using detail::widest;

// Leaves whose neighbours in a row don't lie side by side are copied, a piece of a row at a time, so that a kernel
// only ever sees contiguous elements.

/// Where they go: pieces of leaves first, then those of gradients.
template <class T>
T* piece_of(Tape<T>& tape, std::size_t number) {
    return tape.scratch(2 * max_leaves * piece) + number * piece;
}

template <class T>
constexpr T zeros[buffer_alignment / sizeof(T)] = {};

/// Copies or adds a row, as `run` says, with strides.
template <class T>
void move_row(Tape<T>& tape, typename RawCall<T>::Run run, std::size_t n, const T* from,
              std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride) {
    tape.make_call(
        {.run = run,
         .numbers = {n, static_cast<std::size_t>(from_stride), static_cast<std::size_t>(to_stride)}},
        from, to);
}

template <class T>
void run_copy(const RawCall<T>& call, T* const* addresses, Part) {
    copy_row<T>(call.numbers[0], addresses[0], static_cast<std::ptrdiff_t>(call.numbers[1]), addresses[1],
                static_cast<std::ptrdiff_t>(call.numbers[2]));
}

template <class T>
void run_add(const RawCall<T>& call, T* const* addresses, Part) {
    add_row<T>(call.numbers[0], addresses[0], static_cast<std::ptrdiff_t>(call.numbers[1]), addresses[1],
               static_cast<std::ptrdiff_t>(call.numbers[2]));
}

/// The rows of a statement's leaves, ready for its kernel.
template <class T>
class LeafRows {
public:
    LeafRows(Tape<T>& tape, std::span<const NodeIndex> leaves, const Shape& shape)
        : tape_(tape), count_(leaves.size()), rows_(shape) {
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
            T* const to = piece_of(tape_, k);
            current_[k] = to;
            if (stride == 0) {
                if (filled_from_[k] == first) continue;
                filled_from_[k] = first;
                move_row<T>(tape_, &run_copy<T>, std::min(piece, rows_.row_length()), first, 0, to, 1);
            } else {
                move_row<T>(tape_, &run_copy<T>, n, first, stride, to, 1);
            }
        }
        return current_.data();
    }

private:
    Tape<T>& tape_;
    std::size_t count_;
    Rows<2 * max_leaves + 1> rows_;
    std::array<const T*, max_leaves> data_;
    std::array<const T*, max_leaves> current_;
    std::array<const T*, max_leaves> filled_from_;
    std::array<bool, max_leaves> copied_;
    bool any_copied_ = false;
};

/// Whether all leaves lie dense in the statement's own shape, or in one that lacks only axes of length 1: then everything
/// is a single row.
template <class T>
bool all_whole(const Tape<T>& tape, std::span<const NodeIndex> leaves, const Shape& shape) {
    return std::all_of(leaves.begin(), leaves.end(), [&](NodeIndex index) {
        const Node<T>& leaf = tape.at(index);
        // What broadcasts to a shape and has as many elements has them in the same order.
        return leaf.is_dense() && (&leaf.shape == &shape || leaf.size() == element_count(shape));
    });
}

/// Those rows while they are put together.
template <class T>
class TargetRows {
public:
    explicit TargetRows(std::size_t leaves) { std::fill_n(addresses_.begin(), 2 * leaves, nullptr); }
    void add_to(std::size_t leaf, T* row, const T* sum = nullptr) {
        addresses_[2 * leaf] = row;
        addresses_[2 * leaf + 1] = sum == nullptr ? row : const_cast<T*>(sum);  // which is only read
        adds_ |= 1u << leaf;
    }
    void write_to(std::size_t leaf, T* row) {
        addresses_[2 * leaf] = row;
        addresses_[2 * leaf + 1] = const_cast<T*>(zeros<T>);  // which is only read
        adds_ &= ~(1u << leaf);
    }
    void put(std::size_t leaf, T* row, bool first, const T* sum = nullptr) {
        if (first)
            write_to(leaf, row);
        else
            add_to(leaf, row, sum);
    }
    bool writes(std::size_t leaf) const { return (adds_ >> leaf & 1u) == 0; }
    GradientRows<T> rows() const { return {addresses_.data(), adds_}; }

private:
    std::array<T*, 2 * max_leaves> addresses_;
    std::uint32_t adds_ = 0;
};

template <class T>
void evaluate(Tape<T>& tape, const StatementRecord<T>& record, std::span<const NodeIndex> leaves,
              const Shape& shape, T* out) {
    T* keep = record.kept;
    const std::size_t count = element_count(shape);
    if (count == 0) return;
    if (all_whole(tape, leaves, shape)) {
        std::array<const T*, max_leaves> rows;
        for (std::size_t k = 0; k < leaves.size(); ++k) rows[k] = tape.at(leaves[k]).value;
        return call_forward(tape, record, {count}, rows.data(), out, keep);
    }
    LeafRows<T> leaf_rows(tape, leaves, shape);
    auto& rows = leaf_rows.rows();
    rows.merge();
    leaf_rows.prepare();
    const std::size_t length = rows.row_length();
    if (rows.rank() == 2 && !leaf_rows.any_copied()) {
        std::array<std::ptrdiff_t, max_leaves> strides;
        for (std::size_t k = 0; k < leaves.size(); ++k) strides[k] = rows.outer_stride(k);
        return call_forward(tape, record, {length, rows.outer_extent(), strides.data()},
                            leaf_rows.at(0, length), out, keep);
    }
    const std::size_t step = leaf_rows.any_copied() ? piece : length;
    do {
        for (std::size_t begin = 0; begin < length; begin += step) {
            const std::size_t n = std::min(step, length - begin);
            call_forward(tape, record, {n}, leaf_rows.at(begin, n), out, keep);
            if (keep != nullptr) keep += n;
            out += n;
        }
    } while (rows.next());
}

/// Whether a call is made by this thread alone, and nobody notes it.
template <class T>
bool is_alone(Tape<T>& tape) {
    return tape.log() == nullptr && tape.threads() == 1;
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

/// Whether the elements of two leaves, of one owner, are the same ones or all different ones: pieces of a split.
template <class T>
bool are_pieces(const Node<T>& a, const Node<T>& b) {
    if (!a.is_view || !b.is_view || a.shape != b.shape || a.shape.empty()) return false;
    if (a.payload == nullptr || b.payload == nullptr || a.inputs[0] != b.inputs[0]) return false;
    const auto& x = *static_cast<const View*>(a.payload);
    const auto& y = *static_cast<const View*>(b.payload);
    if (x.kind != View::Kind::slice || y.kind != x.kind || x.axis != y.axis || x.step != 1 || y.step != 1)
        return false;
    const std::uint32_t distance = std::max(x.start, y.start) - std::min(x.start, y.start);
    return distance == 0 || distance >= a.shape[x.axis];
}

/// Whether leaves don't overlap, so that the first contribution to one may be written and not added. (The same elements
/// twice are no harm: the first one writes, the second adds.)
template <class T>
bool are_apart(const Sweep<T>& sweep, std::span<const NodeIndex> leaves) {
    for (std::size_t k = 1; k < leaves.size(); ++k) {
        const Node<T>& leaf = sweep.node(leaves[k]);
        for (std::size_t j = 0; j < k; ++j) {
            const Node<T>& other = sweep.node(leaves[j]);
            if (leaves[k] != leaves[j] && leaf.owner == other.owner && !are_pieces(leaf, other)) return false;
        }
    }
    return true;
}

/// Whether the gradient of a product may be written where its value lies, statement by statement from this one back:
/// each of those that are still to be visited, and this one, reads elements that no other one does, and reads each of
/// them before it writes there.
template <class T>
bool may_overwrite(Sweep<T>& sweep, NodeIndex statement, NodeIndex product) {
    constexpr NodeIndex nearby = 64;  // a step of a cell
    if (statement - product > nearby) return false;
    const Node<T>& value = sweep.node(product);
    std::size_t pieces = 0;
    std::uint32_t read = 0;  // of them, a bit each
    for (NodeIndex index = product + 1; index <= statement; ++index) {
        sweep.make_node(index);
        const Node<T>& node = sweep.node(index);
        if (node.recomputes) return false;  // who knows what it reads
        const std::span leaves(node.inputs, node.input_count);
        const auto is_of_value = [&](NodeIndex leaf) { return sweep.node(leaf).owner == product; };
        if (node.is_view || std::none_of(leaves.begin(), leaves.end(), is_of_value)) continue;
        if (node.rule != sweep.node(statement).rule || !are_apart(sweep, leaves)) return false;
        for (NodeIndex index_of_leaf : leaves) {
            if (!is_of_value(index_of_leaf)) continue;
            const Node<T>& leaf = sweep.node(index_of_leaf);
            const Piece part = index_of_leaf == product ? Piece{0, 1} : piece_of_split(leaf, value);
            const bool is_alone = (read >> part.number & 1u) == 0 && (pieces == 0 || pieces == part.count);
            if (part.count == 0 || !is_alone || leaf.shape != node.shape) return false;
            // A vector at the end of a row is read whole, and what follows may be another thread's.
            if (leaf.shape.back() % widest<T> != 0 && sweep.tape().threads() > 1) return false;
            pieces = part.count;
            read |= 1u << part.number;
        }
    }
    return true;
}

/// Does what is to be done where every leaf owns its elements and has the statement's shape; else nothing, and says so.
template <class T>
bool pull_single_row(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto& record = *static_cast<const StatementRecord<T>*>(node.payload);
    const Kernel<T>& kernel = *record.kernel;
    std::array<const T*, max_leaves> rows;
    std::uint32_t wanted = kernel.reached;
    for (std::size_t k = 0; k < kernel.leaves; ++k) {
        const Node<T>& leaf = sweep.node(node.inputs[k]);
        if (leaf.is_view || &leaf.shape != &node.shape) return false;
        if (leaf.is_product && sweep.releases_values()) return false;  // a place is to be found first
        rows[k] = leaf.value;
        if (!sweep.wants(node.inputs[k], leaf)) wanted &= ~(1u << k);
    }
    // What a gradient is handed over from is still read.
    const T* const dy = sweep.gradient(index);
    TargetRows<T> gradients(kernel.leaves);
    for (std::size_t k = 0; k < kernel.leaves; ++k) {
        if ((wanted >> k & 1u) == 0) continue;
        bool first = false;
        const T* sum = nullptr;
        T* const row = sweep.fresh_whole(index, node.inputs[k], first, sum);
        gradients.put(k, row, first, sum);
    }
    const RowGrid grid{node.size()};
    if (is_alone(sweep.tape()) && (record.kept != nullptr || kernel.kept == 0))
        kernel.backward(grid, rows.data(), record.constants, node.value, record.kept, record.pitch, dy,
                        gradients.rows());
    else
        call_backward(sweep.tape(), record, grid, rows.data(), node.value, record.kept, dy, gradients.rows(),
                      true);
    return true;
}

template <class T>
void pull_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto& record = *static_cast<const StatementRecord<T>*>(node.payload);
    const std::span leaves(node.inputs, node.input_count);
    const T* value = node.value;
    const T* kept = record.kept;
    const T* dy = sweep.gradient(index);
    const std::size_t count = node.size();
    if (count == 0 || pull_single_row(sweep, index)) return;
    Tape<T>& tape = sweep.tape();
    const auto wants = [&](std::size_t k) {
        return (record.kernel->reached >> k & 1u) != 0 && sweep.wants(leaves[k]);
    };

    if (sweep.releases_values()) {
        // Before any address is asked for: to find a place for one product may move others.
        for (std::size_t k = 0; k < leaves.size(); ++k) {
            if (!wants(k)) continue;
            const NodeIndex owner = sweep.gradient_owner(leaves[k]);
            sweep.place_product(owner, [&] { return may_overwrite(sweep, index, owner); });
        }
    }
    TargetRows<T> gradients(leaves.size());
    const bool may_write = are_apart(sweep, leaves);
    const auto target_of = [&](std::size_t k, bool& first) {
        first = false;
        const bool whole = may_write && sweep.node(leaves[k]).shape == node.shape;
        return whole ? sweep.fresh_target(index, leaves[k], first, true) : sweep.target(leaves[k]);
    };
    if (all_whole(tape, leaves, node.shape) && sweep.lie_as_values(leaves)) {
        std::array<const T*, max_leaves> rows;
        for (std::size_t k = 0; k < leaves.size(); ++k) {
            rows[k] = sweep.node(leaves[k]).value;
            if (!wants(k)) continue;
            bool first = false;
            const auto target = target_of(k, first);
            gradients.put(k, target.data, first, target.sum);
        }
        call_backward(tape, record, {count}, rows.data(), value, kept, dy, gradients.rows(), may_write);
        return;
    }

    LeafRows<T> leaf_rows(tape, leaves, node.shape);
    auto& rows = leaf_rows.rows();
    std::array<T*, max_leaves> targets;
    std::array<const T*, max_leaves> sums;
    std::array<std::size_t, max_leaves> target_rows;
    std::array<bool, max_leaves> first;
    for (std::size_t k = 0; k < leaves.size(); ++k) {
        targets[k] = nullptr;
        if (!wants(k)) continue;
        const auto target = target_of(k, first[k]);
        targets[k] = target.data;
        sums[k] = target.sum;
        target_rows[k] = rows.add(broadcast_strides(sweep.node(leaves[k]).shape, target.strides, node.shape));
    }
    rows.merge();
    leaf_rows.prepare();
    bool in_pieces = leaf_rows.any_copied();
    for (std::size_t k = 0; k < leaves.size(); ++k) {
        if (targets[k] != nullptr && rows.inner_stride(target_rows[k]) != 1 && rows.row_length() > 1)
            in_pieces = true;
    }
    const std::size_t length = rows.row_length();
    if (rows.rank() == 2 && !in_pieces) {
        std::array<std::ptrdiff_t, 2 * max_leaves> strides;
        for (std::size_t k = 0; k < leaves.size(); ++k) {
            strides[k] = rows.outer_stride(k);
            strides[leaves.size() + k] = targets[k] != nullptr ? rows.outer_stride(target_rows[k]) : 0;
            if (targets[k] != nullptr) gradients.put(k, targets[k], first[k], sums[k]);
        }
        call_backward(tape, record, {length, rows.outer_extent(), strides.data()}, leaf_rows.at(0, length),
                      value, kept, dy, gradients.rows(), may_write);
        return;
    }
    const std::size_t step = in_pieces ? piece : length;
    const auto offset_of = [&](std::size_t k, std::size_t begin) {
        return rows.offset(target_rows[k]) +
               static_cast<std::ptrdiff_t>(begin) * rows.inner_stride(target_rows[k]);
    };
    const auto row_at = [&](std::size_t k, std::size_t begin) { return targets[k] + offset_of(k, begin); };
    do {
        for (std::size_t begin = 0; begin < length; begin += step) {
            const std::size_t n = std::min(step, length - begin);
            for (std::size_t k = 0; k < leaves.size(); ++k) {
                if (targets[k] == nullptr) continue;
                if (first[k] || sums[k] != nullptr || rows.inner_stride(target_rows[k]) == 1 || length == 1)
                    gradients.put(k, row_at(k, begin), first[k],
                                  sums[k] == nullptr ? nullptr : sums[k] + offset_of(k, begin));
                else
                    gradients.write_to(k, piece_of(tape, max_leaves + k));
            }
            call_backward(tape, record, {n}, leaf_rows.at(begin, n), value, kept, dy, gradients.rows(),
                          may_write);
            for (std::size_t k = 0; k < leaves.size(); ++k) {
                if (targets[k] == nullptr || first[k] || !gradients.writes(k)) continue;
                move_row<T>(tape, &run_add<T>, n, piece_of(tape, max_leaves + k), 1, row_at(k, begin),
                            rows.inner_stride(target_rows[k]));
            }
            value += n;
            if (kept != nullptr) kept += n;
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

template <class T>
const void* later_record(const Node<T>& a, const Node<T>& b, std::ptrdiff_t steps, void* room) {
    static_assert(sizeof(StatementRecord<T>) <= payload_room);
    const auto& earlier = *static_cast<const StatementRecord<T>*>(a.payload);
    StatementRecord<T> record = *static_cast<const StatementRecord<T>*>(b.payload);
    if (record.kept != nullptr) record.kept += steps * (record.kept - earlier.kept);
    const bool same =
        record.kernel == earlier.kernel &&
        std::equal(record.constants, record.constants + record.kernel->constants, earlier.constants);
    return same ? new (room) StatementRecord<T>(record) : nullptr;
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
constexpr Rule<T> statement_rule{"statement", &pull<T>, &pull_values<T>, &later_record<T>};

/// Whether a step of a sequence is so large that what its ops could keep for the way back, in each step, would fill the
/// caches and more, while computing it again takes a percent or two beside the products of such a step.
template <class T>
bool saves_memory(const Tape<T>& tape, const Kernel<T>& kernel, std::size_t size) {
    constexpr std::size_t large = 4096;
    return tape.steps() > 1 && size >= large && kernel.kept <= max_computed_again;
}

}  // namespace

template <class T>
std::optional<Statement<T>> statement_at(Tape<T>& tape, NodeIndex index) {
    tape.make_node(index);
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
    auto* const indices = tape.template allocate_records<NodeIndex>(kernel.leaves);
    std::array<const T*, max_leaves> rows;
    const Shape* shape = &tape.node(statement.leaves[0]).shape;
    bool is_one_row = true, needs_gradient = false;
    for (std::size_t k = 0; k < kernel.leaves; ++k) {
        const Node<T>& leaf = tape.node(statement.leaves[k]);
        indices[k] = statement.leaves[k].index();
        rows[k] = leaf.value;
        is_one_row &= leaf.is_dense() && &leaf.shape == shape;
        needs_gradient |= leaf.needs_gradient;
    }
    Shape broadcast;
    if (!is_one_row) shape = &result_shape(statement, broadcast);
    auto* const constants = tape.template allocate_records<T>(kernel.constants);
    std::copy_n(statement.constants.begin(), kernel.constants, constants);
    const std::span<const NodeIndex> leaves(indices, kernel.leaves);

    // A kernel writes whole vectors. What it writes past the end of a row is overwritten by the next rows; behind the
    // last one there is room for it.
    const std::size_t size = element_count(*shape);
    T* const value = tape.allocate(size, widest<T>);
    const bool whole_vectors = !shape->empty() && shape->back() % widest<T> == 0;
    const std::size_t pitch = whole_vectors ? size : (size + 2 * widest<T> - 1) / widest<T> * widest<T>;
    const bool keeps =
        needs_gradient && tape.recording() && kernel.kept > 0 && !saves_memory(tape, kernel, size);
    T* const kept = keeps ? tape.allocate(kernel.kept * pitch) : nullptr;
    const auto* const record = tape.keep(StatementRecord<T>{&kernel, constants, kept, pitch});
    if (is_one_row && is_alone(tape) && !tape.has_released()) {
        if (size > 0) kernel.forward({size}, rows.data(), constants, value, kept, pitch);
        return tape.record_checked(statement_rule<T>, leaves, *shape, value, record, needs_gradient);
    }
    evaluate(tape, *record, leaves, *shape, value);
    return tape.record(statement_rule<T>, leaves, *shape, value, record);
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
    T* const values = piece_of(tape, max_leaves);
    do {
        for (std::size_t begin = 0; begin < rows.row_length(); begin += piece) {
            const std::size_t n = std::min(piece, rows.row_length() - begin);
            statement.kernel->forward({n}, leaf_rows.at(begin, n), statement.constants.data(), values,
                                      nullptr, 0);
            const std::ptrdiff_t stride = rows.inner_stride(to);
            add_row<T>(n, values, 1, target + rows.offset(to) + static_cast<std::ptrdiff_t>(begin) * stride,
                       stride);
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
