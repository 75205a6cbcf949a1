#include <algorithm>
#include <optional>
#include <vector>

#include "autograd/contraction.hpp"
#include "autograd/gemm.hpp"
#include "autograd/strided.hpp"
#include "autograd/value_sweep.hpp"
#include "autograd/views.hpp"

// Sums of products Σ_j a_j b_j + addends as one node. Forward, every product is accumulated into the node's value.
// Backward, each a_j receives dy b_jᵀ at once, while the dy of many uses of the same b_j wait side by side in a chunk,
// see products.hpp, until b_j receives a_jᵀ dy for all of them as one product.

namespace xtape {
namespace {

constexpr std::size_t rows_per_chunk = 256;
constexpr std::size_t expected_uses = 16;  // of a matrix that is used a second time

/// A tensor's leading axes as the rows of a matrix, if strides allow it.
template <class T>
std::optional<MatrixView<T>> as_rows(T* data, const Shape& shape, const Strides& strides) {
    const std::size_t cols = shape.back();
    if (shape.size() == 1) return MatrixView<T>(data, 1, cols, static_cast<std::ptrdiff_t>(cols), strides[0]);
    if (shape.size() == 2) return MatrixView<T>(data, shape[0], cols, strides[0], strides[1]);
    Shape leading = shape;
    Strides leading_strides = strides;
    leading.erase(shape.size() - 1);
    leading_strides.erase(shape.size() - 1);
    const std::size_t rows = element_count(leading);
    const auto flat = reshaped_strides(leading, leading_strides, Shape{rows});
    if (!flat) return std::nullopt;
    return MatrixView<T>(data, rows, cols, (*flat)[0], strides.back());
}

template <class T>
MatrixView<const T> matrix_of(const Node<T>& node) {
    if (node.shape.size() == 2) {
        const bool dense = node.is_dense();
        return {node.value, node.shape[0], node.shape[1],
                dense ? static_cast<std::ptrdiff_t>(node.shape[1]) : (*node.strides)[0],
                dense ? 1 : (*node.strides)[1]};
    }
    return *as_rows<const T>(node.value, node.shape, node.full_strides());
}

/// Whether a product can be written there: rows of neighbours, none on top of another.
template <class T>
bool takes_rows(const MatrixView<T>& c) {
    return c.col_stride == 1 && (c.rows <= 1 || c.row_stride >= static_cast<std::ptrdiff_t>(c.cols));
}

template <class T>
bool same(const MatrixView<const T>& a, const MatrixView<const T>& b) {
    return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
           a.col_stride == b.col_stride;
}

// ---- packed weights ---------------------------------------------------------------------------------------------

/// c = a b + beta c, by the packed form of b where that pays for the `uses` products expected.
template <class T>
void multiply(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
              std::size_t uses, T beta, MatrixView<T> c) {
    auto& packed = tape.products().packed;
    const auto found = std::find_if(packed.begin(), packed.end(), [&](const auto& entry) {
        return entry.owner == b_owner && same(entry.matrix, b);
    });
    if (found != packed.end()) return gemm(a, found->packed, beta, c);
    if (uses < 2 || !packing_pays<T>(a.rows, b.rows, b.cols, uses, b.col_stride != 1))
        return gemm<T>(a, b, beta, c);
    const std::size_t bytes = packed_size<T>(b.rows, b.cols) * sizeof(T);
    auto* memory = reinterpret_cast<T*>(tape.gradients().allocate(bytes));
    packed.push_back({b, b_owner, pack(b, memory), bytes});
    gemm(a, packed.back().packed, beta, c);
}

// ---- forward ----------------------------------------------------------------------------------------------------

template <class T>
class AffineRecorder {
public:
    AffineRecorder(Tape<T>& tape, const Affine<T>& affine, const Shape& shape)
        : tape_(tape), affine_(affine), shape_(shape), cols_(shape.back()) {
        for (std::size_t j = 0; j < affine.product_count; ++j) {
            const Node<T>& a = tape.node(affine.products[j].a);
            const Node<T>& b = tape.node(affine.products[j].b);
            lefts_[j] = matrix_of(a);
            rights_[j] = matrix_of(b);
            if (hoisted_ == max_products) find_sequence(j, a);
        }
        rows_ = lefts_[0].rows;
        for (std::size_t k = 0; k < affine.addend_count && hoisted_ < max_products; ++k) {
            const Shape& addend = tape.node(affine.addends[k]).shape;
            if (addend.size() != 1 || addend[0] != cols_) continue;
            bias_ = affine.addends[k].index();
            break;
        }
    }

