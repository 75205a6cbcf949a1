#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// libFuzzer's; there is none in the program that replays the corpus.
extern "C" [[gnu::weak]] std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t count,
                                                      std::size_t most);

/// Changes the header of a file, or the data behind it, and lets the header's length, which stands before it as a little-endian
/// number of so many bytes, be right again: hardly any change of another length would get beyond that check. Now and then anything
/// is changed.
inline std::size_t mutate_header(std::uint8_t* bytes, std::size_t count, std::size_t most, unsigned seed,
                                 std::size_t length_at, std::size_t length_bytes) {
    const std::size_t header_at = length_at + length_bytes;
    if (seed % 8 == 0 || count < header_at) return LLVMFuzzerMutate(bytes, count, most);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes + length_at, length_bytes);
    length = std::min<std::uint64_t>(length, count - header_at);
    const std::size_t data_at = header_at + length, data = count - data_at;
    if (seed % 8 < 3) return data_at + LLVMFuzzerMutate(bytes + data_at, data, most - data_at);

    constexpr std::size_t longest = 1 << 16;
    static std::uint8_t header[longest];
    if (length > longest || length == 0) return LLVMFuzzerMutate(bytes, count, most);
    std::memcpy(header, bytes + header_at, length);
    const std::size_t changed = LLVMFuzzerMutate(header, length, std::min(longest, most - header_at - data));
    std::memmove(bytes + header_at + changed, bytes + data_at, data);
    std::memcpy(bytes + header_at, header, changed);
    const std::uint64_t new_length = changed;
    std::memcpy(bytes + length_at, &new_length, length_bytes);
    return header_at + changed + data;
}
