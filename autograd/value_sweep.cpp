#include "autograd/value_sweep.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "autograd/strided.hpp"

namespace xtape {
namespace {

/// A rule's Vars, evaluated without being recorded, and added to gradients as numbers.
template <class T>
class ValuePull final : public Pull<T> {
public:
    ValuePull(Sweep<T>& sweep, NodeIndex index, const Var<T>& gradient)
        : Pull<T>(sweep.tape(), index, gradient), sweep_(sweep) {}

    bool wants(std::size_t k) const override { return sweep_.wants(this->node().inputs[k]); }

    using Pull<T>::add;
    void add(std::size_t k, const Var<T>& contribution) override {
        if (!wants(k)) return;
        const Node<T>& from = this->tape().node(contribution);
        sweep_.add(this->node().inputs[k], from.shape, from.value, from.full_strides());
    }

protected:
    void add_statement(std::size_t k, const Statement<T>& contribution) override {
        if (!wants(k)) return;
        const NodeIndex input = this->node().inputs[k];
        const auto target = sweep_.target(input);
        accumulate_statement(contribution, sweep_.node(input).shape, target.strides, target.data);
    }

private:
    Sweep<T>& sweep_;
};

/// Moving or adding rows of n elements each.
Work moving(std::size_t rows, std::size_t n) {
    constexpr std::size_t per_nanosecond = 3;
    return {rows * n / per_nanosecond, rows > 1 ? rows : n};
}

/// A thread's share of that: some of the rows, or a part of the only one.
struct RowsPart {
    std::size_t begin, end, first, count;  // rows begin ... end, and of each `count` elements from `first` on

