#include <algorithm>
#include <vector>

#include "autograd/contraction.hpp"
#include "autograd/gemm.hpp"
#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

using detail::as_rows;
using detail::matrix_of;
using detail::multiply;

/// Whether a product can be written there: rows of neighbours, none on top of another.
template <class T>
bool takes_rows(const MatrixView<T>& c) {
    return c.col_stride == 1 && (c.rows <= 1 || c.row_stride >= static_cast<std::ptrdiff_t>(c.cols));
}

/// Some rows or columns of a dense matrix.
struct Block {
    bool by_rows = false;
    std::size_t begin = 0;
    std::size_t count = 0;  // none if it is something else
};

/// What a matrix, or its transpose, is of its owner.
template <class T>
Block block_of(const Node<T>& matrix, const Node<T>& owner) {
    if (matrix.shape.size() != 2 || owner.shape.size() != 2) return {};
    const std::size_t rows = owner.shape[0], cols = owner.shape[1];
    if (rows < 2 || cols < 2) return {};
    const Strides strides = matrix.full_strides();
    const bool turned = strides[0] == 1;
    const std::size_t mine = matrix.shape[turned ? 1 : 0], across = matrix.shape[turned ? 0 : 1];
    if (mine < 2 || across < 2 || strides[turned ? 0 : 1] != 1 ||
        strides[turned ? 1 : 0] != static_cast<std::ptrdiff_t>(cols))
        return {};
    const auto offset = static_cast<std::size_t>(matrix.value - owner.value);
    if (mine == rows && offset + across <= cols) return {false, offset, across};
    if (across == cols && offset % cols == 0) return {true, offset / cols, mine};
    return {};
}

/// The gradient of matrix b, as a matrix, ready to be added to. If nothing was added before and b is all that its
/// owner holds, or some whole rows or columns of it, `first` says that the caller may write.
template <class T>
MatrixView<T> matrix_target(Sweep<T>& sweep, NodeIndex index, bool& first) {
    const Node<T>& node = sweep.node(index);
    const NodeIndex owner = sweep.gradient_owner(index);
    const Strides strides = node.full_strides();
    const bool repeats = std::find(strides.begin(), strides.end(), 0) != strides.end();
    if (node.size() == sweep.node(owner).size() && owner == node.owner && !repeats) {
        T* data = sweep.whole_target(owner, first);
        return *as_rows(data + (node.value - sweep.node(owner).value), node.shape, strides);
    }
    if (owner == node.owner) {
        const Block block = block_of(node, sweep.node(owner));
        if (block.count > 0) {
            T* data = sweep.block_target(owner, block.by_rows, block.begin, block.count, first);
            return *as_rows(data + (node.value - sweep.node(owner).value), node.shape, strides);
        }
    }
    first = false;
    const auto target = sweep.target(index);
    return *as_rows(target.data, node.shape, target.strides);
}

/// c = a b + beta c, shared by threads: the rows of c are dealt out, or its columns if those are more. Products by a packed
/// copy of b have the same bits in parts; what BLAS multiplies stays whole.
template <class T>
void multiply_together(Tape<T>& tape, const MatrixView<const T>& a, const MatrixView<const T>& b, T beta,
                       const MatrixView<T>& c) {
    constexpr std::size_t smallest_part = std::size_t{1} << 22;
    const bool by_rows = c.rows >= c.cols;
    const std::size_t extent = by_rows ? c.rows : c.cols;
    const std::size_t size = c.rows * a.cols * c.cols;
    Work work{size / 100, std::min(size / smallest_part, extent / 64)};
    const std::size_t least = extent / tape.team().parts(work);
    const auto is_packed = [&](std::size_t rows, std::size_t columns) {
        return packing_pays<T>(rows, b.rows, columns, 1, b.col_stride != 1);
    };
    if (!is_packed(c.rows, c.cols) || !is_packed(by_rows ? least : c.rows, by_rows ? c.cols : least))
        work = {};
    tape.team().run(work, [&](Part part) {
        const std::size_t begin = part.begin(extent);
        const std::size_t count = part.end(extent) - begin;
        if (by_rows)
            gemm<T>(a.row_block(begin, count), b, beta, c.row_block(begin, count));
        else
            gemm<T>(a, b.column_block(begin, count), beta, c.column_block(begin, count));
    });
}

