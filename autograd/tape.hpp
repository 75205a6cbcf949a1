#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/arena.hpp"
#include "autograd/array.hpp"
#include "autograd/call_log.hpp"
#include "autograd/distinct.hpp"
#include "autograd/error.hpp"
#include "autograd/loop.hpp"
#include "autograd/node.hpp"
#include "autograd/parameter.hpp"
#include "autograd/products.hpp"
#include "autograd/var.hpp"

namespace xtape {

/// The list of values in the order in which they were computed. Owns every value and gradient of one computation;
/// `clear` forgets them and keeps the memory, so that from its second repetition on a training step asks nothing of
/// the heap.
///
/// A tape is used by one thread at a time.
template <class T>
class Tape {
public:
    static_assert(std::same_as<T, float> || std::same_as<T, double>, "a tape holds float or double");

    Tape();
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;
    ~Tape();

    // ---- leaves -------------------------------------------------------------------------------------------------

    /// A value that gradients are wanted for: any xtensor expression, an Array or a number, copied at once.
    template <class V>
    Var<T> variable(const V& value) {
        return leaf(value, true);
    }
    /// A value that no gradient is wanted for.
    template <class V>
    Var<T> constant(const V& value) {
        return leaf(value, false);
    }
    /// A parameter as a leaf, read in place: don't change its value before the tape is cleared. Watching it again
    /// gives the same leaf. No gradient is wanted for one that is frozen.
    Var<T> watch(const Parameter<T>& parameter) { return watch(parameter.storage()); }

    // ---- lives --------------------------------------------------------------------------------------------------

    /// Forgets every value. Handles to them become invalid; the memory is kept.
    void clear();

    /// A place to come back to.
    struct Mark {
        NodeIndex size;
        std::uint32_t stamp;  // of the last node before it
        Arena::Mark arena;
        std::size_t sites;
        std::size_t chunks;
    };
    Mark mark() const;
    /// Forgets what was recorded since the mark. Throws TapeError if the tape was cleared or rewound past it since.
    void rewind(const Mark& mark);

    /// The same, but parameters that were watched for the first time since then still are: leaves from the mark on.
    void rewind_but_watch(const Mark& mark);

    /// How many values are on the tape.
    std::size_t size() const { return size_; }
    /// Bytes in use for values and what was recorded with them.
    std::size_t used() const { return values_.used(); }
    /// Bytes asked of the heap so far, for values and for gradients.
    std::size_t capacity() const { return values_.capacity() + gradients_.capacity(); }

    /// Lets `count` threads, this one included, share the work of large statements and products; small ones stay with
    /// one. Every result has the same bits, whatever the number. Throws std::invalid_argument if count is 0.
    void set_threads(std::size_t count) { team_ = std::make_unique<Team>(count); }
    std::size_t threads() const { return team_->size(); }

    /// Whether new values remember how they were made: see NoRecording.
    bool recording() const { return recording_; }

    /// The i-th value, for those who walk over a tape.
    Var<T> operator[](NodeIndex index) {
        make_node(index);
        return handle(index);
    }

    // ---- for those who write ops --------------------------------------------------------------------------------

    /// The node behind a handle. Throws TapeError if the handle is stale or of another tape.
    const Node<T>& node(const Var<T>& var) const {
        if (var.tape_ != this || var.index_ >= size_ || at(var.index_).stamp != var.stamp_)
            return missing_node(var);
        return at(var.index_);
    }
    Node<T>& node(const Var<T>& var) { return const_cast<Node<T>&>(std::as_const(*this).node(var)); }
    const Node<T>& at(NodeIndex index) const { return chunks_[index / chunk_size][index % chunk_size]; }
    Node<T>& at(NodeIndex index) { return chunks_[index / chunk_size][index % chunk_size]; }

