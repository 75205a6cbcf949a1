#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "autograd/team.hpp"

namespace xtape {

/// A piece of raw work, such as a loop over rows or a product, without the addresses it works on.
template <class T>
struct RawCall {
    using Numbers = std::array<std::size_t, 8>;
    using Run = void (*)(const RawCall&, T* const* addresses, Part part);

    Run run;
    const void* code = nullptr;  // what `run` needs beside numbers and addresses: a kernel, a packed matrix
    Numbers numbers{};
    std::span<const T> constants{};
    std::span<const std::ptrdiff_t> strides{};
    Work work{};              // if several threads may do it together
    std::uint32_t first = 0;  // where its addresses begin
    std::uint32_t count = 0;
};

/// What one step of a recurrence did, as raw calls and their addresses. If the next step made the same calls, each
/// address moved by some distance, then those after it can be done from the list alone: nothing is looked up, checked or
/// decided again.
template <class T>
class CallLog {
public:
    void clear() {
        calls_.clear();
        addresses_.clear();
        fixed_.clear();
        complete_ = true;
    }

    void add(RawCall<T> call, std::initializer_list<const T*> addresses) {
        begin(call);
        for (const T* address : addresses) add_address(address);
    }
    /// The same in pieces: addresses that follow belong to this call.
    void begin(RawCall<T> call) {
        call.first = static_cast<std::uint32_t>(addresses_.size());
        calls_.push_back(call);
    }
    void add_address(const T* address) {
        addresses_.push_back(const_cast<T*>(address));
        ++calls_.back().count;
    }
    /// Memory that must be the same in each step.
    void add_fixed(const void* address) { fixed_.push_back(address); }
    /// Something was done that no call tells of.
    void give_up() { complete_ = false; }

    /// Whether this is what came next after `before`, the same calls a distance on.
    bool follows(const CallLog& before) {
        if (!complete_ || !before.complete_ || addresses_.size() != before.addresses_.size() ||
            fixed_ != before.fixed_ || !std::ranges::equal(calls_, before.calls_, same_call)) {
            return false;
        }
        distances_.resize(addresses_.size());
        for (std::size_t k = 0; k < addresses_.size(); ++k) {
            distances_[k] = reinterpret_cast<std::intptr_t>(addresses_[k]) -
                            reinterpret_cast<std::intptr_t>(before.addresses_[k]);
        }
        return true;
    }

    /// Whether the next step, after follows() said that there is one, will use this address.
    bool will_use(const T* address) const {
        for (std::size_t k = 0; k < addresses_.size(); ++k) {
            const auto next = reinterpret_cast<std::intptr_t>(addresses_[k]) + distances_[k];
            if (next == reinterpret_cast<std::intptr_t>(address)) return true;
        }
        return false;
    }

    /// Does the next `count` steps, after follows() said that there are some.
    void repeat(std::size_t count, Team& team) {
        std::size_t shared = 0;
        for (const RawCall<T>& call : calls_) {
            if (team.parts(call.work) > 1) shared += call.work.nanoseconds;
        }
        team.wake_for(count * shared);
        for (; count > 0; --count) {
            for (std::size_t k = 0; k < addresses_.size(); ++k) {
                addresses_[k] =
                    reinterpret_cast<T*>(reinterpret_cast<std::intptr_t>(addresses_[k]) + distances_[k]);
            }
            do_again(team);
        }
    }

    /// Elements that the calls are to find elsewhere. Nothing that begins outside of them reaches into them.
    struct Move {
        T* from;
        std::size_t count;
        T* to;
    };
    void move(std::span<const Move> moves) {
        for (T*& address : addresses_) {
            const auto found = std::ranges::find_if(
                moves, [&](const Move& move) { return is_within(address, move.from, move.count); });
            if (found != moves.end()) address = found->to + (address - found->from);
        }
    }
    /// Lets the calls work at b where they worked at a, and the other way round.
    void exchange(T* a, T* b, std::size_t count) { move(std::array{Move{a, count, b}, Move{b, count, a}}); }

    /// Whether holds(address, distance) is true for all addresses among these elements, each with the distance to the next
    /// step's, after follows() said that there is one.
    template <class F>
    bool all_of(const T* elements, std::size_t count, F holds) const {
        for (std::size_t k = 0; k < addresses_.size(); ++k) {
            const std::ptrdiff_t distance = distances_[k] / static_cast<std::ptrdiff_t>(sizeof(T));
            if (is_within(addresses_[k], elements, count) && !holds(addresses_[k], distance)) return false;
        }
        return true;
    }
    /// Memory that each step uses, and perhaps has given back.
    std::span<const void* const> fixed() const { return fixed_; }

    /// Whether the calls tell all that was done.
    bool is_complete() const { return complete_; }
    /// Does the same on what now lies there.
    void do_again(Team& team) const {
        for (const RawCall<T>& call : calls_) {
            T* const* const addresses = addresses_.data() + call.first;
            team.run(call.work, [&](Part part) { call.run(call, addresses, part); });
        }
    }

private:
    static bool is_within(const T* address, const T* first, std::size_t count) {
        return !std::less<>()(address, first) && std::less<>()(address, first + count);
    }
    static bool same_call(const RawCall<T>& a, const RawCall<T>& b) {
        return a.run == b.run && a.code == b.code && a.numbers == b.numbers && a.count == b.count &&
               std::ranges::equal(a.constants, b.constants) && std::ranges::equal(a.strides, b.strides);
    }

    std::vector<RawCall<T>> calls_;
    std::vector<T*> addresses_;
    std::vector<std::ptrdiff_t> distances_;  // in bytes
    std::vector<const void*> fixed_;
    bool complete_ = true;
};

}  // namespace xtape
