#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <stdexcept>
#include <string>

#include "nn/dtype.hpp"

namespace xtape::nn {

/// A file that can't be read or written, or isn't what it should be: "[op] FILE: the fault: what was expected".
struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
    FileError(const std::string& op, const std::string& file, const std::string& fault)
        : std::runtime_error("[" + op + "] " + file + ": " + fault) {}
};

namespace detail {

/// A file that the system has opened for this process, closed at the end. Negative if there is none.
class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept;
    Descriptor& operator=(Descriptor&& other) noexcept;
    ~Descriptor() { close(); }

    int number() const { return number_; }
    /// Gives 0, or the system's number of an error: some file systems say only now that the disk is full.
    int close();

private:
    int number_;
};

}  // namespace detail

/// Writes a new file beside `file`, flushes it to the disk, renames it to `file` and flushes the directory. So whenever
/// the process or the machine stops, `file` is the old one or the whole new one. Makes the directory if it isn't there.
///
/// If anything fails, or `write` throws, the new file is removed and `file` is as it was. Only a process that is killed
/// leaves it behind, `.NAME.PID-N.tmp`, until `file` is written the next time. The new file has the old one's permissions;
/// a symbolic link stays, and the file it leads to is replaced. Throws FileError with the system's reason, also if
/// `file` is something else than a regular file.
void write_file(const std::string& file, const std::function<void(std::ostream&)>& write);

/// A regular file that is read piece by piece, by several threads if they like.
///
/// It isn't mapped to memory: a mapped file that another process cuts, or a disk that fails, kills the process by SIGBUS;
/// here both are exceptions. The numbers are copied once either way.
class InputFile {
public:
    /// `op` is what error messages start with. Throws FileError if the file can't be opened, or isn't a regular one.
    explicit InputFile(std::string file, std::string op = "file");

    const std::string& name() const { return name_; }
    /// In bytes, as it was opened.
    std::uint64_t size() const { return size_; }

    /// Copies `count` bytes from position `begin`. Throws FileError if the file doesn't have them (any more).
    void read(std::uint64_t begin, void* bytes, std::size_t count) const;

    /// Copies `count` numbers from position `begin`, converted as dtype.hpp says. Throws FileError, in which they are called
    /// `what`, also if they are floats to be read as integers, or one has no equal number of the type.
    void read_numbers(std::uint64_t begin, DType stored, DType as, void* numbers, std::size_t count,
                      const std::string& what) const;

    [[noreturn]] void fail(const std::string& fault) const { throw FileError(op_, name_, fault); }

private:
    std::string name_;
    std::string op_;
    detail::Descriptor descriptor_;
    std::uint64_t size_ = 0;
};

}  // namespace xtape::nn
