#include "autograd/contraction.hpp"

#include <algorithm>

#include "autograd/gemm.hpp"
#include "autograd/strided.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

using detail::matrix_of;
using detail::multiply;

constexpr std::size_t rows_per_chunk = 256;
constexpr std::size_t expected_uses = 16;  // of a matrix that is used a second time

template <class T>
bool same(const MatrixView<const T>& a, const MatrixView<const T>& b) {
    return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
           a.col_stride == b.col_stride;
}

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
        const MatrixView<const T> b = rights_[hoisted_];
        const T* const xs =
            tape_.at(sequence_).value + (chunk.first_step + chunk.ready_begin) * rows_ * b.rows;
        const MatrixView<const T> a(xs, y.rows, b.rows);
        const NodeIndex owner = tape_.node(affine_.products[hoisted_].b).owner;
        const std::size_t blocks_left = (tape_.at(sequence_).shape[0] - chunk.first_step) / steps;
        if (bias_ == no_node) return multiply(tape_, a, b, owner, blocks_left, T(0), y);

        const Node<T>& bias = tape_.at(bias_);
        const PackedMatrix<T>* packed = detail::packed_form(tape_, b, owner, y.rows, blocks_left);
        if (packed != nullptr && bias.is_dense()) return gemm_plus_row(a, *packed, bias.value, y);
        const Shape shape{y.rows, y.cols};
        copy_strided<T>(shape, bias.value, Strides{0, bias.full_strides()[0]}, first, dense_strides(shape));
        multiply(tape_, a, b, owner, blocks_left, T(1), y);
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
        const Var<T> y = tape_.record(detail::affine_rule<T>(), std::span<const NodeIndex>(inputs, count),
                                      shape_, value, tape_.keep(record));
        tape_.at(y.index()).is_product = true;
        chunk.members[place.slot] = y.index();
        chunk.slots = std::max<std::size_t>(chunk.slots, place.slot + 1);
        ++chunk.member_count;
        ++site.uses;
        site.last_step = step_;
        tape_.products().members_end = y.index() + 1;
        return y;
    }

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

}  // namespace

template <class T>
Var<T> record_affine(Tape<T>& tape, const Affine<T>& affine, const Shape& shape) {
    return AffineRecorder<T>(tape, affine, shape).record();
}

template <class T>
const PackedMatrix<T>* detail::packed_form(Tape<T>& tape, MatrixView<const T> b, NodeIndex b_owner,
                                           std::size_t rows, std::size_t uses) {
    auto& packed = tape.products().packed;
    const auto found = std::find_if(packed.begin(), packed.end(), [&](const auto& entry) {
        return entry.owner == b_owner && same(entry.matrix, b);
    });
    if (found != packed.end()) return &found->packed;
    if (uses < 2 || !packing_pays<T>(rows, b.rows, b.cols, uses, b.col_stride != 1)) return nullptr;
    const std::size_t bytes = packed_size<T>(b.rows, b.cols) * sizeof(T);
    auto* memory = reinterpret_cast<T*>(tape.gradients().allocate(bytes));
    packed.push_back({b, b_owner, pack(b, memory), bytes});
    return &packed.back().packed;
}

template <class T>
void detail::multiply(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
                      std::size_t uses, T beta, MatrixView<T> c) {
    const PackedMatrix<T>* packed = packed_form(tape, b, b_owner, a.rows, uses);
    if (packed != nullptr)
        gemm(a, *packed, beta, c);
    else
        gemm<T>(a, b, beta, c);
}

#define XTAPE_INSTANTIATE(T)                                                                      \
    template const PackedMatrix<T>* detail::packed_form(Tape<T>&, MatrixView<const T>, NodeIndex, \
                                                        std::size_t, std::size_t);                \
    template Var<T> record_affine(Tape<T>&, const Affine<T>&, const Shape&);                      \
    template void detail::multiply(Tape<T>&, MatrixView<const T>, MatrixView<const T>, NodeIndex, \
                                   std::size_t, T, MatrixView<T>);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