    Var<T> record() {
        Products<T>& products = tape_.products();
        const std::size_t site_number = find_site();
        const auto place = find_place(site_number);
        ProductSite<T>& site = products.sites[site_number];
        ProductChunk<T>& chunk = products.chunks[place.chunk];

        T* value = hoisted_ < max_products ? hoisted_value(site, chunk, place.slot) : nullptr;
        const bool product_in = value != nullptr;
        bool bias_in = product_in && bias_ != no_node;
        if (value == nullptr) value = tape_.allocate(rows_ * cols_);

        // What an addend has put there, products are added to; otherwise the first product writes.
        bool written = product_in;
        for (std::size_t k = 0; k < affine_.addend_count; ++k) {
            if (bias_in && affine_.addends[k].index() == bias_) {
                bias_in = false;  // once
                continue;
            }
            const Node<T>& addend = tape_.node(affine_.addends[k]);
            const Strides from = broadcast_strides(addend.shape, addend.full_strides(), shape_);
            if (written)
                add_strided<T>(shape_, addend.value, from, value, dense_strides(shape_));
            else
                copy_strided<T>(shape_, addend.value, from, value, dense_strides(shape_));
            written = true;
        }
        for (std::size_t j = 0; j < affine_.product_count; ++j) {
            if (product_in && j == hoisted_) continue;
            multiply(tape_, lefts_[j], rights_[j], tape_.node(affine_.products[j].b).owner,
                     site.uses == 0 ? 1 : expected_uses, T(written), MatrixView<T>(value, rows_, cols_));
            written = true;
        }
        return append(site, chunk, place, value);
    }

private:
    /// If a is a step of a dense sequence (steps, ..., K): the sequence, and which step.
    void find_sequence(std::size_t j, const Node<T>& a) {
        if (!a.is_view || a.payload == nullptr) return;
        const auto& view = *static_cast<const View*>(a.payload);
        if (view.kind != View::Kind::select || view.axis != 0) return;
        const Node<T>& sequence = tape_.at(a.inputs[0]);
        if (!sequence.is_dense() || sequence.shape[0] < 2) return;
        hoisted_ = j;
        sequence_ = a.inputs[0];
        step_ = view.start;
    }

    /// The site of this sum of products: the one that was used after the last one, in the best case.
    std::size_t find_site() {
        Products<T>& products = tape_.products();
        const std::size_t count = products.sites.size();
        for (std::size_t k = 1; k <= count; ++k) {
            const std::size_t number =
                products.last_site + k < count ? products.last_site + k : products.last_site + k - count;
            const ProductSite<T>& site = products.sites[number];
            if (!matches(site)) continue;
            if (hoisted_ < max_products && taken(site)) {
                // The same step again: look once more, as if it belonged to no sequence.
                hoisted_ = max_products;
                sequence_ = bias_ = no_node;
                return find_site();
            }
            products.last_site = number;
            return number;
        }
        return new_site();
    }

    std::size_t new_site() {
        Products<T>& products = tape_.products();
        ProductSite<T> site;
        site.rows = rows_;
        site.cols = cols_;
        site.product_count = affine_.product_count;
        site.matrices = rights_;
        site.hoisted = hoisted_;
        site.sequence = sequence_;
        site.bias = bias_;
        site.steps_per_chunk = (rows_per_chunk + rows_ - 1) / std::max<std::size_t>(rows_, 1);
        if (hoisted_ < max_products) {
            const std::size_t blocks =
                (tape_.at(sequence_).shape[0] + site.steps_per_chunk - 1) / site.steps_per_chunk;
            site.chunk_of_block = tape_.template allocate_records<std::size_t>(blocks);
            std::fill_n(site.chunk_of_block, blocks, std::size_t{0});
            tape_.at(tape_.at(sequence_).owner).feeds_products = true;
        }
        for (std::size_t j = 0; j < affine_.product_count; ++j) {
            tape_.at(tape_.node(affine_.products[j].b).owner).feeds_products = true;
        }
        products.sites.push_back(site);
        products.last_site = products.sites.size() - 1;
        return products.last_site;
    }