    /// Room for `count` elements, until the tape is cleared or rewound; `spare` more, up to buffer_alignment bytes, may be
    /// written, and then hold anything.
    T* allocate(std::size_t count, std::size_t spare = 0) {
        return step_memory_.steps == 0 ? allocate_apart(count + spare) : allocate_in_step(count, spare);
    }
    /// The same, but never beside what other steps of a sequence allocate.
    T* allocate_apart(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);
        std::byte* const start = values_.allocate(bytes);
        // Vector code computes with what lies behind the last element, and takes long if that happens to be denormal.
        const std::size_t last = bytes % buffer_alignment;
        if (last > 0) std::memset(start + (bytes - last), 0, buffer_alignment);
        return reinterpret_cast<T*>(start);
    }
    /// Room for what is used at once and then forgotten: always the same, for the first size that is asked for.
    T* scratch(std::size_t count) {
        if (scratch_.size() < count) scratch_.resize(Shape{count});
        return scratch_.data();
    }
    /// A copy of a trivially destructible record, with the same life.
    template <class P>
    const P* keep(const P& record) {
        static_assert(std::is_trivially_destructible_v<P>);
        return new (values_.allocate_record(sizeof(P))) P(record);
    }
    /// Room for `count` such records.
    template <class P>
    P* allocate_records(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<P>);
        return reinterpret_cast<P*>(values_.allocate_record(count * sizeof(P)));
    }

    /// An object with the life of the last node.
    void keep_alive(std::shared_ptr<const void> object) {
        objects_.push_back({size_ - 1, std::move(object)});
    }

    /// Puts a value on the tape that `rule` made from `inputs`; its elements lie dense at `value`.
    Var<T> record(const Rule<T>& rule, std::span<const Var<T>> inputs, const Shape& shape, T* value,
                  const void* payload = nullptr);
    Var<T> record(const Rule<T>& rule, std::initializer_list<Var<T>> inputs, const Shape& shape, T* value,
                  const void* payload = nullptr) {
        return record(rule, std::span(inputs.begin(), inputs.size()), shape, value, payload);
    }
    /// The same from the inputs' indices, which lie in one of this tape's records.
    Var<T> record(const Rule<T>& rule, std::span<const NodeIndex> inputs, const Shape& shape, T* value,
                  const void* payload);
    /// The same for those who have looked at the inputs: that none was released, whether one needs a gradient.
    Var<T> record_checked(const Rule<T>& rule, std::span<const NodeIndex> inputs, const Shape& distinct_shape,
                          T* value, const void* payload, bool needs_gradient) {
        Node<T>& result = append(distinct_shape, value);
        result.rule = &rule;
        result.payload = payload;
        result.inputs = inputs.data();
        result.input_count = static_cast<std::uint32_t>(inputs.size());
        result.needs_gradient = needs_gradient && recording_;
        return {this, result.owner, life_};
    }
    /// Puts a view on the tape: elements of `base` from layout.offset on.
    Var<T> record_view(const Rule<T>& rule, const Var<T>& base, const Layout& layout, const void* payload);
    /// The one copy of this shape, and of the strides of such a shape: null if they are dense.
    const Shape& distinct(const Shape& shape) { return shapes_(shape); }
    const Strides* distinct(const Shape& shape, const Strides& strides) {
        return is_dense(shape, strides) ? nullptr : &strides_(strides);
    }
    /// The same for those who have done this already; several views of one base may share its index, in a record.
    Var<T> record_view(const Rule<T>& rule, const NodeIndex* base, const Shape& distinct_shape,
                       const Strides* distinct_strides, std::ptrdiff_t offset, const void* payload);
    /// A dense leaf whose elements someone else keeps alive.
    Var<T> borrow(const Shape& shape, T* value);

    Pool& gradients() { return gradients_; }
    /// Those who share the work of `set_threads`.
    Team& team() { return *team_; }
    /// Where raw calls are to be noted, if they are.
    CallLog<T>* log() const { return log_; }
    /// Makes a call that reads from one address and writes to another, and notes it.
    void make_call(const RawCall<T>& call, const T* from, T* to) {
        T* const addresses[] = {const_cast<T*>(from), to};
        team_->run(call.work, [&](Part part) { call.run(call, addresses, part); });
        if (log_ != nullptr) log_->add(call, {from, to});
    }
    /// Whether what is computed now is noted for a Replay: it will be done again on other numbers than those of parameters.
    bool notes_replay() const { return log_ != nullptr && log_ != &logs_[0] && log_ != &logs_[1]; }
    /// Says that something was done that no call tells of.
    void forbid_repeating() {
        if (log_ != nullptr) log_->give_up();
    }
    /// How many steps are being recorded; 0 outside of a sequence of steps.
    std::size_t steps() const { return step_memory_.steps; }
    /// Makes the nodes that a loop left out: one step's, those of the loop, or all of them.
    void make_node(NodeIndex index) {
        if (!loops_.empty()) make_missing(index);
    }
    void make_nodes(const Loop<T>& loop);
    void make_all_nodes() {
        for (const Loop<T>& loop : loops_) make_nodes(loop);
    }
    /// A node that differs from that one at most in its addresses, indices and payload, and that exists.
    NodeIndex index_like(NodeIndex index) const {
        const Loop<T>* const loop = loop_missing(index);
        return loop == nullptr ? index : loop->begin_of(1) + loop->offset_of(index);
    }
    const Node<T>& like(NodeIndex index) const { return at(index_like(index)); }
    /// Throws as node() does if one of these, which are even steps, isn't valid; makes no node.
    void check_even(std::span<const Var<T>> vars) const {
        for (const Var<T>& var : vars) {
            if (var.tape_ != this || var.stamp_ != vars[0].stamp_) throw_invalid(var);
        }
        const Var<T>& first = vars[0];
        if (first.index_ >= size_ || at(first.index_).stamp != first.stamp_) check_missing(first);
    }
    /// What the node has or would have: the address of its value, its k-th input.
    T* value_at(NodeIndex index) const;
    NodeIndex input_at(NodeIndex index, std::size_t k) const;
    /// How many of these nodes, from the first one on, are the same part of steps of a loop that follow each other, from
    /// its second step on, so that everything moves on evenly; 1 if it is in no loop.
    std::size_t even_steps(std::span<const NodeIndex> nodes) const {
        const Loop<T>* const loop = nodes.empty() || loops_.empty() ? nullptr : loop_at(nodes[0]);
        std::size_t count = 1;
        if (loop == nullptr || nodes[0] < loop->begin_of(1)) return count;
        while (count < nodes.size() && nodes[count] == nodes[count - 1] + loop->period) ++count;
        return std::min(count, loop->steps - loop->step_of(nodes[0]));
    }
    /// The loop that a node belongs to, or null.
    const Loop<T>* loop_at(NodeIndex index) const;
    Products<T>& products() { return products_; }
    /// What a leaf that watches a parameter refers to.
    typename Parameter<T>::Storage& watched(NodeIndex leaf) const;
    /// The gradient of a node after its hooks have seen it.
    Var<T> apply_hooks(NodeIndex index, Var<T> gradient);
    /// Whether a sweep has given up values, so that only `clear` is left.
    bool has_released() const { return released_ > 0; }

