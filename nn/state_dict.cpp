#include "nn/state_dict.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include "nn/mismatch.hpp"

namespace xtape::nn {

namespace {

const Shape& shape_of(const StateDictEntry& entry) {
    return std::visit([](const auto& tensor) -> const Shape& { return tensor.shape(); }, entry.tensor);
}

std::set<std::string> names_of(const char* op, const StateDict& tensors) {
    std::set<std::string> names;
    for (const StateDictEntry& tensor : tensors) {
        if (!names.insert(tensor.name).second) {
            throw std::invalid_argument("[" + std::string(op) + "] two parameters are called " + tensor.name +
                                        ": expected a name for each");
        }
    }
    return names;
}

/// The module's names may stand behind another prefix than the one that was given.
std::string prefix_hint(const StateDict& tensors, const SafetensorsFile& file) {
    for (const TensorEntry& entry : file.tensors()) {
        if (tensors.empty() || !entry.name.ends_with(tensors[0].name)) continue;
        const std::string prefix = entry.name.substr(0, entry.name.size() - tensors[0].name.size());
        const auto is_there = [&](const StateDictEntry& tensor) { return file.find(prefix + tensor.name); };
        if (std::ranges::all_of(tensors, is_there)) {
            return "; all that is missing is there with the prefix \"" + detail::printable(prefix) + '"';
        }
    }
    return "";
}

/// The values that parameters are to have, until all of them are known.
template <class T>
class Staged {
public:
    /// `elements` are those of the tensor, in its order.
    void take(const StateTensor<T>& tensor, const std::string& name, const T* elements) {
        for (const auto& piece : tensor.pieces()) {
            T* const to = value_of(*piece.parameter, name).elements.data() + piece.begin;
            for (std::size_t k = 0; k < piece.size; ++k)
                to[k] = piece.is_added ? to[k] + elements[k] : elements[k];
            elements += piece.size;
        }
    }

    /// Throws FileError if tied parameters were given different values.
    void check_tied(const std::string& file) const {
        std::map<const void*, const Value*> met;
        for (const Value& value : values_) {
            const Value& first = *met.emplace(value.parameter->storage().get(), &value).first->second;
            if (std::memcmp(first.elements.data(), value.elements.data(),
                            value.elements.size() * sizeof(T)) != 0) {
                throw FileError("load_state_dict", file,
                                first.name + " and " + value.name +
                                    " differ: expected equal numbers, as these parameters are tied");
            }
        }
    }

    void assign() const {
        for (const Value& value : values_)
            std::copy_n(value.elements.data(), value.elements.size(), value.parameter->data());
    }

private:
    struct Value {
        Parameter<T>* parameter;
        std::string name;  // of the first tensor that it came from
        Array<T> elements;
    };

    Value& value_of(Parameter<T>& parameter, const std::string& name) {
        const auto [place, is_new] = positions_.try_emplace(&parameter, values_.size());
        if (is_new) values_.push_back({&parameter, name, parameter.storage()->value});
        return values_[place->second];
    }

    std::vector<Value> values_;
    std::map<const Parameter<T>*, std::size_t> positions_;
};

/// The elements of a tensor, copied unless they lie in one piece.
template <class T>
class Gathered {
public:
    explicit Gathered(const StateTensor<T>& tensor) {
        const auto& pieces = tensor.pieces();
        if (pieces.size() == 1 && !pieces[0].is_added) {
            elements_ = pieces[0].parameter->data() + pieces[0].begin;
            return;
        }
        copy_.resize(tensor.shape());
        T* to = copy_.data();
        for (const auto& piece : pieces) {
            if (piece.is_added)
                std::fill_n(to, piece.size, T(-0.0));
            else
                std::copy_n(piece.parameter->data() + piece.begin, piece.size, to);
            to += piece.size;
        }
        elements_ = copy_.data();
    }

    const T* elements() const { return elements_; }

private:
    Array<T> copy_;
    const T* elements_ = nullptr;
};

}  // namespace

namespace detail {

Unmatched load(const StateDict& tensors, const SafetensorsFile& file, const StateDictOptions& options) {
    const std::set<std::string> names = names_of("load_state_dict", tensors);
    Mismatch mismatch;
    Unmatched unmatched;
    std::vector<std::pair<const StateDictEntry*, const TensorEntry*>> pairs;
    for (const StateDictEntry& tensor : tensors) {
        const std::string name = options.prefix + tensor.name;
        const Shape& shape = shape_of(tensor);
        const TensorEntry* const found = file.find(name);
        if (found == nullptr) {
            unmatched.missing.push_back(name);
            mismatch.missing.push_back(name + " " + to_string(shape));
        } else if (found->shape != shape) {
            mismatch.misshaped.push_back(name + " " + to_string(found->shape) + ", expected " +
                                         to_string(shape));
        } else {
            pairs.emplace_back(&tensor, found);
        }
    }
    for (const TensorEntry& entry : file.tensors()) {
        if (!entry.name.starts_with(options.prefix) ||
            names.contains(entry.name.substr(options.prefix.size())))
            continue;
        unmatched.unknown.push_back(entry.name);
        mismatch.unknown.push_back(printable(entry.name) + " " + to_string(entry.shape));
    }
    const bool is_unmatched = !mismatch.missing.empty() || !mismatch.unknown.empty();
    if (!mismatch.misshaped.empty() || (options.strict && is_unmatched)) {
        const bool is_all_missing = pairs.empty() && mismatch.misshaped.empty();
        throw FileError("load_state_dict", file.name(),
                        mismatch.text() + (is_all_missing ? prefix_hint(tensors, file) : ""));
    }

    Staged<float> floats;
    Staged<double> doubles;
    const auto stage = [&]<class T>(Staged<T>& staged, const StateTensor<T>& tensor,
                                    const TensorEntry& entry) {
        Array<T> elements(entry.shape);
        file.read(entry, elements.data());
        staged.take(tensor, entry.name, elements.data());
    };
    for (const auto& [tensor, entry] : pairs) {
        if (const auto* of_float = std::get_if<StateTensor<float>>(&tensor->tensor))
            stage(floats, *of_float, *entry);
        else
            stage(doubles, std::get<StateTensor<double>>(tensor->tensor), *entry);
    }
    floats.check_tied(file.name());
    doubles.check_tied(file.name());
    floats.assign();
    doubles.assign();
    return unmatched;
}

void save(const StateDict& tensors, const std::string& file) {
    names_of("save_state_dict", tensors);
    std::vector<std::variant<Gathered<float>, Gathered<double>>> gathered;
    std::vector<TensorSource> sources;
    for (const StateDictEntry& entry : tensors) {
        std::visit(
            [&]<class T>(const StateTensor<T>& tensor) {
                gathered.emplace_back(Gathered<T>(tensor));
                const T* const elements = std::get<Gathered<T>>(gathered.back()).elements();
                sources.push_back({entry.name, dtype_of<T>, tensor.shape(), elements});
            },
            entry.tensor);
    }
    save_safetensors(file, sources, {{"format", "pt"}});
}

}  // namespace detail

}  // namespace xtape::nn
