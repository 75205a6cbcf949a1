#include "examples/interrupt.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/catch.hpp"

using examples::Interrupt;

namespace {
/// How a child ends that runs `body`: its exit code, or minus the signal that ended it.
template <class F>
int end_of_child(F&& body) {
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGINT, SIG_DFL);  // Catch2 has a handler of its own
        _exit(body());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
}  // namespace

TEST_CASE("interrupt: the first Ctrl-C only raises the flag") {
    CHECK(end_of_child([] {
              const Interrupt interrupt;
              if (interrupt.requested() || interrupt.exit_code() != 0) return 1;
              std::raise(SIGINT);
              return interrupt.requested() ? interrupt.exit_code() : 2;
          }) == 130);
}

TEST_CASE("interrupt: SIGTERM is taken in the same way") {
    CHECK(end_of_child([] {
              const Interrupt interrupt;
              std::raise(SIGTERM);
              return interrupt.exit_code();
          }) == 143);
}

TEST_CASE("interrupt: the second Ctrl-C ends the program") {
    CHECK(end_of_child([] {
              const Interrupt interrupt;
              std::raise(SIGINT);
              std::raise(SIGINT);
              return 0;
          }) == -SIGINT);
}

TEST_CASE("interrupt: afterwards Ctrl-C means what it did before") {
    CHECK(end_of_child([] {
              { const Interrupt interrupt; }
              std::raise(SIGINT);
              return 0;
          }) == -SIGINT);
}