private:
    friend class Var<T>;
    friend class NoRecording;
    template <class>
    friend class Readable;
    template <class>
    friend class Recording;
    template <class>
    friend class Sweep;
    template <class>
    friend class Steps;
    template <class>
    friend class LogInto;

    static constexpr NodeIndex chunk_size = 16;

    struct Watched {
        std::shared_ptr<typename Parameter<T>::Storage> storage;
        NodeIndex leaf;
    };
    struct Kept {
        NodeIndex index;
        T* gradient;  // dense
    };
    struct FreeNodes {
        void operator()(Node<T>* nodes) const {
            ::operator delete (nodes, std::align_val_t{alignof(Node<T>)});
        }
    };
    /// Memory of nodes that a loop left out at first.
    struct MadeStep {
        NodeIndex first;
        std::byte* room;
        std::size_t bytes;
    };
    struct Object {
        NodeIndex index;  // of the node that it lives as long as
        std::shared_ptr<const void> object;
    };
    struct Hook {
        NodeIndex index;
        std::function<Var<T>(Var<T>)> call;
    };

    const Node<T>& missing_node(const Var<T>& var) const;
    void check_missing(const Var<T>& var) const;
    [[noreturn]] void throw_invalid(const Var<T>& var) const;
    [[noreturn]] static void throw_released(const char* op);
    /// Leaves keep their values.
    void refuse_released(const char* op, NodeIndex index) const {
        if (index < released_ && like(index).rule != nullptr) throw_released(op);
    }
    template <class V>
    Var<T> leaf(const V& value, bool wanted);
    Var<T> new_leaf(const Shape& shape, T* value, bool wanted);
    Node<T>& append(const Shape& shape, T* value) {
        // Nothing happens at the end of a node's life, so the next one may be put in its place.
        static_assert(std::is_trivially_destructible_v<Node<T>>);
        const NodeIndex index = size_;
        Node<T>* const place = place_for(index);
        ++size_;
        return *std::construct_at(place,
                                  Node<T>{.shape = shape, .value = value, .stamp = life_, .owner = index});
    }
    /// Where a new node goes.
    Node<T>* place_for(NodeIndex index) {
        if (index / chunk_size >= chunks_.size() || chunks_[index / chunk_size] == no_chunk())
            add_chunk(index / chunk_size);
        return &at(index);
    }
    void add_chunk(std::size_t number);
    /// For nodes that may never be made.
    void reserve_places(NodeIndex size);
    static Node<T>* no_chunk();
    T* allocate_in_step(std::size_t count, std::size_t spare);
    const Loop<T>* loop_missing(NodeIndex index) const {
        const Loop<T>* const loop = loops_.empty() ? nullptr : loop_at(index);
        return loop != nullptr && loop->is_missing(index) ? loop : nullptr;
    }
    void make_missing(NodeIndex index);
    void make_step(const Loop<T>& loop, std::size_t step, typename Loop<T>::Nodes how);
    Var<T> handle(NodeIndex index) { return {this, index, at(index).stamp}; }
    Var<T> watch(const std::shared_ptr<typename Parameter<T>::Storage>& storage);
    std::size_t watched_slot(const void* storage) const;
    void drop_watched_from(NodeIndex index);
    void forget_since(const Mark& mark);
    void retain(const Var<T>& var);
    T* kept_gradient(NodeIndex index) const;
    void keep_gradient(NodeIndex index, T* gradient);
    void add_hook(const Var<T>& var, std::function<Var<T>(Var<T>)> hook);

    std::unique_ptr<Team> team_ = std::make_unique<Team>();
    Arena values_;
    Pool gradients_;
    Distinct<Shape> shapes_;
    Distinct<Strides> strides_;
    std::vector<Node<T>*> chunks_;  // of nodes by index; one that holds no node yet is no_chunk()
    std::vector<std::unique_ptr<Node<T>, FreeNodes>> own_chunks_;
    NodeIndex size_ = 0;
    std::uint32_t life_ = 1;  // counts clears and rewinds
    bool recording_ = true;
    NodeIndex released_ = 0;  // values of nodes before this one were given up by a sweep
    std::vector<Watched> watched_;
    std::vector<std::uint32_t> watched_table_;  // open addressing: a position in watched_ plus 1, or 0
    std::vector<Hook> hooks_;
    std::vector<Object> objects_;
    std::vector<NodeIndex> keepers_;  // variables and retained values
    std::vector<Kept> kept_;          // gradients of theirs, in the order of their nodes
    bool views_requested_ = false;    // some view's own gradient is retained or hooked
    Products<T> products_;
    Array<T> scratch_;
    StepMemory<T> step_memory_;
    std::vector<Loop<T>> loops_;  // in the order of their nodes
    std::vector<MadeStep> made_steps_;
    // Of a sweep:
    std::vector<NodeIndex> lenders_;  // whose gradients others use
    std::vector<LentSteps<T>> lent_steps_;
    CallLog<T>* log_ = nullptr;
    std::array<CallLog<T>, 2> logs_;  // of two steps
};

