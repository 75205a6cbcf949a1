#include "nn/file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace xtape::nn;
using Catch::Contains;
using Catch::StartsWith;
namespace fs = std::filesystem;

namespace {

std::function<void(std::ostream&)> text(const std::string& contents) {
    return [=](std::ostream& out) { out << contents; };
}

std::size_t file_count(const fs::path& directory) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
    return count;
}

/// What write_file says of a file that it can't write; "" if it can.
std::string refusal(const fs::path& file) {
    try {
        write_file(file, text("new"));
    } catch (const FileError& error) {
        return error.what();
    }
    return "";
}

/// As if the disk had no room for longer files.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit limit{bytes, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit old_{};
    void (*handler_)(int);
};

}  // namespace

TEST_CASE("write_file: makes the file and its directories, and replaces an old one") {
    const TemporaryDirectory directory;
    const fs::path file = directory / "a/b/file";
    write_file(file, text("a longer text"));
    CHECK(contents_of(file) == "a longer text");
    write_file(file, text("new"));
    CHECK(contents_of(file) == "new");
    write_file(file, [](std::ostream&) {});
    CHECK(contents_of(file).empty());
    CHECK(file_count(directory / "a/b") == 1);
}

TEST_CASE("write_file: a name alone is a file of the current directory") {
    const TemporaryDirectory directory;
    const fs::path before = fs::current_path();
    fs::current_path(directory.path());
    write_file("file", text("new"));
    fs::current_path(before);
    CHECK(contents_of(directory / "file") == "new");
}

TEST_CASE("write_file: large and small pieces come one after the other") {
    const TemporaryDirectory directory;
    const fs::path file = directory / "file";
    std::string expected;
    write_file(file, [&](std::ostream& out) {
        for (const std::size_t size : {1u, 65535u, 1u, 65536u, 3u, 200000u, 65533u, 2u}) {
            const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
            out << piece;
            out.put('.');
            if (size == 3) out.flush();
            expected += piece + '.';
        }
    });
    CHECK((contents_of(file) == expected));
}

TEST_CASE("write_file: the file is the old one until the new one is whole") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    write_file(file, [&](std::ostream& out) {
        out << "new" << std::flush;
        CHECK(contents_of(file) == "old");
        CHECK(file_count(directory.path()) == 2);
    });
    CHECK(contents_of(file) == "new");
}

TEST_CASE("write_file: what its writer throws gets out, and the file is as it was") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    const auto write = [](std::ostream& out) {
        out << std::string(100000, 'x');
        throw std::domain_error("no more");
    };
    CHECK_THROWS_AS(write_file(file, write), std::domain_error);
    CHECK(contents_of(file) == "old");
    CHECK_THROWS_AS(write_file(directory / "other", write), std::domain_error);
    CHECK(file_count(directory.path()) == 1);
}

TEST_CASE("write_file: a stream that its writer marks as failed is an error") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    const auto write = [](std::ostream& out) { out.setstate(std::ios::failbit); };
    CHECK_THROWS_WITH(write_file(file, write), StartsWith("[write_file] " + file.string() + ": "));
    CHECK(contents_of(file) == "old");
    CHECK(file_count(directory.path()) == 1);
}

TEST_CASE("write_file: where there is no room, the file is as it was and the error gives the reason") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    for (const std::size_t size : {5000u, 100000u}) {  // fails as the rest is flushed, and before
        std::string what;
        {
            const FileSizeLimit limit(4096);
            try {
                write_file(file, text(std::string(size, 'x')));
            } catch (const FileError& error) {
                what = error.what();
            }
        }
        CHECK(what == "[write_file] " + file.string() + ": cannot be written: File too large");
        CHECK(contents_of(file) == "old");
        CHECK(file_count(directory.path()) == 1);
    }
}