/// db += aᵀ dy, for a gradient that lies in either order.
template <class T>
void add_matrix_gradient(Sweep<T>& sweep, NodeIndex b, MatrixView<const T> a, MatrixView<const T> dy) {
    bool first = false;
    const MatrixView<T> db = matrix_target(sweep, b, first);
    const T beta = first ? T(0) : T(1);
    if (takes_rows(db))
        multiply_together<T>(sweep.tape(), a.transposed(), dy, beta, db);
    else if (takes_rows(db.transposed()))
        multiply_together<T>(sweep.tape(), dy.transposed(), a, beta, db.transposed());
    else {
        // Neither rows nor columns lie side by side: a view with steps, or broadcast.
        std::vector<T> product(db.rows * db.cols);
        gemm<T>(a.transposed(), dy, T(0), MatrixView<T>(product.data(), db.rows, db.cols));
        const Shape shape{db.rows, db.cols};
        add_strided(shape, static_cast<const T*>(product.data()), dense_strides(shape), db.data,
                    Strides{db.row_stride, db.col_stride});
    }
}

/// da += dy bᵀ.
template <class T>
void add_left_gradient(Sweep<T>& sweep, NodeIndex a, MatrixView<const T> dy, MatrixView<const T> b,
                       NodeIndex b_owner, std::size_t uses) {
    const Node<T>& node = sweep.node(a);
    bool first = false;
    MatrixView<T> da;
    if (sweep.gradient_owner(a) == a) {
        da = *as_rows(sweep.whole_target(a, first), node.shape, dense_strides(node.shape));
    } else {
        const auto target = sweep.target(a);
        const auto rows = as_rows(target.data, node.shape, target.strides);
        if (!rows || !takes_rows(*rows)) {
            sweep.tape().forbid_repeating();
            std::vector<T> product(dy.rows * b.rows);
            gemm<T>(dy, b.transposed(), T(0), MatrixView<T>(product.data(), dy.rows, b.rows));
            add_strided(node.shape, static_cast<const T*>(product.data()), dense_strides(node.shape),
                        target.data, target.strides);
            return;
        }
        da = *rows;
    }
    multiply(sweep.tape(), dy, b.transposed(), b_owner, uses, T(first ? 0 : 1), da);
}

/// Whether this node's products by its matrices may wait for the rest of its chunk: their gradients must go straight
/// into the owners, where they are flushed.
template <class T>
bool may_defer(Sweep<T>& sweep, const ProductSite<T>& site, const Node<T>& node) {
    for (std::size_t j = 0; j < site.product_count; ++j) {
        const NodeIndex b = node.inputs[2 * j + 1];
        if (sweep.wants(b) && sweep.gradient_owner(b) != sweep.node(b).owner) return false;
    }
    if (site.hoisted == max_products) return true;
    if (site.bias != no_node && sweep.gradient_owner(site.bias) != sweep.node(site.bias).owner) return false;
    const NodeIndex a = node.inputs[2 * site.hoisted];
    return !sweep.wants(a) || sweep.gradient_owner(a) == sweep.node(site.sequence).owner;
}

/// Some members of a chunk whose left operands lie one below the other, as one matrix.
template <class T>
struct LeftOperands {
    std::size_t count = 1;
    MatrixView<const T> matrix{};
};

/// As many as there are from slot `begin` on, before `end`.
template <class T>
LeftOperands<T> left_operands(Tape<T>& tape, const ProductChunk<T>& chunk, std::size_t begin, std::size_t end,
                              std::size_t j) {
    const auto operand = [&](std::size_t slot) {
        const NodeIndex index = tape.input_at(chunk.members[slot], 2 * j);
        MatrixView<const T> step = matrix_of(tape.like(index));
        step.data = tape.value_at(index);
        return step;
    };
    LeftOperands<T> result{.matrix = operand(begin)};
    MatrixView<const T>& matrix = result.matrix;
    const std::size_t rows = matrix.rows;
    const auto is_dense = [rows](const MatrixView<const T>& m) {
        return m.col_stride == 1 && (rows == 1 || m.row_stride == static_cast<std::ptrdiff_t>(m.cols));
    };
    if (!is_dense(matrix)) return result;
    matrix.row_stride = static_cast<std::ptrdiff_t>(matrix.cols);
    while (begin + result.count < end) {
        const std::size_t slot = begin + result.count;
        const MatrixView<const T> step = operand(slot);
        const std::size_t size = rows * matrix.cols;
        if (!is_dense(step) || step.data != matrix.data + result.count * size) break;
        // Within a loop operands keep their distance.
        std::size_t even = tape.even_steps(std::span(chunk.members + slot, end - slot));
        if (even > 2 && operand(slot + 1).data != step.data + size) even = 1;
        result.count += even > 2 ? even : 1;
    }
    matrix.rows = rows * result.count;
    return result;
}

