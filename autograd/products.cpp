#include "autograd/products.hpp"

#include <algorithm>

namespace xtape {

template <class T>
void Products<T>::clear() {
    sites.clear();
    chunks.clear();
    packed.clear();
    last_site = 0;
    members_end = 0;
}

template <class T>
void Products<T>::release(Packed& entry, Pool& pool) {
    if (entry.packed.data == nullptr) return;
    pool.release(reinterpret_cast<std::byte*>(const_cast<T*>(entry.packed.data)), entry.bytes);
    entry.packed.data = nullptr;
}

template <class T>
void Products<T>::give_up_packed(Pool& pool) {
    for (Packed& entry : packed) release(entry, pool);
}

template <class T>
void Products<T>::rewind(NodeIndex size, std::size_t site_count, std::size_t chunk_count, Pool& pool) {
    sites.resize(site_count);
    chunks.resize(chunk_count);
    last_site = 0;
    std::erase_if(packed, [&](Packed& entry) {
        if (entry.owner < size) return false;
        release(entry, pool);
        return true;
    });
    if (members_end <= size) return;
    // The mark cut into these sites: their values are used up, so later uses found new ones.
    close_sites();
    for (ProductChunk<T>& chunk : chunks) {
        for (std::size_t slot = 0; slot < chunk.slots; ++slot) {
            NodeIndex& member = chunk.members[slot];
            if (member == no_node || member < size) continue;
            member = no_node;
            --chunk.member_count;
        }
    }
    members_end = size;
}

template struct Products<float>;
template struct Products<double>;

}  // namespace xtape
