#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace xtape {

/// Keeps one copy of each of the lists that are put in, so that equal ones share their memory. They stay until the end.
template <class List>
class Distinct {
public:
    const List& operator()(const List& list) {
        for (const List* recent : recent_) {
            if (recent != nullptr && *recent == list) return *recent;
        }
        if (2 * (lists_.size() + 1) > table_.size()) grow();
        const List*& entry = find(list);
        if (entry == nullptr) entry = &lists_.emplace_back(list);
        recent_[turn_++ % recent_.size()] = entry;
        return *entry;
    }

private:
    const List*& find(const List& list) {
        std::uint64_t hash = list.size();
        for (auto item : list) hash = (hash ^ static_cast<std::uint64_t>(item)) * 0x9E3779B97F4A7C15u;
        const std::size_t mask = table_.size() - 1;
        std::size_t at = static_cast<std::size_t>(hash >> 32) & mask;
        while (table_[at] != nullptr && !(*table_[at] == list)) at = (at + 1) & mask;
        return table_[at];
    }

    void grow() {
        table_.assign(table_.empty() ? 64 : 2 * table_.size(), nullptr);
        for (const List& list : lists_) find(list) = &list;
    }

    std::deque<List> lists_;  // doesn't move what is in it
    std::vector<const List*> table_;
    std::array<const List*, 4> recent_{};  // a step of a recurrence asks for a few in turn
    std::size_t turn_ = 0;
};

}  // namespace xtape