    bool matches(const ProductSite<T>& site) const {
        if (site.closed || site.rows != rows_ || site.cols != cols_ || site.sequence != sequence_ ||
            site.product_count != affine_.product_count || site.hoisted != hoisted_ || site.bias != bias_) {
            return false;
        }
        for (std::size_t j = 0; j < site.product_count; ++j) {
            if (!same(site.matrices[j], rights_[j])) return false;
        }
        return true;
    }

    bool taken(const ProductSite<T>& site) const {
        const std::size_t chunk = site.chunk_of_block[step_ / site.steps_per_chunk];
        return chunk > 0 &&
               tape_.products().chunks[chunk - 1].members[step_ % site.steps_per_chunk] != no_node;
    }

    ProductRecord::Place find_place(std::size_t site_number) {
        Products<T>& products = tape_.products();
        ProductSite<T>& site = products.sites[site_number];
        const std::size_t steps = site.steps_per_chunk;
        const std::size_t position = hoisted_ < max_products ? step_ : site.uses;
        const std::size_t slot = position % steps;
        std::size_t* chunk =
            hoisted_ < max_products ? &site.chunk_of_block[position / steps] : &site.open_chunk;
        if (hoisted_ == max_products && slot == 0) *chunk = 0;
        if (*chunk == 0) {
            ProductChunk<T> fresh;
            fresh.site = site_number;
            fresh.first_step = position - slot;
            fresh.members = tape_.template allocate_records<NodeIndex>(steps);
            std::fill_n(fresh.members, steps, no_node);
            products.chunks.push_back(fresh);
            *chunk = products.chunks.size();
        }
        return {static_cast<std::uint32_t>(*chunk - 1), static_cast<std::uint32_t>(slot)};
    }

    /// Bias + product of this step, if it was or now is computed with its block; else null. A block is computed from
    /// the second use of a sequence on: a step that is used alone stays alone.
    T* hoisted_value(const ProductSite<T>& site, ProductChunk<T>& chunk, std::size_t slot) {
        const bool ready = chunk.values != nullptr && slot >= chunk.ready_begin && slot < chunk.ready_end;
        if (!ready) {
            if (site.uses == 0 || chunk.values != nullptr) return nullptr;
            const bool forward = step_ > site.last_step;
            const std::size_t left = tape_.at(sequence_).shape[0] - chunk.first_step;
            chunk.ready_begin = forward ? slot : 0;
            chunk.ready_end = forward ? std::min(site.steps_per_chunk, left) : slot + 1;
            compute_block(chunk);
        }
        return chunk.values + slot * rows_ * cols_;
    }

    void compute_block(ProductChunk<T>& chunk) {
        const std::size_t steps = chunk.ready_end - chunk.ready_begin;
        const std::size_t slot_size = rows_ * cols_;
        T* const first = tape_.allocate(steps * slot_size);
        chunk.values = first - chunk.ready_begin * slot_size;
        const MatrixView<T> y(first, steps * rows_, cols_);
        if (bias_ != no_node) {
            const Node<T>& bias = tape_.at(bias_);
            copy_strided<T>(Shape{y.rows, y.cols}, bias.value, Strides{0, bias.full_strides()[0]}, first,
                            dense_strides(Shape{y.rows, y.cols}));
        }
        const MatrixView<const T> b = rights_[hoisted_];
        const T* const xs =
            tape_.at(sequence_).value + (chunk.first_step + chunk.ready_begin) * rows_ * b.rows;
        const std::size_t blocks_left = (tape_.at(sequence_).shape[0] - chunk.first_step) / steps;
        multiply(tape_, MatrixView<const T>(xs, steps * rows_, b.rows), b,
                 tape_.node(affine_.products[hoisted_].b).owner, blocks_left, T(bias_ != no_node), y);
    }