/// While it lives, raw calls are noted there, or, with null, not at all: for work that doesn't repeat as it is.
template <class T>
class LogInto {
public:
    LogInto(Tape<T>& tape, CallLog<T>* log) : log_(tape.log_), before_(std::exchange(tape.log_, log)) {}
    ~LogInto() { log_ = before_; }
    LogInto(const LogInto&) = delete;
    LogInto& operator=(const LogInto&) = delete;

private:
    CallLog<T>*& log_;
    CallLog<T>* before_;
};

/// While it lives, what is computed on the tape needs no gradient and remembers nothing: for evaluation.
class NoRecording {
public:
    template <class T>
    explicit NoRecording(Tape<T>& tape) : recording_(tape.recording_), before_(tape.recording_) {
        recording_ = false;
    }
    ~NoRecording() { recording_ = before_; }
    NoRecording(const NoRecording&) = delete;
    NoRecording& operator=(const NoRecording&) = delete;

private:
    bool& recording_;
    bool before_;
};

/// While it lives, values can be computed with that a sweep is about to release: for its rules, which read no others.
template <class T>
class Readable {
public:
    explicit Readable(Tape<T>& tape) : released_(tape.released_), before_(std::exchange(tape.released_, 0)) {}
    ~Readable() { released_ = before_; }
    Readable(const Readable&) = delete;
    Readable& operator=(const Readable&) = delete;

private:
    NodeIndex& released_;
    NodeIndex before_;
};

