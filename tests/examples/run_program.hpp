#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/temporary_directory.hpp"

extern char** environ;

/// What an example program did.
struct Run {
    int exit_code = 0;  ///< minus the signal, if one ended it
    std::string out, err;
};

/// Runs a program of examples/ in `directory`. `meanwhile` is called with the process id while it runs, and
/// with what it has printed so far, ten times a second; the program is killed after a minute.
inline Run run_program(const std::string& name, std::vector<std::string> arguments,
                       const TemporaryDirectory& directory,
                       const std::function<void(pid_t, const std::string&)>& meanwhile = {}) {
    const std::string program = std::string(EXAMPLES_DIR) + "/" + name;
    const std::string out = directory / ".out", err = directory / ".err";
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addchdir_np(&actions, directory.path().c_str());
    pid_t child = 0;
    const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot run " + program);

    int status = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > deadline) kill(child, SIGKILL);
        if (meanwhile) meanwhile(child, contents_of(out));
        std::this_thread::sleep_for(std::chrono::milliseconds(meanwhile ? 100 : 5));
    }
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), contents_of(out), contents_of(err)};
}