    Var<T> append(ProductSite<T>& site, ProductChunk<T>& chunk, ProductRecord::Place place, T* value) {
        const std::size_t count = 2 * affine_.product_count + affine_.addend_count;
        auto* const inputs = tape_.template allocate_records<NodeIndex>(count);
        for (std::size_t j = 0; j < affine_.product_count; ++j) {
            inputs[2 * j] = affine_.products[j].a.index();
            inputs[2 * j + 1] = affine_.products[j].b.index();
            tape_.at(tape_.at(inputs[2 * j]).owner).is_multiplied = true;
        }
        for (std::size_t k = 0; k < affine_.addend_count; ++k) {
            inputs[2 * affine_.product_count + k] = affine_.addends[k].index();
        }
        const ProductRecord record{place, static_cast<std::uint16_t>(affine_.product_count),
                                   static_cast<std::uint16_t>(affine_.addend_count)};
        const Var<T> y = tape_.record(rule(), std::span<const NodeIndex>(inputs, count), shape_, value,
                                      tape_.keep(record));
        tape_.at(y.index()).is_product = true;
        chunk.members[place.slot] = y.index();
        chunk.slots = std::max<std::size_t>(chunk.slots, place.slot + 1);
        ++chunk.member_count;
        ++site.uses;
        site.last_step = step_;
        tape_.products().members_end = y.index() + 1;
        return y;
    }

    static const Rule<T>& rule();