/// db += Σ aᵀ dy over members of a chunk: by one or two products if no more than one gap is between
/// their left operands, else by one of a copy without gaps.
template <class T>
void add_matrix_gradients(Sweep<T>& sweep, NodeIndex b, const ProductChunk<T>& chunk, std::size_t begin,
                          std::size_t end, std::size_t j, MatrixView<const T> dy) {
    Tape<T>& tape = sweep.tape();
    const std::size_t rows = dy.rows / (end - begin);
    const LeftOperands<T> first = left_operands(tape, chunk, begin, end, j);
    const std::size_t middle = begin + first.count;
    LeftOperands<T> rest{.count = 0};
    if (middle < end) rest = left_operands(tape, chunk, middle, end, j);
    if (middle + rest.count == end) {
        add_matrix_gradient(sweep, b, first.matrix, dy.row_block(0, first.count * rows));
        if (middle == end) return;
        const std::size_t rest_begin = first.count * rows;
        return add_matrix_gradient(sweep, b, rest.matrix, dy.row_block(rest_begin, dy.rows - rest_begin));
    }
    const std::size_t inner = first.matrix.cols;
    const Pooled<T> copy(tape.gradients(), dy.rows * inner);
    for (std::size_t slot = begin; slot < end;) {
        const auto [count, a] = left_operands(tape, chunk, slot, end, j);
        const Shape shape{a.rows, a.cols};
        copy_strided<T>(shape, a.data, Strides{a.row_stride, a.col_stride},
                        copy.data() + (slot - begin) * rows * inner, dense_strides(shape));
        slot += count;
    }
    add_matrix_gradient(sweep, b, MatrixView<const T>(copy.data(), dy.rows, inner), dy);
}

}  // namespace

template <class T>
void flush_chunk(Sweep<T>& sweep, std::size_t number) {
    Tape<T>& tape = sweep.tape();
    tape.forbid_repeating();
    const LogInto<T> nothing_noted(tape, nullptr);
    const ProductChunk<T>& chunk = tape.products().chunks[number];
    const ProductSite<T> site = tape.products().sites[chunk.site];
    auto& state = sweep.chunk_state(number);
    const std::size_t slot_size = site.rows * site.cols;
    const bool all_wait = state.visited == chunk.slots;

    for (std::size_t begin = 0; begin < chunk.slots; ++begin) {
        if (!all_wait && !state.waiting[begin]) continue;
        std::size_t end = all_wait ? chunk.slots : begin + 1;
        while (end < chunk.slots && state.waiting[end]) ++end;
        const std::size_t rows = (end - begin) * site.rows;
        const MatrixView<const T> dy(state.gradients + begin * slot_size, rows, site.cols);
        const NodeIndex any = chunk.members[begin];
        const bool wants_sequence =
            site.hoisted < max_products && sweep.wants(tape.input_at(any, 2 * site.hoisted));
        if (site.bias != no_node && sweep.wants(site.bias)) {
            sweep.add_dense(site.bias, Shape{rows, site.cols}, dy.data);
        }

        for (std::size_t j = 0; j < site.product_count; ++j) {
            // Of a view in each step any will do: all are of the same elements.
            const NodeIndex b = tape.index_like(tape.input_at(any, 2 * j + 1));
            const MatrixView<const T> matrix = site.matrices[j];
            const std::size_t inner = matrix.rows;
            const bool hoisted = j == site.hoisted;
            if (hoisted && wants_sequence) {
                const std::size_t step = chunk.first_step + begin;
                bool first = false;
                T* const data = sweep.gradient_owner(site.sequence) == site.sequence
                                    ? sweep.steps_target(site.sequence, step, step + (end - begin), first)
                                    : sweep.target(site.sequence).data + step * site.rows * inner;
                const MatrixView<T> dxs(data, rows, inner);
                const std::size_t chunks =
                    (tape.at(site.sequence).shape[0] + site.steps_per_chunk - 1) / site.steps_per_chunk;
                multiply(tape, dy, matrix.transposed(), site.owners[j], chunks, T(first ? 0 : 1), dxs);
            }
            if (!sweep.wants(b)) continue;
            if (hoisted) {
                const T* xs = tape.at(site.sequence).value + (chunk.first_step + begin) * site.rows * inner;
                add_matrix_gradient(sweep, b, MatrixView<const T>(xs, rows, inner), dy);
            } else {
                add_matrix_gradients(sweep, b, chunk, begin, end, j, dy);
            }
        }
        begin = end;
    }
    sweep.release_chunk(number);
}

