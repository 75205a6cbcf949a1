#pragma once

#include <string>

namespace bench {

/// What a row of a table is to reach. A ratio of which a part isn't there (NaN) is no target.
class Targets {
public:
    Targets& at_least(const std::string& what, double ratio, double bound);
    Targets& at_most(const std::string& what, double ratio, double bound);

    /// "ok", or what was missed and by how much; empty if nothing was asked.
    std::string verdict() const;

private:
    void judge(bool met, const std::string& what, double ratio, const char* relation, double bound);

    bool asked_ = false;
    std::string missed_;
};

}  // namespace bench