    Tape<T>& tape_;
    const Affine<T>& affine_;
    const Shape& shape_;
    std::size_t rows_ = 0;
    std::size_t cols_;
    std::array<MatrixView<const T>, max_products> lefts_;   // the a_j
    std::array<MatrixView<const T>, max_products> rights_;  // the b_j
    std::size_t hoisted_ = max_products;
    NodeIndex sequence_ = no_node;
    NodeIndex bias_ = no_node;
    std::size_t step_ = 0;
};

// ---- backward ---------------------------------------------------------------------------------------------------

/// The gradient of matrix b, as a matrix, ready to be added to. If nothing was added before and b is all that its
/// owner holds, `first` says that the caller may write.
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
    first = false;
    const auto target = sweep.target(index);
    return *as_rows(target.data, node.shape, target.strides);
}

/// db += aᵀ dy, for a gradient that lies in either order.
template <class T>
void add_matrix_gradient(Sweep<T>& sweep, NodeIndex b, MatrixView<const T> a, MatrixView<const T> dy) {
    bool first = false;
    const MatrixView<T> db = matrix_target(sweep, b, first);
    const T beta = first ? T(0) : T(1);
    if (takes_rows(db))
        gemm<T>(a.transposed(), dy, beta, db);
    else if (takes_rows(db.transposed()))
        gemm<T>(dy.transposed(), a, beta, db.transposed());
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
    const NodeIndex a = node.inputs[2 * site.hoisted];
    return !sweep.wants(a) || sweep.gradient_owner(a) == sweep.node(site.sequence).owner;
}

template <class T>
void flush_chunk(Sweep<T>& sweep, std::size_t number) {
    Tape<T>& tape = sweep.tape();
    const ProductChunk<T>& chunk = tape.products().chunks[number];
    const ProductSite<T> site = tape.products().sites[chunk.site];
    auto& state = sweep.chunk_state(number);
    const std::size_t slot_size = site.rows * site.cols;
    const auto waiting = [&](std::size_t slot) {
        return chunk.members[slot] != no_node && sweep.is_waiting(chunk.members[slot]);
    };

    for (std::size_t begin = 0; begin < chunk.slots; ++begin) {
        if (!waiting(begin)) continue;
        std::size_t end = begin + 1;
        while (end < chunk.slots && waiting(end)) ++end;
        const std::size_t rows = (end - begin) * site.rows;
        const MatrixView<const T> dy(state.gradients + begin * slot_size, rows, site.cols);
        const Node<T>& any = tape.at(chunk.members[begin]);

        for (std::size_t j = 0; j < site.product_count; ++j) {
            const NodeIndex a = any.inputs[2 * j];
            const NodeIndex b = any.inputs[2 * j + 1];
            const MatrixView<const T> matrix = site.matrices[j];
            const std::size_t inner = matrix.rows;
            const bool hoisted = j == site.hoisted;
            if (hoisted && sweep.wants(a)) {
                const auto target = sweep.target(site.sequence);
                const MatrixView<T> dxs(target.data + (chunk.first_step + begin) * site.rows * inner, rows,
                                        inner);
                gemm<T>(dy, matrix.transposed(), T(1), dxs);
            }
            if (!sweep.wants(b)) continue;
            if (hoisted) {
                const T* xs = tape.at(site.sequence).value + (chunk.first_step + begin) * site.rows * inner;
                add_matrix_gradient(sweep, b, MatrixView<const T>(xs, rows, inner), dy);
            } else if (end - begin == 1) {
                add_matrix_gradient(sweep, b, matrix_of(tape.at(a)), dy);
            } else {
                const std::size_t bytes = rows * inner * sizeof(T);
                auto* gathered = reinterpret_cast<T*>(tape.gradients().allocate(bytes));
                for (std::size_t slot = begin; slot < end; ++slot) {
                    const MatrixView<const T> step =
                        matrix_of(tape.at(tape.at(chunk.members[slot]).inputs[2 * j]));
                    copy_strided<T>(Shape{step.rows, step.cols}, step.data,
                                    Strides{step.row_stride, step.col_stride},
                                    gathered + (slot - begin) * site.rows * inner,
                                    dense_strides(Shape{step.rows, step.cols}));
                }
                add_matrix_gradient(sweep, b, MatrixView<const T>(gathered, rows, inner), dy);
                tape.gradients().release(reinterpret_cast<std::byte*>(gathered), bytes);
            }
        }
        begin = end;
    }
    sweep.release_chunk(number);
}

template <class T>
void pull_affine_values(Sweep<T>& sweep, NodeIndex index) {
    const Node<T>& node = sweep.node(index);
    const auto& record = *static_cast<const ProductRecord*>(node.payload);
    const ProductChunk<T>& chunk = sweep.tape().products().chunks[record.place.chunk];
    const ProductSite<T>& site = sweep.tape().products().sites[chunk.site];
    const T* const gradient = sweep.gradient(index);
    const MatrixView<const T> dy(gradient, site.rows, site.cols);

    for (std::size_t k = 0; k < record.addend_count; ++k) {
        const NodeIndex addend = node.inputs[2 * record.product_count + k];
        if (sweep.wants(addend)) sweep.add_dense(addend, node.shape, gradient);
    }
    const bool defer = sweep.is_waiting(index) && may_defer(sweep, site, node);
    for (std::size_t j = 0; j < record.product_count; ++j) {
        const NodeIndex a = node.inputs[2 * j];
        const NodeIndex b = node.inputs[2 * j + 1];
        if (sweep.wants(a) && !(defer && j == site.hoisted)) {
            add_left_gradient(sweep, a, dy, site.matrices[j], sweep.node(b).owner, site.uses);
        }
        if (sweep.wants(b) && !defer) add_matrix_gradient(sweep, b, matrix_of(sweep.node(a)), dy);
    }
    if (!defer) {
        sweep.stop_waiting(index);
    } else if (++sweep.chunk_state(record.place.chunk).visited == chunk.member_count) {
        flush_chunk(sweep, record.place.chunk);
    }
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
constexpr Rule<T> affine_rule{"matmul", &pull_affine<T>, &pull_affine_values<T>};

template <class T>
const Rule<T>& AffineRecorder<T>::rule() {
    return affine_rule<T>;
}

}  // namespace

template <class T>
void flush_products(Sweep<T>& sweep, NodeIndex index) {
    const Products<T>& products = sweep.tape().products();
    for (std::size_t number = 0; number < sweep.chunk_count(); ++number) {
        const auto& state = sweep.chunk_state(number);
        if (state.gradients == nullptr || state.visited == 0) continue;
        const ProductSite<T>& site = products.sites[products.chunks[number].site];
        const ProductChunk<T>& chunk = products.chunks[number];
        const Node<T>& member = sweep.node(*std::find_if(chunk.members, chunk.members + chunk.slots,
                                                         [](NodeIndex node) { return node != no_node; }));
        bool feeds = site.sequence != no_node && sweep.node(site.sequence).owner == index;
        for (std::size_t j = 0; j < site.product_count; ++j) {
            feeds |= sweep.node(member.inputs[2 * j + 1]).owner == index;
        }
        if (feeds) flush_chunk(sweep, number);
    }
}

template <class T>
Var<T> record_affine(Tape<T>& tape, const Affine<T>& affine, const Shape& shape) {
    return AffineRecorder<T>(tape, affine, shape).record();
}

#define XTAPE_INSTANTIATE(T)                            \
    template void flush_products(Sweep<T>&, NodeIndex); \
    template Var<T> record_affine(Tape<T>&, const Affine<T>&, const Shape&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
