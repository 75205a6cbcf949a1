#pragma once

#include <array>
#include <string_view>

namespace xtape {

/// The one list of the ops that aren't pointwise (those are in PointwiseOps): whatever else a node can be made by. The
/// gradient of each is tested because it is listed, and what isn't listed doesn't compile.
inline constexpr auto structural_ops = std::to_array<std::string_view>({
    "statement",
    "matmul",
    "batched_matmul",  //
    "sum",
    "mean",
    "var",
    "max",
    "min",
    "cumsum",  //
    "logsumexp",
    "softmax",
    "log_softmax",  //
    "slice",
    "select",
    "reshape",
    "transpose",
    "broadcast_to",
    "contiguous",  //
    "place",       // the way back from a view
    "concatenate",
    "stack",
    "pad",
    "flip",  //
    "take",
    "add_at",
    "take_along_axis",
    "add_along_axis",  //
    "stop_gradient",
    "checkpoint",  //
});

/// The name of a rule. Made from a text, it is checked while compiling.
class RuleName {
public:
    consteval RuleName(const char* name) : text_(name) {  // NOLINT(google-explicit-constructor)
        for (std::string_view listed : structural_ops) {
            if (listed == name) return;
        }
        throw "add the op to structural_ops, so that it is tested";
    }

    /// For ops that aren't xtape's own; test them with gradcheck.
    static constexpr RuleName of_own_op(const char* name) { return RuleName(name, Own{}); }

    constexpr const char* text() const { return text_; }

private:
    struct Own {};
    constexpr RuleName(const char* name, Own) : text_(name) {}

    const char* text_;
};

}  // namespace xtape
