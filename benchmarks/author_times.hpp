#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "benchmarks/contender.hpp"

namespace bench {

/// The time of each contender of a row.
template <class T>
class AuthorTimes {
public:
    AuthorTimes(const Contenders<T>& contenders, const std::vector<double>& seconds) {
        for (std::size_t i = 0; i < contenders.size(); ++i)
            entries_.push_back({contenders[i]->author(), seconds[i]});
    }

    /// Seconds, or NaN for one who isn't there.
    double operator[](Author author) const {
        for (const Entry& entry : entries_)
            if (entry.author == author) return entry.seconds;
        return NAN;
    }

    static void print_header(const Contenders<T>& contenders) {
        for (const auto& contender : contenders) std::printf(" %21s", name(contender->author()));
    }
    /// µs, and how many times as long as the first one.
    void print() const {
        for (const Entry& entry : entries_)
            std::printf(" %12.1f (%6.2f)", entry.seconds * 1e6, entry.seconds / entries_[0].seconds);
    }

private:
    struct Entry {
        Author author;
        double seconds;
    };
    std::vector<Entry> entries_;
};

}  // namespace bench
