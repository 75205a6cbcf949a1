#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/array_list.hpp"
#include "nn/engine.hpp"
#include "nn/module.hpp"
#include "nn/safetensors.hpp"
#include "nn/unchanged.hpp"

// A run in one file: whatever lists its parts in `visit`, as a module does, is saved and comes back bit by bit.
//
//     struct Run {
//         Model model;
//         nn::Adam<float> adam{model};
//         nn::ReduceLROnPlateau schedule;
//         nn::Engine engine{1};
//         std::size_t step = 0;
//
//         template <class F>
//         void visit(F&& f) {
//             f("model", model);
//             f("adam", adam);
//             f("schedule", schedule);
//             f("engine", engine);
//             f("step", step);
//         }
//     };
//
//     nn::save(run, "run.safetensors");
//     nn::load(run, "run.safetensors");  // of a run that was made alike: the file has what changes, not what was chosen
//
// Parts are parameters (of tied ones the first), Arrays and xtensors, which keep their shapes; numbers, bools, enums and arrays of
// numbers; std::vectors of numbers and std::strings, of any length; an Engine; modules, optimizers, ReduceLROnPlateau,
// CarriedState, and structs of all these. Gradients aren't saved.
//
// The file is a safetensors file of tensors that are called by their paths: "model.cell.weight", "adam.cell.weight.exp_avg",
// "step". An Engine is its 313 numbers as the C++ library writes them.

namespace xtape::nn {

namespace detail {

template <class N>
concept StateNumber = FileNumber<N> || std::same_as<N, char>;
template <StateNumber N>
inline constexpr DType state_dtype = [] {
    if constexpr (std::same_as<N, char>)
        return DType::U8;
    else
        return dtype_of<N>;
}();

/// Takes down where the numbers of a run are, and writes them.
class StateSaver {
public:
    void tensor(std::string name, DType dtype, const Shape& shape, void* numbers);
    template <class List>
    void list(std::string name, List& numbers) {
        tensor(std::move(name), state_dtype<typename List::value_type>, Shape{numbers.size()},
               numbers.data());
    }
    template <class T>
    void arrays(const std::string& name, ArrayList<T>& list) {
        std::size_t position = 0;
        for (Array<T>& array : list.arrays)
            tensor(name + "." + std::to_string(position++), dtype_of<T>, array.shape(), array.data());
    }
    void engine(std::string name, Engine& engine);
    void unchanged(std::string name, const Unchanged& part);

    void write(const std::string& file) const;

private:
    std::vector<TensorSource> tensors_;
    std::deque<std::vector<std::uint64_t>> numbers_;  // that aren't in the run itself
};

/// Compares a run with a file, reads what fits, and assigns it if everything did.
class StateLoader {
public:
    explicit StateLoader(const std::string& file);

    void tensor(const std::string& name, DType dtype, const Shape& shape, void* numbers);
    template <class List>
    void list(const std::string& name, List& numbers) {
        using N = typename List::value_type;
        const TensorEntry* entry = find_list(name, state_dtype<N>);
        if (entry == nullptr) return;
        const auto read = std::make_shared<List>(entry->shape[0], N());
        file_.read(*entry, entry->dtype, read->data());
        assign_.push_back([read, &numbers] { numbers.swap(*read); });
    }
    template <class T>
    void arrays(const std::string& name, ArrayList<T>& list) {
        const std::vector<const TensorEntry*> entries = find_arrays(name, dtype_of<T>, list.expected);
        const auto read = std::make_shared<std::vector<Array<T>>>();
        for (const TensorEntry* entry : entries) {
            read->emplace_back(entry->shape);
            file_.read(*entry, entry->dtype, read->back().data());
        }
        assign_.push_back([read, &arrays = list.arrays] { arrays.swap(*read); });
    }
    void engine(const std::string& name, Engine& engine);
    void unchanged(const std::string& name, const Unchanged& part);

    /// Throws FileError for all faults together, or assigns.
    void finish();

private:
    bool has_type(const TensorEntry& entry, DType dtype);
    const TensorEntry* find(const std::string& name, DType dtype);
    const TensorEntry* find_list(const std::string& name, DType dtype);
    std::vector<const TensorEntry*> find_arrays(
        const std::string& name, DType dtype,
        const std::function<std::string(const std::vector<Shape>&)>& expected);

