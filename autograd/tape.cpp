#include "autograd/tape.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "autograd/views.hpp"

namespace xtape {

// Here, so that who makes a tape needn't compile what it is made of.
template <class T>
Tape<T>::Tape() = default;
template <class T>
Tape<T>::~Tape() = default;

template <class T>
void Tape<T>::throw_invalid(const Var<T>& var) const {
    if (var.tape_ == nullptr) throw TapeError("[tape] an empty Var, which no value was assigned to");
    if (var.tape_ != this) {
        throw TapeError("[tape] a Var of another tape; values that meet in an op must be on one tape");
    }
    throw TapeError(
        "[tape] a Var whose value is gone: its tape was cleared or rewound; carry state across with an "
        "Array, and watch parameters again");
}

template <class T>
void Tape<T>::throw_released(const char* op) {
    throw TapeError(std::string("[") + op + "] a value that an earlier backward was asked to release");
}

/// Nodes whose stamps, 0, are nobody's; only read.
template <class T>
Node<T>* Tape<T>::no_chunk() {
    alignas(Node<T>) static std::byte zeros[chunk_size * sizeof(Node<T>)] = {};
    return reinterpret_cast<Node<T>*>(zeros);
}

template <class T>
void Tape<T>::reserve_places(NodeIndex size) {
    chunks_.resize(std::max<std::size_t>(chunks_.size(), (size + chunk_size - 1) / chunk_size), no_chunk());
}

template <class T>
void Tape<T>::add_chunk(std::size_t number) {
    reserve_places(static_cast<NodeIndex>(number + 1) * chunk_size);
    constexpr std::align_val_t alignment{alignof(Node<T>)};
    constexpr std::size_t bytes = chunk_size * sizeof(Node<T>);
    own_chunks_.emplace_back(static_cast<Node<T>*>(std::memset(::operator new(bytes, alignment), 0, bytes)));
    chunks_[number] = own_chunks_.back().get();
}

template <class T>
Var<T> Tape<T>::new_leaf(const Shape& shape, T* value, bool wanted) {
    Node<T>& node = append(distinct(shape), value);
    node.needs_gradient = wanted;
    node.keeps_gradient = wanted;
    if (wanted) keepers_.push_back(size_ - 1);
    return handle(size_ - 1);
}

template <class T>
Var<T> Tape<T>::borrow(const Shape& shape, T* value) {
    append(distinct(shape), value);
    return handle(size_ - 1);
}

template <class T>
Var<T> Tape<T>::record(const Rule<T>& rule, std::span<const Var<T>> inputs, const Shape& shape, T* value,
                       const void* payload) {
    auto* indices = allocate_records<NodeIndex>(inputs.size());
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        node(inputs[k]);  // throws if it isn't one of ours
        indices[k] = inputs[k].index_;
    }
    return record(rule, std::span<const NodeIndex>(indices, inputs.size()), shape, value, payload);
}

template <class T>
Var<T> Tape<T>::record(const Rule<T>& rule, std::span<const NodeIndex> inputs, const Shape& shape, T* value,
                       const void* payload) {
    if (rule.later == nullptr) forbid_repeating();  // it notes no calls
    bool needs_gradient = false;
    bool is_distinct = false;  // as it is an input's
    constexpr std::size_t max_compared = 4;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        if (released_ > 0) refuse_released(rule.name, inputs[k]);
        if (needs_gradient && k >= max_compared) continue;
        const Node<T>& input = like(inputs[k]);
        needs_gradient |= input.needs_gradient;
        is_distinct |= &input.shape == &shape;
    }
    return record_checked(rule, inputs, is_distinct ? shape : distinct(shape), value, payload,
                          needs_gradient);
}

template <class T>
Var<T> Tape<T>::record_view(const Rule<T>& rule, const Var<T>& base, const Layout& layout,
                            const void* payload) {
    node(base);  // throws if it isn't one of ours
    return record_view(rule, keep(base.index_), distinct(layout.shape),
                       distinct(layout.shape, layout.strides), layout.offset, payload);
}

template <class T>
Var<T> Tape<T>::record_view(const Rule<T>& rule, const NodeIndex* base, const Shape& shape,
                            const Strides* strides, std::ptrdiff_t offset, const void* payload) {
    refuse_released(rule.name, *base);
    const Node<T>& from = at(*base);
    Node<T>& result = append(shape, from.value + offset);  // nodes don't move
    result.rule = &rule;
    result.payload = payload;
    result.inputs = base;
    result.input_count = 1;
    result.needs_gradient = from.needs_gradient && recording_;
    result.owner = from.owner;
    result.strides = strides;
    result.is_view = true;
    return {this, size_ - 1, life_};
}

