#include "examples/save.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

namespace examples {

namespace fs = std::filesystem;

fs::path beside(const fs::path& target) {
    const std::string name =
        "." + target.stem().string() + "." + std::to_string(::getpid()) + target.extension().string();
    return target.parent_path() / name;
}

void save(const fs::path& target, std::string_view contents) {
    const auto fail = [&](const std::string& reason) {
        throw std::runtime_error("save: cannot write " + target.string() + ": " + reason);
    };
    std::error_code error;
    if (target.has_parent_path()) fs::create_directories(target.parent_path(), error);
    if (error) fail(error.message());

    const fs::path fresh = beside(target);
    {
        errno = 0;
        std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
        out.write(contents.data(), static_cast<std::streamsize>(contents.size()));
        out.close();
        if (!out) {
            const std::string reason = std::strerror(errno);
            fs::remove(fresh, error);
            fail(reason);
        }
    }
    fs::rename(fresh, target, error);
    if (error) {
        const std::string reason = error.message();
        fs::remove(fresh, error);
        fail(reason);
    }
}

}  // namespace examples