    SafetensorsFile file_;
    std::vector<bool> is_known_;  // of each tensor in the file
    std::vector<std::string> missing_, faults_;
    std::vector<std::function<void()>> assign_;
};

template <class Part>
inline constexpr bool is_array = false;
template <class T>
inline constexpr bool is_array<Array<T>> = true;
template <class Part>
inline constexpr bool is_array_list = false;
template <class T>
inline constexpr bool is_array_list<ArrayList<T>> = true;
/// A std::array, for instance.
template <class Part>
concept Numbers = std::ranges::contiguous_range<Part> && StateNumber<std::ranges::range_value_t<Part>>;
/// A std::vector or a std::string.
template <class Part>
concept NumberList = Numbers<Part> && requires(Part& list) {
    list.resize(1);
};

/// Shows all of a run to a StateSaver or a StateLoader.
template <class Part, class Archive>
void walk_state(Part& part, const Path& path, Archive& archive, Met& met) {
    if constexpr (is_parameter<Part>) {
        if (part.is_tied()) {
            const void* const tensor = part.storage().get();
            if (std::ranges::find(met, tensor) != met.end()) return;
            met.push_back(tensor);
        }
        archive.tensor(path, dtype_of<std::remove_cvref_t<decltype(*part.data())>>, part.shape(),
                       part.data());
    } else if constexpr (StateNumber<Part>) {
        archive.tensor(path, state_dtype<Part>, Shape{}, &part);
    } else if constexpr (std::is_enum_v<Part>) {
        archive.tensor(path, state_dtype<std::underlying_type_t<Part>>, Shape{}, &part);
    } else if constexpr (std::same_as<Part, Engine>) {
        archive.engine(path, part);
    } else if constexpr (std::same_as<Part, Unchanged>) {
        archive.unchanged(path, part);
    } else if constexpr (is_array_list<Part>) {
        archive.arrays(path, part);
    } else if constexpr (is_array<Part> || XtensorExpression<Part>) {
        using T = std::remove_reference_t<decltype(*part.data())>;
        if constexpr (!is_array<Part>)
            static_assert(Part::static_layout == xt::layout_type::row_major,
                          "a row-major xtensor is expected");
        archive.tensor(path, dtype_of<T>, part.data() == nullptr ? Shape{0} : Shape(part.shape()),
                       part.data());
    } else if constexpr (HasVisit<Part>) {
        part.visit(
            [&](std::string_view name, auto& inner) { walk_state(inner, Path(path, name), archive, met); });
    } else if constexpr (NumberList<Part>) {
        archive.list(path, part);
    } else if constexpr (Numbers<Part>) {
        archive.tensor(path, state_dtype<std::ranges::range_value_t<Part>>, Shape{std::ranges::size(part)},
                       std::ranges::data(part));
    } else {
        static_assert(
            std::ranges::range<Part> && !std::same_as<Part, std::vector<bool>>,
            "can't be saved: neither a number, an array, a parameter, a std::string, an Engine nor a "
            "struct with a member template visit(f) that calls f(name, part) for each part of it");
        std::size_t position = 0;
        for (auto& inner : part) walk_state(inner, Path(path, position++), archive, met);
    }
}

}  // namespace detail

/// Writes a run, or a module alone, as write_file does: `file` is the old one or the whole new one, whenever the process is
/// killed. Throws FileError if that fails, std::invalid_argument if two parts have one name.
template <class Run>
void save(const Run& run, const std::string& file) {
    detail::StateSaver saver;
    detail::Met met;
    // `visit` only says what there is, so one that isn't const will do.
    detail::walk_state(const_cast<Run&>(run), Path(), saver, met);
    saver.write(file);
}

/// Reads it back, into a run that lists the same parts. Throws FileError, before anything is changed, if the file isn't what
/// `save` writes, and names all parts that it lacks, that it has but the run doesn't, and that have another shape or
/// type. Numbers aren't converted.
template <class Run>
void load(Run& run, const std::string& file) {
    detail::StateLoader loader(file);
    detail::Met met;
    detail::walk_state(run, Path(), loader, met);
    loader.finish();
}

}  // namespace xtape::nn
