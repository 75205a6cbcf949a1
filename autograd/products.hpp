#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "autograd/arena.hpp"
#include "autograd/matrix_view.hpp"
#include "autograd/node.hpp"
#include "autograd/packed_matrix.hpp"

namespace xtape {

inline constexpr std::size_t max_products = 4;
inline constexpr std::size_t max_addends = 4;
inline constexpr std::size_t rows_per_chunk = 256;

/// A place in a computation where a sum of products by certain matrices, Σ_j a_j b_j, happens again and again, as in
/// each step of a recurrent cell.
template <class T>
struct ProductSite {
    std::size_t rows = 0;  // of each a_j
    std::size_t cols = 0;  // of each b_j
    std::size_t product_count = 0;
    std::array<MatrixView<const T>, max_products> matrices;  // the b_j

    // If one a_j is a step of a sequence (steps, rows, K): the products of a block of steps are computed together.
    std::size_t hoisted = max_products;  // which j; max_products if none
    NodeIndex sequence = no_node;        // the node whose steps a_j are
    NodeIndex bias = no_node;            // an addend of shape (cols) that goes into the block

    std::array<NodeIndex, max_products> owners;  // of the b_j
    T* values = nullptr;  // with a sequence that a loop goes over: room for all of its products

    std::size_t steps_per_chunk = 1;
    std::size_t uses = 0;
    std::size_t last_step = 0;
    std::size_t* chunk_of_block = nullptr;  // with a sequence: the chunk of each block of steps, plus 1
    std::size_t open_chunk = 0;             // without: the chunk being filled, plus 1
    bool closed = false;                    // no further use joins
};

/// The uses of a site, a fixed number of steps at a time. A sweep keeps their gradients side by side, so that the
/// gradient of each b_j is one product for the whole chunk.
template <class T>
struct ProductChunk {
    std::size_t site = 0;
    std::size_t first_step = 0;
    std::size_t slots = 0;         // how many are in use
    NodeIndex* members = nullptr;  // the node in each slot, or no_node
    std::size_t member_count = 0;
    T* values = nullptr;  // with a sequence: bias + a_j b_j of the slots ready_begin <= slot < ready_end
    std::size_t ready_begin = 0;
    std::size_t ready_end = 0;

    /// So that all values lie side by side.
    bool is_computed_together() const { return values != nullptr && ready_begin == 0 && ready_end >= slots; }
};

/// Of a sum of products: its inputs are a_0, b_0, a_1, b_1, ..., then the addends.
struct ProductRecord {
    struct Place {
        std::uint32_t chunk;
        std::uint32_t slot;
    } place;
    std::uint16_t product_count;
    std::uint16_t addend_count;
};

/// What a tape remembers of the matrix products on it. All of it is about speed.
template <class T>
struct Products {
    struct Packed {
        MatrixView<const T> matrix;
        NodeIndex owner = no_node;  // the node whose elements these are
        PackedMatrix<T> packed;     // without data: to be packed again
        std::size_t bytes = 0;
        std::size_t number = 0;  // in the order of packing
        bool hidden = false;     // not packed yet, for what is computed again
    };

    std::vector<ProductSite<T>> sites;
    std::vector<ProductChunk<T>> chunks;
    std::vector<Packed> packed;
    std::size_t packed_so_far = 0;
    std::size_t last_site = 0;
    NodeIndex members_end = 0;  // beyond the latest node that is a member of a chunk

    void clear();
    /// From now on uses found new sites.
    void close_sites() {
        for (ProductSite<T>& site : sites) site.closed = true;
    }
    /// Which matrices were packed at a moment: those with a lower number, but for some that were hidden then.
    struct PackedThen {
        std::size_t count = 0;
        std::vector<std::size_t> hidden = {};
    };
    PackedThen packed_now() const {
        PackedThen now{packed_so_far};
        for (const Packed& entry : packed)
            if (entry.hidden) now.hidden.push_back(entry.number);
        return now;
    }
    /// A product by a packed matrix may differ in the last bit: what is computed again has to find unpacked what was so
    /// then.
    void hide_packed_since(const PackedThen& then) {
        for (Packed& entry : packed)
            entry.hidden = entry.number >= then.count ||
                           std::ranges::find(then.hidden, entry.number) != then.hidden.end();
    }
    void show_packed() {
        for (Packed& entry : packed) entry.hidden = false;
    }
    /// Gives the packed copies' memory back: who needs one packs the matrix again.
    void give_up_packed(Pool& pool);
    /// Forgets what came after a mark: nodes from `size` on, and the sites and chunks beyond these numbers.
    void rewind(NodeIndex size, std::size_t site_count, std::size_t chunk_count, Pool& pool);

private:
    static void release(Packed& entry, Pool& pool);
};

}  // namespace xtape