    RowsPart(std::size_t rows, std::size_t n, Part part)
        : begin(rows > 1 ? part.begin(rows) : 0),
          end(rows > 1 ? part.end(rows) : rows),
          first(rows > 1 ? 0 : part.begin(n)),
          count((rows > 1 ? n : part.end(n)) - first) {}
};

}  // namespace

template <class T>
Sweep<T>::Sweep(Tape<T>& tape, NodeIndex last, bool commits)
    : tape_(tape),
      count_(last + 1),
      commits_(commits),
      views_requested_(tape.views_requested_),
      slots_(reinterpret_cast<Slot*>(tape.gradients().allocate(count_ * sizeof(Slot)))),
      slot_room_(count_),
      chunk_count_(tape.products().chunks.size()),
      chunk_states_(
          reinterpret_cast<ChunkState*>(tape.gradients().allocate(chunk_count_ * sizeof(ChunkState)))),
      chunk_room_(chunk_count_) {
    tape_.lenders_.clear();
    tape_.lent_steps_.clear();
    clear_slots(0, count_);
    std::uninitialized_value_construct_n(chunk_states_, chunk_count_);
}

template <class T>
Sweep<T>::~Sweep() {
    // After a complete sweep nothing is left to release; after an exception this is.
    for (std::size_t chunk = 0; chunk < chunk_count_; ++chunk) release_chunk(chunk);
    const auto give_back = [this](NodeIndex index) {
        slots_[index].lends = false;
        release(index);
    };
    if (finished_) {
        for (NodeIndex index : tape_.lenders_) give_back(index);
    } else {
        prepare_made_steps();
        for (NodeIndex index = 0; index < count_; ++index)
            if (selective_ || tape_.loop_missing(index) == nullptr) give_back(index);
    }
    Pool& pool = tape_.gradients();
    pool.release(reinterpret_cast<std::byte*>(slots_), slot_room_ * sizeof(Slot));
    pool.release(reinterpret_cast<std::byte*>(chunk_states_), chunk_room_ * sizeof(ChunkState));
}

template <class T>
void Sweep<T>::want_only(std::span<const Var<T>> xs) {
    selective_ = true;
    make_all_nodes();
    for (const Var<T>& x : xs) {
        const Node<T>& node = tape_.node(x);
        if (x.index() >= count_) continue;
        slots_[x.index()].wanted = true;
        slots_[x.index()].requested = true;
        views_requested_ |= node.is_view;
    }
    find_wanted(0, count_);
}

/// What leads to a wanted gradient. What a checkpoint leads to isn't known before it is computed again.
template <class T>
void Sweep<T>::find_wanted(NodeIndex begin, NodeIndex end) {
    for (NodeIndex index = begin; index < end; ++index) {
        const Node<T>& node = tape_.at(index);
        if (!node.needs_gradient) continue;
        slots_[index].wanted |= node.recomputes;
        for (std::size_t k = 0; k < node.input_count; ++k)
            slots_[index].wanted |= slots_[node.inputs[k]].wanted;
    }
}

/// Rows of n elements, `stride` apart.
template <class T>
void Sweep<T>::clear_rows(std::size_t rows, std::size_t n, std::size_t stride, T* to) {
    const auto run = [](const RawCall<T>& call, T* const* addresses, Part part) {
        const auto& numbers = call.numbers;
        const RowsPart mine(numbers[0], numbers[1], part);
        for (std::size_t row = mine.begin; row < mine.end; ++row)
            std::memset(static_cast<void*>(addresses[1] + row * numbers[2] + mine.first), 0,
                        mine.count * sizeof(T));
    };
    tape_.make_call({.run = run, .numbers = {rows, n, stride}, .work = moving(rows, n)}, nullptr, to);
}

/// Adds rows of n neighbours; the `first` ones are copied.
template <class T>
void Sweep<T>::add_rows(std::size_t rows, std::size_t n, const T* from, std::ptrdiff_t from_stride, T* to,
                        std::ptrdiff_t to_stride, bool first) {
    const auto run = [](const RawCall<T>& call, T* const* addresses, Part part) {
        const auto& numbers = call.numbers;
        const RowsPart mine(numbers[0], numbers[1], part);
        for (std::size_t row = mine.begin; row < mine.end; ++row) {
            const T* const source = addresses[0] + row * numbers[2] + mine.first;
            T* const sum = addresses[1] + row * numbers[3] + mine.first;
            if (numbers[4] != 0)
                std::copy_n(source, mine.count, sum);
            else
                add_row<T>(mine.count, source, 1, sum, 1);
        }
    };
    tape_.make_call({.run = run,
                     .numbers = {rows, n, static_cast<std::size_t>(from_stride),
                                 static_cast<std::size_t>(to_stride), first},
                     .work = moving(rows, n)},
                    from, to);
}

template <class T>
void Sweep<T>::add(NodeIndex index, const Shape& shape, const T* from, const Strides& strides) {
    const Node<T>& node = tape_.at(index);
    if (gradient_owner(index) == index && (&shape == &node.shape || shape == node.shape)) {
        const bool dense = is_dense(shape, strides);
        bool first = false;
        T* to = whole_target(index, first);
        if (dense) return add_rows(1, node.size(), from, 0, to, 0, first);
        if (shape.size() == 2 && strides[1] == 1) {
            const auto columns = static_cast<std::ptrdiff_t>(shape[1]);
            return add_rows(shape[0], shape[1], from, strides[0], to, columns, first);
        }
        tape_.forbid_repeating();
        return put_strided(first, shape, from, strides, to, dense_strides(shape));
    }
    if (node.is_view && shape == node.shape && shape.size() == 2 && strides[1] == 1 &&
        node.full_strides()[1] == 1) {
        bool first = false;
        const Target to = piece_target(index, first);
        return add_rows(shape[0], shape[1], from, strides[0], to.data, to.strides[0], first);
    }
    tape_.forbid_repeating();
    const Shape common = broadcast_shapes("gradient", shape, node.shape);
    const Target to = target(index);
    add_strided(common, from, broadcast_strides(shape, strides, common), to.data,
                broadcast_strides(node.shape, to.strides, common));
}

template <class T>
void Sweep<T>::add_dense(NodeIndex index, const Shape& shape, const T* from) {
    const Node<T>& node = tape_.at(index);
    if (node.shape.size() == 1 && !shape.empty() && shape.back() == node.shape[0] &&
        gradient_owner(index) == index) {
        // A bias: the sums of the columns.
        const std::size_t columns = shape.back();
        Slot& slot = prepared(index);
        zero_if_fresh(slot, index);
        if (columns == 0) return;
        const auto run = [](const RawCall<T>& call, T* const* addresses, Part part) {
            const std::size_t row = call.numbers[1];
            const std::size_t begin = part.begin(row);
            add_columns(call.numbers[0], part.end(row) - begin, addresses[0] + begin,
                        static_cast<std::ptrdiff_t>(row), addresses[1] + begin);
        };
        const std::size_t rows = element_count(shape) / columns;
        const Work work{moving(rows, columns).nanoseconds, columns};
        return tape_.make_call({.run = run, .numbers = {rows, columns}, .work = work}, from, slot.data);
    }
    add(index, shape, from, dense_strides(shape));
}

template <class T>
void Sweep<T>::run(const Var<T>& y, const Var<T>& seed, bool release_values) {
    releases_ = release_values;
    if (seed) {
        const Node<T>& from = tape_.node(seed);
        if (!borrow(y.index(), from)) add(y.index(), from.shape, from.value, from.full_strides());
    } else {
        const T one = 1;
        add(y.index(), {}, &one, {});
    }
    if (release_values) {
        tape_.released_ = std::max(tape_.released_, count_);
        tape_.products().give_up_packed(tape_.gradients());  // the way back needs other ones
    }
    walk(0, count_);
    if (commits_) commit();
    finished_ = !selective_;
}

/// Visits the nodes from begin on, the last one first.
template <class T>
void Sweep<T>::walk(NodeIndex begin, NodeIndex end) {
    const bool donates = releases_ && floor_ == 0;
    const bool may_repeat = !selective_ && !views_requested_ && tape_.hooks_.empty();
    if (!may_repeat) make_all_nodes();
    for (std::size_t k = tape_.loops_.size(); may_repeat && k-- > 0;) {
        const Loop<T> loop = tape_.loops_[k];
        if (loop.first >= count_) continue;
        if (loop.first < begin) break;
        if (loop.end() > count_ || has_keepers(loop)) {
            make_nodes(loop);
            continue;
        }
        visit_all(end, loop.end(), donates);
        visit_loop(tape_.loops_[k]);
        end = loop.first;
    }
    visit_all(end, begin, donates);
}

template <class T>
void Sweep<T>::visit(NodeIndex index, bool donates) {
    const Node<T>& node = tape_.at(index);
    if (node.feeds_products) flush_products(*this, index);
    clear_unwritten(slots_[index], index);
    if (node.is_product && slots_[index].borrowed) copy_borrowed(slots_[index], index);
    const bool reached = slots_[index].written;
    if (reached && node.has_hooks) call_hooks(index);
    if (reached && node.rule != nullptr && wants(index)) {
        if (node.recomputes) {
            visit_again(index);
        } else if (node.rule->pull_values != nullptr) {
            node.rule->pull_values(*this, index);
        } else {
            // What the rule computes on the way lives until it returns.
            const auto before = tape_.mark();
            {
                NoRecording values_only(tape_);
                const Readable<T> inputs(tape_);
                const Var<T> gradient = tape_.borrow(node.shape, slots_[index].data);
                ValuePull<T> pull(*this, index, gradient);
                node.rule->pull(pull);
            }
            tape_.forget_since(before);
        }
    }
    const bool kept = slots_[index].requested || (commits_ && (node.keeps_gradient || node.is_parameter));
    if (!kept) release(index);
    if (donates && node.rule != nullptr && !node.is_view && !node.is_multiplied && !node.is_product &&
        !node.shares_value) {
        tape_.gradients().donate(reinterpret_cast<std::byte*>(node.value), bytes_of(index));
    }
}

template <class T>
void Sweep<T>::call_hooks(NodeIndex index) {
    const Var<T> gradient = tape_.borrow(tape_.at(index).shape, slots_[index].data);
    NoRecording values_only(tape_);
    const Var<T> replaced = tape_.apply_hooks(index, gradient);
    if (replaced.index() == gradient.index()) return;
    const Node<T>& from = tape_.node(replaced);
    copy_strided(from.shape, static_cast<const T*>(from.value), from.full_strides(), slots_[index].data,
                 dense_strides(from.shape));
}

/// The sweep is over: nothing throws from here on.
template <class T>
void Sweep<T>::commit() {
    for (const auto& watched : tape_.watched_) {
        if (watched.leaf >= count_ || !slots_[watched.leaf].written) continue;
        const Slot& slot = slots_[watched.leaf];
        auto& storage = *watched.storage;
        if (slot.lent)
            storage.has_grad = true;
        else
            add_row<T>(tape_.at(watched.leaf).size(), slot.data, 1, storage.grad.data(), 1);
        release(watched.leaf);
    }
    for (NodeIndex index : tape_.keepers_) {
        if (index >= count_ || !slots_[index].written) continue;
        Slot& slot = slots_[index];
        T* kept = tape_.kept_gradient(index);
        if (kept == nullptr) {
            tape_.keep_gradient(index, slot.data);
            slot = {};
        } else {
            add_row<T>(tape_.at(index).size(), slot.data, 1, kept, 1);
            release(index);
        }
    }
}

template <class T>
Var<T> Sweep<T>::take(const Var<T>& x) {
    const Shape shape = x.shape();
    const std::size_t count = element_count(shape);
    T* value = tape_.allocate(count);
    if (x.index() < count_ && slots_[x.index()].written)
        std::copy_n(slots_[x.index()].data, count, value);
    else
        std::fill_n(value, count, T(0));
    return tape_.borrow(shape, value);
}

template <class T>
void Sweep<T>::release(NodeIndex index) {
    Slot& slot = slots_[index];
    if (slot.data == nullptr || slot.lent || slot.lends) return;
    tape_.gradients().release(reinterpret_cast<std::byte*>(slot.data), bytes_of(index));
    slot.data = nullptr;
    slot.written = false;
}

template class Sweep<float>;
template class Sweep<double>;

}  // namespace xtape