namespace {

template <class T>
void pull_affine_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto& record = *static_cast<const ProductRecord*>(node.payload);
    const ProductChunk<T>& chunk = sweep.tape().products().chunks[record.place.chunk];
    const ProductSite<T>& site = sweep.tape().products().sites[chunk.site];
    const T* const gradient = sweep.gradient(index);
    const MatrixView<const T> dy(gradient, site.rows, site.cols);

    auto& state = sweep.chunk_state(record.place.chunk);
    const bool defer = state.waiting[record.place.slot] && may_defer(sweep, site, node);
    bool bias_waits = defer && site.bias != no_node;
    for (std::size_t k = 0; k < record.addend_count; ++k) {
        const NodeIndex addend = node.inputs[2 * record.product_count + k];
        if (bias_waits && (addend == site.bias || sweep.node(addend).is_same_as(sweep.node(site.bias)))) {
            bias_waits = false;  // once
            continue;
        }
        if (sweep.wants(addend)) sweep.add_dense(addend, node.shape, gradient);
    }
    for (std::size_t j = 0; j < record.product_count; ++j) {
        const NodeIndex a = node.inputs[2 * j];
        const NodeIndex b = node.inputs[2 * j + 1];
        if (sweep.wants(a) && !(defer && j == site.hoisted)) {
            add_left_gradient(sweep, a, dy, site.matrices[j], sweep.node(b).owner, site.uses);
        }
        if (sweep.wants(b) && !defer) add_matrix_gradient(sweep, b, matrix_of(sweep.node(a)), dy);
    }
    if (!defer)
        state.waiting.reset(record.place.slot);
    else if (++state.visited == chunk.member_count)
        flush_chunk(sweep, record.place.chunk);
}

template <class T>
void pull_affine(Pull<T>& node) {
    const auto& record = node.template payload<ProductRecord>();
    const Var<T> dy = node.gradient();
    const auto flat = [](const Var<T>& x) {
        return reshape(x, {-1, static_cast<std::ptrdiff_t>(x.shape().back())});
    };
    for (std::size_t j = 0; j < record.product_count; ++j) {
        const Var<T> a = node.input(2 * j);
        const Var<T> b = node.input(2 * j + 1);
        if (node.wants(2 * j)) {
            const Var<T> da = matmul(flat(dy), transpose(b));
            node.add(2 * j, reshape_to(da, a.shape()));
        }
        if (node.wants(2 * j + 1)) node.add_product(2 * j + 1, flat(a), flat(dy));
    }
    for (std::size_t k = 0; k < record.addend_count; ++k) node.add(2 * record.product_count + k, dy);
}

template <class T>
constexpr Rule<T> sum_of_products_rule{"matmul", &pull_affine<T>, &pull_affine_values<T>, &same_payload<T>};

}  // namespace

template <class T>
void flush_products(Sweep<T>& sweep, NodeIndex index) {
    const Products<T>& products = sweep.tape().products();
    for (std::size_t number = 0; number < sweep.chunk_count(); ++number) {
        const auto& state = sweep.chunk_state(number);
        if (state.gradients == nullptr || state.visited == 0) continue;
        const ProductSite<T>& site = products.sites[products.chunks[number].site];
        bool feeds = site.sequence != no_node && sweep.node(site.sequence).owner == index;
        feeds |= site.bias != no_node && sweep.node(site.bias).owner == index;
        for (std::size_t j = 0; j < site.product_count; ++j) feeds |= site.owners[j] == index;
        if (feeds) flush_chunk(sweep, number);
    }
}

template <class T>
void flush_chunks_from(Sweep<T>& sweep, std::size_t chunk) {
    for (; chunk < sweep.chunk_count(); ++chunk) {
        if (sweep.chunk_state(chunk).visited > 0) flush_chunk(sweep, chunk);
    }
}

template <class T>
const Rule<T>& detail::affine_rule() {
    return sum_of_products_rule<T>;
}

#define XTAPE_INSTANTIATE(T)                                 \
    template void flush_products(Sweep<T>&, NodeIndex);      \
    template void flush_chunk(Sweep<T>&, std::size_t);       \
    template void flush_chunks_from(Sweep<T>&, std::size_t); \
    template const Rule<T>& detail::affine_rule<T>();
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
