#pragma once

#include <cstdint>

namespace xtape::nn {

/// What `visit` lists of a part that was made with some number: a run that is resumed has to be made with the same one.
struct Unchanged {
    std::uint64_t number;
};

}  // namespace xtape::nn