template <class T>
typename Tape<T>::Mark Tape<T>::mark() const {
    return {size_, size_ > 0 ? at(size_ - 1).stamp : life_, values_.mark(), products_.sites.size(),
            products_.chunks.size()};
}

template <class T>
void Tape<T>::rewind(const Mark& mark) {
    if (mark.size > size_ || (mark.size > 0 && at(mark.size - 1).stamp != mark.stamp)) {
        throw TapeError("[tape] rewind to a mark that is gone: the tape was cleared or rewound past it");
    }
    if (released_ > 0) {
        throw TapeError("[tape] rewind after backward released the values; only clear is left");
    }
    forget_since(mark);
}

template <class T>
void Tape<T>::forget_since(const Mark& mark) {
    while (!kept_.empty() && kept_.back().index >= mark.size) {
        const Kept& kept = kept_.back();
        gradients_.release(reinterpret_cast<std::byte*>(kept.gradient), at(kept.index).size() * sizeof(T));
        kept_.pop_back();
    }
    while (!keepers_.empty() && keepers_.back() >= mark.size) keepers_.pop_back();
    while (!loops_.empty() && loops_.back().end() > mark.size) loops_.pop_back();
    std::erase_if(made_steps_, [&](const MadeStep& step) {
        if (step.first < mark.size) return false;
        gradients_.release(step.room, step.bytes);
        return true;
    });
    step_memory_.steps = 0;  // the rest of a sequence of steps goes on elsewhere
    std::erase_if(hooks_, [&](const Hook& hook) { return hook.index >= mark.size; });
    while (!objects_.empty() && objects_.back().index >= mark.size) objects_.pop_back();
    drop_watched_from(mark.size);
    products_.rewind(mark.size, mark.sites, mark.chunks, gradients_);
    values_.rewind(mark.arena);
    size_ = mark.size;
    ++life_;
}

template <class T>
void Tape<T>::rewind_but_watch(const Mark& mark) {
    std::vector<Watched> watched;
    std::vector<typename Products<T>::Packed> packed;
    std::ranges::copy_if(watched_, std::back_inserter(watched),
                         [&](const Watched& each) { return each.leaf >= mark.size; });
    std::erase_if(products_.packed, [&](const auto& entry) {
        const bool of_parameter = entry.owner >= mark.size && at(entry.owner).is_parameter;
        if (of_parameter) packed.push_back(entry);
        return of_parameter;
    });
    rewind(mark);
    for (const Watched& each : watched) {
        const NodeIndex leaf = watch(each.storage).index();
        for (auto& entry : packed) {
            if (entry.owner != each.leaf) continue;
            products_.packed.push_back(entry);
            products_.packed.back().owner = leaf;
        }
    }
}

template <class T>
void Tape<T>::clear() {
    hooks_.clear();
    objects_.clear();
    keepers_.clear();
    kept_.clear();
    loops_.clear();
    made_steps_.clear();
    step_memory_.steps = 0;
    drop_watched_from(0);
    products_.clear();
    values_.clear();
    gradients_.clear();
    size_ = 0;
    released_ = 0;
    views_requested_ = false;
    ++life_;
}

// ---- parameters -------------------------------------------------------------------------------------------------

