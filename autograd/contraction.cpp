#include "autograd/contraction.hpp"

#include <algorithm>

#include "autograd/gemm.hpp"
#include "autograd/strided.hpp"
#include "autograd/views.hpp"

namespace xtape {
namespace {

using detail::matrix_of;
using detail::multiply;

constexpr std::size_t expected_uses = 16;  // of a matrix that is used a second time

template <class T>
bool same(const MatrixView<const T>& a, const MatrixView<const T>& b) {
    return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
           a.col_stride == b.col_stride;
}

/// A place for the use of a site at a step of its sequence, or else for its use number `position`.
template <class T>
ProductRecord::Place find_place(Tape<T>& tape, std::size_t site_number, std::size_t position) {
    Products<T>& products = tape.products();
    ProductSite<T>& site = products.sites[site_number];
    const bool hoists = site.hoisted < max_products;
    const std::size_t steps = site.steps_per_chunk;
    const std::size_t slot = position % steps;
    std::size_t* chunk = hoists ? &site.chunk_of_block[position / steps] : &site.open_chunk;
    if (!hoists && slot == 0) *chunk = 0;
    if (*chunk == 0) {
        ProductChunk<T> fresh;
        fresh.site = site_number;
        fresh.first_step = position - slot;
        fresh.members = tape.template allocate_records<NodeIndex>(steps);
        std::fill_n(fresh.members, steps, no_node);
        products.chunks.push_back(fresh);
        *chunk = products.chunks.size();
    }
    return {static_cast<std::uint32_t>(*chunk - 1), static_cast<std::uint32_t>(slot)};
}

template <class T>
void compute_block(Tape<T>& tape, ProductSite<T>& site, ProductChunk<T>& chunk) {
    const LogInto<T> nothing_noted(tape, nullptr);
    const Node<T>& sequence = tape.at(site.sequence);
    const std::size_t steps = chunk.ready_end - chunk.ready_begin;
    const std::size_t slot_size = site.rows * site.cols;
    if (site.values == nullptr && tape.steps() == sequence.shape[0]) {
        site.values = tape.allocate_apart(tape.steps() * slot_size);
    }
    chunk.values = site.values != nullptr
                       ? site.values + chunk.first_step * slot_size
                       : tape.allocate_apart(steps * slot_size) - chunk.ready_begin * slot_size;
    T* const first = chunk.values + chunk.ready_begin * slot_size;
    const MatrixView<T> y(first, steps * site.rows, site.cols);
    const MatrixView<const T> b = site.matrices[site.hoisted];
    const T* const xs = sequence.value + (chunk.first_step + chunk.ready_begin) * site.rows * b.rows;
    const MatrixView<const T> a(xs, y.rows, b.rows);
    const NodeIndex owner = site.owners[site.hoisted];
    const std::size_t blocks_left = (sequence.shape[0] - chunk.first_step) / steps;
    if (site.bias == no_node) return multiply(tape, a, b, owner, blocks_left, T(0), y);

    const Node<T>& bias = tape.at(site.bias);
    const PackedMatrix<T>* packed = detail::packed_form(tape, b, owner, y.rows, blocks_left, bias.is_dense());
    if (packed != nullptr && bias.is_dense()) return gemm_plus_row(tape.team(), a, *packed, bias.value, y);
    const Shape shape{y.rows, y.cols};
    copy_strided<T>(shape, bias.value, Strides{0, bias.full_strides()[0]}, first, dense_strides(shape));
    multiply(tape, a, b, owner, blocks_left, T(1), y);
}

/// Bias + product of a step, if it was or now is computed with its block; else null. A block is computed from the
/// second use of a sequence on, unless it is known that all steps come: a step that is used alone stays alone.
template <class T>
T* hoisted_value(Tape<T>& tape, ProductSite<T>& site, ProductChunk<T>& chunk, std::size_t slot) {
    const bool ready = chunk.values != nullptr && slot >= chunk.ready_begin && slot < chunk.ready_end;
    if (!ready) {
        const std::size_t steps = tape.at(site.sequence).shape[0];
        if ((site.uses == 0 && tape.steps() != steps) || chunk.values != nullptr) return nullptr;
        const bool forward = site.uses == 0 || chunk.first_step + slot > site.last_step;
        const std::size_t left = steps - chunk.first_step;
        chunk.ready_begin = forward ? slot : 0;
        chunk.ready_end = forward ? std::min(site.steps_per_chunk, left) : slot + 1;
        compute_block(tape, site, chunk);
    }
    return chunk.values + slot * site.rows * site.cols;
}

/// Enters nodes a `period` apart, from `member` on, into as many slots of a chunk.
template <class T>
void enter(Tape<T>& tape, ProductRecord::Place place, NodeIndex member, NodeIndex period = 0,
           std::size_t count = 1) {
    Products<T>& products = tape.products();
    ProductChunk<T>& chunk = products.chunks[place.chunk];
    ProductSite<T>& site = products.sites[chunk.site];
    const std::size_t end = place.slot + count;
    for (std::size_t slot = place.slot; slot < end; ++slot, member += period) chunk.members[slot] = member;
    chunk.slots = std::max(chunk.slots, end);
    chunk.member_count += count;
    site.uses += count;
    site.last_step = chunk.first_step + end - 1;
    products.members_end = std::max(products.members_end, member - period + 1);
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
        const auto place = find_place(tape_, site_number,
                                      hoisted_ < max_products ? step_ : products.sites[site_number].uses);
        ProductSite<T>& site = products.sites[site_number];

        T* value = hoisted_ < max_products
                       ? hoisted_value(tape_, site, products.chunks[place.chunk], place.slot)
                       : nullptr;
        const bool product_in = value != nullptr;
        if (value == nullptr) value = tape_.allocate(rows_ * cols_);
        const MatrixView<T> y(value, rows_, cols_);
        const std::size_t uses = site.uses == 0 ? std::max<std::size_t>(tape_.steps(), 1) : expected_uses;

        std::size_t product_done = product_in ? hoisted_ : max_products;
        NodeIndex addend_done = product_in ? bias_ : no_node;
        if (!product_in && begins_with_row(site, uses, y)) {
            product_done = 0;
            addend_done = affine_.addends[0].index();
        }
        // What an addend has put there, products are added to; otherwise the first product writes.
        bool written = product_done < max_products;
        for (std::size_t k = 0; k < affine_.addend_count; ++k) {
            if (affine_.addends[k].index() == addend_done) {
                addend_done = no_node;  // once
                continue;
            }
            put_addend(tape_.node(affine_.addends[k]), value, written);
            written = true;
        }
        for (std::size_t j = 0; j < affine_.product_count; ++j) {
            if (j == product_done) continue;
            multiply(tape_, lefts_[j], rights_[j], site.owners[j], uses, T(written), y);
            written = true;
        }
        return append(place, value);
    }

private:
    /// If a is a step of a dense sequence (steps, ..., K): the sequence, and which step.
    void find_sequence(std::size_t j, const Node<T>& a) {
        if (!a.is_view || a.payload == nullptr) return;
        const auto& view = *static_cast<const View*>(a.payload);
        if (view.kind != View::Kind::select || view.axis != 0) return;
        const Node<T>& sequence = tape_.at(a.inputs[0]);
        if (!sequence.is_dense() || sequence.shape[0] < 2) return;
        if (tape_.notes_replay() || tape_.at(sequence.owner).may_change) return;
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
        for (std::size_t j = 0; j < affine_.product_count; ++j) {
            site.owners[j] = tape_.node(affine_.products[j].b).owner;
        }
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
            if (bias_ != no_node) tape_.at(tape_.at(bias_).owner).feeds_products = true;
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
            site.product_count != affine_.product_count || site.hoisted != hoisted_) {
            return false;
        }
        if (site.bias != bias_) {
            if (site.bias == no_node || bias_ == no_node) return false;
            if (!tape_.at(site.bias).is_same_as(tape_.at(bias_))) return false;  // views of one in each step
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

    /// The first product on a bias that is the only addend, as one call, if that can be.
    bool begins_with_row(const ProductSite<T>& site, std::size_t uses, const MatrixView<T>& y) const {
        if (affine_.addend_count != 1) return false;
        const Node<T>& row = tape_.node(affine_.addends[0]);
        if (row.shape.size() != 1 || row.shape[0] != cols_ || !row.is_dense()) return false;
        return detail::multiply_plus_row(tape_, lefts_[0], rights_[0], site.owners[0], uses, row.value, y);
    }

    void put_addend(const Node<T>& addend, T* value, bool add) {
        const Strides strides = broadcast_strides(addend.shape, addend.full_strides(), shape_);
        const auto rows = detail::as_rows<const T>(addend.value, shape_, strides);
        if (!rows) {
            tape_.forbid_repeating();
            return put_strided<T>(!add, shape_, addend.value, strides, value, dense_strides(shape_));
        }
        const auto run = [](const RawCall<T>& call, T* const* addresses, Part) {
            const auto& n = call.numbers;
            const Shape shape{n[0], n[1]};
            const Strides from{static_cast<std::ptrdiff_t>(n[2]), static_cast<std::ptrdiff_t>(n[3])};
            put_strided<T>(n[4] == 0, shape, addresses[0], from, addresses[1], dense_strides(shape));
        };
        tape_.make_call({.run = run,
                         .numbers = {rows->rows, rows->cols, static_cast<std::size_t>(rows->row_stride),
                                     static_cast<std::size_t>(rows->col_stride), add}},
                        addend.value, value);
    }

    Var<T> append(ProductRecord::Place place, T* value) {
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
        enter(tape_, place, y.index());
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
bool detail::can_repeat_product(Tape<T>& tape, const Node<T>& a, const Node<T>& b) {
    const auto& earlier = *static_cast<const ProductRecord*>(a.payload);
    const auto& record = *static_cast<const ProductRecord*>(b.payload);
    const Products<T>& products = tape.products();
    const ProductChunk<T>& chunk = products.chunks[record.place.chunk];
    const ProductSite<T>& site = products.sites[chunk.site];
    if (products.chunks[earlier.place.chunk].site != chunk.site || site.closed) return false;
    if (site.hoisted == max_products) return true;
    const std::size_t step = chunk.first_step + record.place.slot;
    const std::size_t step_before = products.chunks[earlier.place.chunk].first_step + earlier.place.slot;
    return site.values != nullptr && step == step_before + 1;
}

template <class T>
std::pair<ProductRecord::Place, std::size_t> detail::repeat_products(Tape<T>& tape,
                                                                     ProductRecord::Place before,
                                                                     NodeIndex member, NodeIndex period,
                                                                     std::size_t most) {
    Products<T>& products = tape.products();
    const ProductChunk<T>& last = products.chunks[before.chunk];
    const std::size_t site_number = last.site;
    ProductSite<T>& site = products.sites[site_number];
    const bool hoists = site.hoisted < max_products;
    const auto place = find_place(tape, site_number, hoists ? last.first_step + before.slot + 1 : site.uses);
    ProductChunk<T>& chunk = products.chunks[place.chunk];
    if (hoists) hoisted_value(tape, site, chunk, place.slot);
    const std::size_t end = hoists ? chunk.ready_end : site.steps_per_chunk;
    const std::size_t count = std::min(most, end - place.slot);
    enter(tape, place, member, period, count);
    return {place, count};
}

namespace {

/// Addresses of a, c and b; numbers as note() gives them.
template <class T>
void multiply_plain(const RawCall<T>& call, T* const* addresses, Part) {
    const auto& n = call.numbers;
    const bool transposed = n[6] > 1;
    const auto b_stride = static_cast<std::ptrdiff_t>(n[7]);
    const MatrixView<const T> a(addresses[0], n[0], n[1], static_cast<std::ptrdiff_t>(n[3]),
                                static_cast<std::ptrdiff_t>(n[4]));
    const MatrixView<const T> b(addresses[2], n[1], n[2], transposed ? 1 : b_stride,
                                transposed ? b_stride : 1);
    gemm<T>(a, b, static_cast<T>(n[6] % 2),
            MatrixView<T>(addresses[1], n[0], n[2], static_cast<std::ptrdiff_t>(n[5])));
}

template <class T>
void note(CallLog<T>& log, const MatrixView<const T>& a, const MatrixView<const T>& b, T beta,
          const MatrixView<T>& c) {
    if (b.col_stride != 1 && b.row_stride != 1) return log.give_up();
    const auto number = [](std::ptrdiff_t x) { return static_cast<std::size_t>(x); };
    const bool transposed = b.col_stride != 1;
    const std::size_t flags = (beta == T(0) ? 0u : 1u) + (transposed ? 2u : 0u);
    log.add({.run = &multiply_plain<T>,
             .numbers = {a.rows, a.cols, b.cols, number(a.row_stride), number(a.col_stride),
                         number(c.row_stride), flags, number(transposed ? b.col_stride : b.row_stride)}},
            {a.data, c.data, b.data});
}

}  // namespace

template <class T>
const PackedMatrix<T>* detail::packed_form(Tape<T>& tape, MatrixView<const T> b, NodeIndex b_owner,
                                           std::size_t rows, std::size_t uses, bool plus_row) {
    const Node<T>& owner = tape.at(b_owner);
    if (owner.may_change || (tape.notes_replay() && !owner.is_parameter)) return nullptr;
    auto& packed = tape.products().packed;
    const auto found = std::find_if(packed.begin(), packed.end(), [&](const auto& entry) {
        return entry.owner == b_owner && same(entry.matrix, b);
    });
    const bool was_packed = found != packed.end() && !found->hidden;
    if (!was_packed) {
        if (uses < 2 && !plus_row) return nullptr;
        if (!packing_pays<T>(rows, b.rows, b.cols, uses, b.col_stride != 1, plus_row)) return nullptr;
    }
    const std::size_t bytes = packed_size<T>(b.rows, b.cols) * sizeof(T);
    const auto packed_now = [&] {
        return pack(tape.team(), b, reinterpret_cast<T*>(tape.gradients().allocate(bytes)));
    };
    if (found == packed.end()) {
        packed.push_back({b, b_owner, packed_now(), bytes, tape.products().packed_so_far++});
        return &packed.back().packed;
    }
    found->hidden = false;
    if (found->packed.data == nullptr) found->packed = packed_now();
    return &found->packed;
}

template <class T>
void detail::multiply(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
                      std::size_t uses, T beta, MatrixView<T> c) {
    const PackedMatrix<T>* packed = packed_form(tape, b, b_owner, a.rows, uses);
    if (packed == nullptr) {
        if (tape.log() != nullptr) note(*tape.log(), a, b, beta, c);
        return gemm<T>(a, b, beta, c);
    }
    const RawCall<T> call = gemm_call(a, *packed, beta, c);
    if (tape.team().parts(call.work) > 1) return tape.make_call(call, a.data, c.data);
    if (tape.log() != nullptr) note_gemm(*tape.log(), a, *packed, beta, c);
    gemm(a, *packed, beta, c);
}

template <class T>
bool detail::multiply_plus_row(Tape<T>& tape, MatrixView<const T> a, MatrixView<const T> b, NodeIndex b_owner,
                               std::size_t uses, const T* row, MatrixView<T> c) {
    const PackedMatrix<T>* packed = packed_form(tape, b, b_owner, a.rows, uses);
    if (packed == nullptr) return false;
    if (tape.log() != nullptr) {
        if (tape.team().parts(gemm_call(a, *packed, T(0), c).work) > 1) return false;
        if (!note_gemm_plus_row(*tape.log(), a, *packed, row, c)) return false;
    }
    gemm_plus_row(tape.team(), a, *packed, row, c);
    return true;
}

#define XTAPE_INSTANTIATE(T)                                                                               \
    template const PackedMatrix<T>* detail::packed_form(Tape<T>&, MatrixView<const T>, NodeIndex,          \
                                                        std::size_t, std::size_t, bool);                   \
    template Var<T> record_affine(Tape<T>&, const Affine<T>&, const Shape&);                               \
    template bool detail::can_repeat_product(Tape<T>&, const Node<T>&, const Node<T>&);                    \
    template std::pair<ProductRecord::Place, std::size_t> detail::repeat_products(                         \
        Tape<T>&, ProductRecord::Place, NodeIndex, NodeIndex, std::size_t);                                \
    template void detail::multiply(Tape<T>&, MatrixView<const T>, MatrixView<const T>, NodeIndex,          \
                                   std::size_t, T, MatrixView<T>);                                         \
    template bool detail::multiply_plus_row(Tape<T>&, MatrixView<const T>, MatrixView<const T>, NodeIndex, \
                                            std::size_t, const T*, MatrixView<T>);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