TEST_CASE(
    "write_file: a process that is killed as it writes leaves the old file, and the next one tidies up") {
    const TemporaryDirectory directory;
    for (const char* other : {".file.tmp", ".file.1-2", ".file.1x2.tmp", ".other.1-2.tmp", "file.1-2.tmp"})
        directory.write(other, "somebody's");
    const fs::path file = directory.write("file", "old");
    const pid_t child = fork();
    if (child == 0) {
        write_file(file, [](std::ostream& out) {
            out << std::string(100000, 'x') << std::flush;
            raise(SIGKILL);
        });
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(contents_of(file) == "old");
    CHECK(file_count(directory.path()) == 5 + 2);
    write_file(file, text("new"));
    CHECK(contents_of(file) == "new");
    CHECK(file_count(directory.path()) == 5 + 1);
}

TEST_CASE("write_file: what another one is still writing isn't tidied up") {
    const TemporaryDirectory directory;
    const fs::path file = directory / "file";
    write_file(file, [&](std::ostream& out) {
        out << "outer" << std::flush;
        write_file(file, text("inner"));
        CHECK(contents_of(file) == "inner");
        CHECK(file_count(directory.path()) == 2);
    });
    CHECK(contents_of(file) == "outer");
    CHECK(file_count(directory.path()) == 1);
}

TEST_CASE("write_file: several threads that write one file leave that of one of them") {
    const TemporaryDirectory directory;
    const fs::path file = directory / "file";
    std::vector<std::thread> threads;
    for (const char letter : {'a', 'b', 'c', 'd'})
        threads.emplace_back([&file, letter] {
            for (int k = 0; k < 10; ++k) write_file(file, text(std::string(100000, letter)));
        });
    for (std::thread& thread : threads) thread.join();
    const std::string contents = contents_of(file);
    CHECK(contents.size() == 100000);
    CHECK(contents.find_first_not_of(contents[0]) == std::string::npos);
    CHECK(file_count(directory.path()) == 1);
}

TEST_CASE("write_file: a symbolic link stays, and the file that it leads to is replaced") {
    const TemporaryDirectory directory;
    directory.write("old", "old");
    fs::create_directory(directory / "links");
    fs::create_symlink("../old", directory / "links/one");
    fs::create_symlink("one", directory / "links/two");
    write_file(directory / "links/two", text("new"));
    CHECK(fs::is_symlink(directory / "links/two"));
    CHECK(fs::is_symlink(directory / "links/one"));
    CHECK(contents_of(directory / "old") == "new");

    fs::create_symlink(directory / "made", directory / "to nothing");
    write_file(directory / "to nothing", text("new"));
    CHECK(contents_of(directory / "made") == "new");
    fs::create_symlink("circle", directory / "circle");
    CHECK_THAT(refusal(directory / "circle"), Contains("Too many levels of symbolic links"));
    fs::create_directory_symlink(".", directory / "here");
    write_file(directory / "here/file", text("new"));
    CHECK(contents_of(directory / "file") == "new");
}

TEST_CASE("write_file: the new file has the old one's permissions") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    for (const auto permissions : {fs::perms(0600), fs::perms(0664)}) {
        fs::permissions(file, permissions);
        write_file(file, text("new"));
        CHECK((fs::status(file).permissions() == permissions));
    }
}

TEST_CASE("write_file: what isn't a regular file in a directory is refused, and stays") {
    const TemporaryDirectory directory;
    const auto check = [](const fs::path& file, const std::string& reason) {
        CHECK(refusal(file) == "[write_file] " + file.string() + ": cannot be written: " + reason);
    };
    fs::create_directory(directory / "directory");
    check(directory / "directory", "not a regular file");
    REQUIRE(mkfifo((directory / "pipe").c_str(), 0600) == 0);
    check(directory / "pipe", "not a regular file");
    check("/dev/full", "not a regular file");
    directory.write("file", "old");
    check(directory / "file/new", "Not a directory");
    check(directory / std::string(300, 'x'), "File name too long");
    CHECK(file_count(directory.path()) == 3);
    CHECK(fs::is_fifo(directory / "pipe"));
}

TEST_CASE("write_file: where no file can be made, the error gives the reason") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "old");
    fs::permissions(directory.path(), fs::perms(0500));
    const std::string what = refusal(file);
    fs::permissions(directory.path(), fs::perms(0700));
    if (geteuid() != 0) {  // who may write anywhere
        CHECK(what == "[write_file] " + file.string() + ": cannot be written: Permission denied");
        CHECK(contents_of(file) == "old");
    }
    CHECK(file_count(directory.path()) == 1);
    CHECK_THAT(refusal("/proc/file"), StartsWith("[write_file] /proc/file: cannot be written: "));
}

TEST_CASE("write_file: names may be as long as the system lets them be") {
    const TemporaryDirectory directory;
    const fs::path file = directory / std::string(255, 'x');
    write_file(file, text("new"));
    CHECK(contents_of(file) == "new");
}

TEST_CASE("input file: gives the bytes of any part, and says where the file ends") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "0123456789");
    InputFile opened(file, "test");
    CHECK(opened.size() == 10);
    CHECK(opened.name() == file.string());
    std::string bytes(4, ' ');
    opened.read(5, bytes.data(), 4);
    CHECK(bytes == "5678");
    opened.read(10, bytes.data(), 0);
    const std::string start = "[test] " + file.string() + ": ends before byte 11";
    CHECK_THROWS_WITH(opened.read(7, bytes.data(), 4), StartsWith(start));

    const InputFile moved = std::move(opened);
    moved.read(0, bytes.data(), 4);
    CHECK(bytes == "0123");
}

TEST_CASE("input file: a file that is replaced remains, one that is cut is an error") {
    const TemporaryDirectory directory;
    const fs::path file = directory.write("file", "0123456789");
    const InputFile opened(file);
    std::string bytes(4, ' ');
    write_file(file, text("abc"));
    opened.read(6, bytes.data(), 4);
    CHECK(bytes == "6789");

    const InputFile cut(directory.write("cut", "0123456789"));
    fs::resize_file(directory / "cut", 8);
    CHECK_THROWS_AS(cut.read(6, bytes.data(), 4), FileError);
}

TEST_CASE("input file: what can't be opened, or isn't a regular file, is refused at once") {
    const TemporaryDirectory directory;
    const auto refused = [](const fs::path& file, const std::string& reason) {
        CHECK_THROWS_AS(InputFile(file), FileError);
        CHECK_THROWS_WITH(InputFile(file, "test"), Catch::Equals("[test] " + file.string() + ": " + reason));
    };
    refused(directory / "none", "cannot be opened: No such file or directory");
    refused(directory.path(), "not a regular file");
    REQUIRE(mkfifo((directory / "pipe").c_str(), 0600) == 0);
    refused(directory / "pipe", "not a regular file");
    refused("/dev/zero", "not a regular file");
}