template <class T>
std::size_t Tape<T>::watched_slot(const void* storage) const {
    const std::size_t mask = watched_table_.size() - 1;
    std::size_t slot = (reinterpret_cast<std::size_t>(storage) >> 5) * 0x9E3779B97F4A7C15u >> 20 & mask;
    while (watched_table_[slot] != 0 && watched_[watched_table_[slot] - 1].storage.get() != storage) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

template <class T>
Var<T> Tape<T>::watch(const std::shared_ptr<typename Parameter<T>::Storage>& storage) {
    if (2 * (watched_.size() + 1) > watched_table_.size()) {
        watched_table_.assign(std::max<std::size_t>(64, 2 * watched_table_.size()), 0);
        for (std::uint32_t k = 0; k < watched_.size(); ++k) {
            watched_table_[watched_slot(watched_[k].storage.get())] = k + 1;
        }
    }
    const std::size_t slot = watched_slot(storage.get());
    if (watched_table_[slot] != 0) return handle(watched_[watched_table_[slot] - 1].leaf);

    Node<T>& node = append(distinct(storage->value.shape()), storage->value.data());
    node.needs_gradient = !storage->is_frozen;
    node.is_parameter = true;
    watched_.push_back({storage, size_ - 1});
    watched_table_[slot] = static_cast<std::uint32_t>(watched_.size());
    return handle(size_ - 1);
}

template <class T>
void Tape<T>::drop_watched_from(NodeIndex index) {
    if (watched_.empty() || watched_.back().leaf < index) return;
    std::erase_if(watched_, [&](const Watched& watched) { return watched.leaf >= index; });
    std::fill(watched_table_.begin(), watched_table_.end(), 0u);
    for (std::uint32_t k = 0; k < watched_.size(); ++k) {
        watched_table_[watched_slot(watched_[k].storage.get())] = k + 1;
    }
}

template <class T>
typename Parameter<T>::Storage& Tape<T>::watched(NodeIndex leaf) const {
    // Leaves are watched in ascending order.
    const auto at_leaf =
        std::lower_bound(watched_.begin(), watched_.end(), leaf,
                         [](const Watched& watched, NodeIndex index) { return watched.leaf < index; });
    return *at_leaf->storage;
}

// ---- gradients of single values ---------------------------------------------------------------------------------

template <class T>
void Tape<T>::retain(const Var<T>& var) {
    Node<T>& kept = node(var);
    if (!kept.keeps_gradient) keepers_.insert(std::ranges::lower_bound(keepers_, var.index_), var.index_);
    kept.keeps_gradient = true;
    views_requested_ |= kept.is_view;
}

template <class T>
T* Tape<T>::kept_gradient(NodeIndex index) const {
    const auto found = std::ranges::lower_bound(kept_, index, {}, &Kept::index);
    return found != kept_.end() && found->index == index ? found->gradient : nullptr;
}

template <class T>
void Tape<T>::keep_gradient(NodeIndex index, T* gradient) {
    kept_.insert(std::ranges::lower_bound(kept_, index, {}, &Kept::index), Kept{index, gradient});
}

template <class T>
void Tape<T>::add_hook(const Var<T>& var, std::function<Var<T>(Var<T>)> hook) {
    Node<T>& hooked = node(var);
    hooked.has_hooks = true;
    views_requested_ |= hooked.is_view;
    hooks_.push_back({var.index_, std::move(hook)});
}

template <class T>
Var<T> Tape<T>::apply_hooks(NodeIndex index, Var<T> gradient) {
    if (!at(index).has_hooks) return gradient;
    for (std::size_t k = 0; k < hooks_.size(); ++k) {  // a hook may add hooks
        if (hooks_[k].index != index) continue;
        gradient = std::function(hooks_[k].call)(gradient);
        if (node(gradient).shape != at(index).shape) {
            throw ShapeError("[hook] a gradient of shape " + to_string(at(index).shape) +
                             " replaced by one of " + to_string(gradient.shape()));
        }
    }
    return gradient;
}

// ---- Var --------------------------------------------------------------------------------------------------------

template <class T>
std::size_t Var<T>::extent(std::ptrdiff_t axis) const {
    return shape()[resolve_axis("extent", axis, rank())];
}

template <class T>
StridedTensorView<const T> Var<T>::value() const {
    const Node<T>& node = this->node();
    tape_->refuse_released("value", index_);
    return tensor_view(static_cast<const T*>(node.value), node.shape, node.full_strides());
}

template <class T>
T Var<T>::item() const {
    if (size() != 1) throw ShapeError("[item] wants one element, has shape " + to_string(shape()));
    tape_->refuse_released("item", index_);
    return *node().value;
}

template <class T>
bool Var<T>::has_grad() const {
    const Node<T>& node = this->node();
    return node.is_parameter ? tape_->watched(index_).has_grad : tape_->kept_gradient(index_) != nullptr;
}

template <class T>
TensorView<const T> Var<T>::grad() const {
    if (!has_grad()) {
        throw GradientError(
            "[grad] there is none: backward didn't reach this value, or it is neither a variable nor "
            "retained");
    }
    const Node<T>& node = this->node();
    const T* elements = node.is_parameter ? tape_->watched(index_).grad.data() : tape_->kept_gradient(index_);
    return tensor_view(elements, node.shape);
}

template <class T>
const Var<T>& Var<T>::retain() const {
    tape().retain(*this);
    return *this;
}

template <class T>
Var<T> Var<T>::operator[](std::ptrdiff_t t) const {
    return select(*this, 0, t);
}

template class Tape<float>;
template class Tape<double>;
template class Var<float>;
template class Var<double>;

}  // namespace xtape
