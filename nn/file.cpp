#include "nn/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <ostream>
#include <streambuf>
#include <system_error>
#include <utility>
#include <vector>

namespace xtape::nn {

namespace fs = std::filesystem;

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

int open(const fs::path& file, int flags) {
    int descriptor = -1;
    do {
        descriptor = ::open(file.c_str(), flags | O_CLOEXEC, 0666);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/// What a stream needs to write to a descriptor, and to say why it couldn't.
class DescriptorBuffer : public std::streambuf {
public:
    explicit DescriptorBuffer(int descriptor) : descriptor_(descriptor), buffer_(1 << 16) { empty(); }

    /// 0, or the system's number of the first error.
    int error() const { return error_; }

protected:
    int_type overflow(int_type next) override {
        if (sync() != 0) return traits_type::eof();
        if (!traits_type::eq_int_type(next, traits_type::eof())) sputc(traits_type::to_char_type(next));
        return traits_type::not_eof(next);
    }
    std::streamsize xsputn(const char* bytes, std::streamsize count) override {
        if (count <= epptr() - pptr()) {
            std::copy_n(bytes, count, pptr());
            pbump(static_cast<int>(count));
            return count;
        }
        return sync() == 0 && write(bytes, static_cast<std::size_t>(count)) ? count : 0;
    }
    int sync() override {
        const auto count = static_cast<std::size_t>(pptr() - pbase());
        empty();
        return write(buffer_.data(), count) ? 0 : -1;
    }

private:
    void empty() { setp(buffer_.data(), buffer_.data() + buffer_.size()); }

    bool write(const char* bytes, std::size_t count) {
        while (count > 0 && error_ == 0) {
            const ssize_t written = ::write(descriptor_, bytes, std::min(count, std::size_t(1) << 30U));
            if (written < 0) {
                if (errno != EINTR) error_ = errno;
                continue;
            }
            bytes += written;
            count -= static_cast<std::size_t>(written);
        }
        return error_ == 0;
    }

    int descriptor_;
    std::vector<char> buffer_;
    int error_ = 0;
};

/// A new file's name is this, the process, a number and ".tmp".
std::string start_of_name(const fs::path& target) {
    return "." + target.filename().string().substr(0, 200) + ".";
}

/// A file that is removed again unless it gets its name.
class NewFile {
public:
    /// A file in the same directory, of a name that no other thread or process uses. It is locked, as a sign that
    /// somebody is writing it.
    explicit NewFile(const fs::path& target) {
        static std::atomic<unsigned> made = 0;
        for (;;) {
            path_ = target.parent_path() / (start_of_name(target) + std::to_string(::getpid()) + "-" +
                                            std::to_string(made++) + ".tmp");
            descriptor_ = detail::Descriptor(open(path_, O_WRONLY | O_CREAT | O_EXCL));
            if (descriptor_.number() < 0) {
                if (errno == EEXIST) continue;
                path_.clear();
                return;
            }
            // Before it is locked another process may take it for an abandoned one.
            while (::flock(descriptor_.number(), LOCK_EX) != 0 && errno == EINTR) continue;
            struct stat status {};
            if (::fstat(descriptor_.number(), &status) != 0 || status.st_nlink > 0) return;
        }
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    ~NewFile() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }

    detail::Descriptor& descriptor() { return descriptor_; }
    /// Gives 0 or an error.
    int rename_to(const fs::path& target) {
        if (::rename(path_.c_str(), target.c_str()) != 0) return errno;
        path_.clear();
        return 0;
    }

private:
    fs::path path_;
    detail::Descriptor descriptor_;
};

/// Removes what processes that were killed have left of this file: what no living one has locked.
void remove_abandoned(const fs::path& directory, const fs::path& target) {
    const std::string start = start_of_name(target), end = ".tmp";
    std::error_code error;
    for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (name.size() <= start.size() + end.size() || !name.starts_with(start) || !name.ends_with(end))
            continue;
        const std::size_t last = name.size() - end.size();
        if (name.find_first_not_of("0123456789-", start.size()) < last) continue;
        const detail::Descriptor file(open(entry->path(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW));
        if (file.number() >= 0 && ::flock(file.number(), LOCK_EX | LOCK_NB) == 0)
            ::unlink(entry->path().c_str());
    }
}

/// Where symbolic links lead; there need not be anything yet.
fs::path destination(fs::path file, std::error_code& error) {
    for (int links = 0; fs::is_symlink(fs::symlink_status(file, error)); ++links) {
        if (links == 40) {
            error = std::make_error_code(std::errc::too_many_symbolic_link_levels);
            return file;
        }
        const fs::path next = fs::read_symlink(file, error);
        if (error) return file;
        file = file.parent_path() / next;
    }
    error.clear();
    return file;
}

}  // namespace

namespace detail {

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
}

int Descriptor::close() {
    const int number = std::exchange(number_, -1);
    return number >= 0 && ::close(number) != 0 && errno != EINTR ? errno : 0;
}

}  // namespace detail

void write_file(const std::string& file, const std::function<void(std::ostream&)>& write) {
    const auto fail = [&](const std::string& why) {
        throw FileError("write_file", file, "cannot be written: " + why);
    };
    const auto check = [&](int error) {
        if (error != 0) fail(reason(error));
    };
    std::error_code error;
    const fs::path target = destination(file, error);
    if (error) fail(error.message());
    const fs::path directory = target.has_parent_path() ? target.parent_path() : ".";
    fs::create_directories(directory, error);
    if (error) fail(error.message());
    struct stat old {};
    const bool is_new = ::stat(target.c_str(), &old) != 0;
    if (is_new && errno != ENOENT) fail(reason(errno));
    if (!is_new && !S_ISREG(old.st_mode)) fail("not a regular file");

    remove_abandoned(directory, target);
    NewFile fresh(target);
    detail::Descriptor& descriptor = fresh.descriptor();
    if (descriptor.number() < 0) fail(reason(errno));
    if (!is_new && ::fchmod(descriptor.number(), old.st_mode & 0777U) != 0) fail(reason(errno));
    {
        DescriptorBuffer buffer(descriptor.number());
        std::ostream stream(&buffer);
        write(stream);
        stream.flush();
        check(buffer.error());
        if (!stream) fail("its writer gave up");
    }
    if (::fsync(descriptor.number()) != 0) fail(reason(errno));
    check(fresh.rename_to(target));  // before it is closed, which would unlock it

    // Not every file system can flush a directory, nor may everybody read it; the file is there in any case.
    const detail::Descriptor parent(open(directory, O_RDONLY | O_DIRECTORY));
    if (parent.number() >= 0) ::fsync(parent.number());
}

InputFile::InputFile(std::string file, std::string op) : name_(std::move(file)), op_(std::move(op)) {
    // Not to wait for the other end if it is a pipe.
    descriptor_ = detail::Descriptor(open(name_, O_RDONLY | O_NONBLOCK));
    if (descriptor_.number() < 0) fail("cannot be opened: " + reason(errno));
    struct stat status {};
    if (::fstat(descriptor_.number(), &status) != 0) fail("cannot be read: " + reason(errno));
    if (!S_ISREG(status.st_mode)) fail("not a regular file");
    size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t begin, void* bytes, std::size_t count) const {
    auto* to = static_cast<char*>(bytes);
    const auto missing = [&] {
        fail("ends before byte " + std::to_string(begin + count) +
             ": cut since it was opened, or never so long");
    };
    while (count > 0) {
        const ssize_t found = ::pread(descriptor_.number(), to, std::min(count, std::size_t(1) << 30U),
                                      static_cast<off_t>(begin));
        if (found < 0 && errno == EINTR) continue;
        if (found < 0) fail("cannot be read: " + reason(errno));
        if (found == 0) missing();
        to += found;
        begin += static_cast<std::uint64_t>(found);
        count -= static_cast<std::size_t>(found);
    }
}

void InputFile::read_numbers(std::uint64_t begin, DType stored, DType as, void* numbers, std::size_t count,
                             const std::string& what) const {
    const std::string types =
        what + " of type " + std::string(name_of(stored)) + " read as " + std::string(name_of(as));
    if (!is_convertible(stored, as)) fail(types + ": expected a type of floats");
    if (stored == as && stored != DType::BOOL) {
        read(begin, numbers, count * size_of(as));
        return;
    }
    constexpr std::size_t piece = 4096;
    std::array<std::byte, piece * 8> bytes;
    auto* to = static_cast<std::byte*>(numbers);
    for (std::size_t done = 0; done < count; done += piece) {
        const std::size_t these = std::min(piece, count - done);
        read(begin + done * size_of(stored), bytes.data(), these * size_of(stored));
        const std::size_t converted = convert(stored, bytes.data(), as, to + done * size_of(as), these);
        if (converted < these) {
            fail(types + ": number " + std::to_string(done + converted) +
                 (stored == DType::BOOL ? " is neither 0 nor 1" : " has no equal of that type"));
        }
    }
}

}  // namespace xtape::nn