/// While it lives, everything is recorded as if nothing else went on: for a sweep that computes something again.
template <class T>
class Recording {
public:
    explicit Recording(Tape<T>& tape)
        : readable_(tape),
          noted_(tape, nullptr),
          tape_(tape),
          recording_(std::exchange(tape.recording_, true)) {}
    ~Recording() { tape_.recording_ = recording_; }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

private:
    Readable<T> readable_;
    LogInto<T> noted_;
    Tape<T>& tape_;
    bool recording_;
};

// ---- definitions ------------------------------------------------------------------------------------------------

template <class T>
template <class V>
Var<T> Tape<T>::leaf(const V& value, bool wanted) {
    if constexpr (std::is_arithmetic_v<V>) {
        T* element = allocate(1);
        *element = static_cast<T>(value);
        return new_leaf({}, element, wanted);
    } else if constexpr (std::same_as<V, Array<T>>) {
        T* elements = allocate(value.size());
        std::copy_n(value.data(), value.size(), elements);
        return new_leaf(value.shape(), elements, wanted);
    } else {
        static_assert(XtensorExpression<V>,
                      "a leaf is made from an xtensor expression, an Array or a number");
        const Shape shape(value.shape());
        T* elements = allocate(element_count(shape));
        if constexpr (DenseContainer<V, T>) {
            std::copy_n(value.data(), element_count(shape), elements);
        } else {
            auto view = tensor_view(elements, shape);
            xt::noalias(view) = value;
        }
        return new_leaf(shape, elements, wanted);
    }
}

template <class T>
Tape<T>& Var<T>::tape() const {
    if (tape_ == nullptr) throw TapeError("[tape] an empty Var, which no value was assigned to");
    return *tape_;
}

template <class T>
const Node<T>& Var<T>::node() const {
    return std::as_const(tape()).node(*this);
}

template <class T>
template <class F>
void Var<T>::on_gradient(F&& hook) const {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Var<T>>>) {
        tape().add_hook(*this, [call = std::forward<F>(hook)](Var<T> gradient) mutable {
            call(gradient);
            return gradient;
        });
    } else {
        tape().add_hook(*this, std::forward<F>(hook));
    }
}

extern template class Tape<float>;
extern template class Tape<double>;

}  // namespace xtape
