#include "nn/mismatch.hpp"

#include <algorithm>
#include <cstddef>

namespace xtape::nn::detail {

std::string Mismatch::text() const {
    constexpr std::size_t most = 50;
    std::string text;
    const auto list = [&](const char* kind, const std::vector<std::string>& tensors) {
        if (tensors.empty()) return;
        text += (text.empty() ? "" : "; ") + std::string(kind) + ": ";
        for (std::size_t k = 0; k < std::min(most, tensors.size()); ++k)
            text += (k > 0 ? ", " : "") + tensors[k];
        if (tensors.size() > most) text += ", and " + std::to_string(tensors.size() - most) + " more";
    };
    list("missing", missing);
    list("unknown", unknown);
    list("misshaped", misshaped);
    return text;
}

std::string printable(const std::string& name) {
    constexpr std::size_t longest = 100;
    std::string text = name;
    if (text.size() > longest) {
        std::size_t end = longest;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // whole in UTF-8
        text = text.substr(0, end) + "...";
    }
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
    std::ranges::replace_if(text, is_control, '?');
    return text;
}

}  // namespace xtape::nn::detail
