#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/array.hpp"

namespace xtape::nn {

/// What `visit` lists where there are more arrays at one time and fewer at another. A file has them as name.0, name.1, ...,
/// and what is loaded from it gets as many.
template <class T>
struct ArrayList {
    std::vector<Array<T>>& arrays;
    /// What was expected, if arrays of these shapes can't be loaded; else "".
    std::function<std::string(const std::vector<Shape>&)> expected;
};

}  // namespace xtape::nn
