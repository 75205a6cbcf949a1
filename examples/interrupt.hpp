#pragma once

#include <csignal>

namespace examples {

/// While an Interrupt lives, the first SIGINT (Ctrl-C) or SIGTERM only raises a flag, so that a long loop can
/// stop at a good place and save what it has; the second one ends the program at once, as usual. One at a
/// time: the flag belongs to the process.
class Interrupt {
public:
    Interrupt() {
        signal_ = 0;
        struct sigaction action {};
        action.sa_handler = [](int signal) { signal_ = signal; };
        // RESETHAND: the default action returns with the first signal.  RESTART: a write under way is
        // finished.
        action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, &old_int_);
        sigaction(SIGTERM, &action, &old_term_);
    }
    ~Interrupt() {
        sigaction(SIGINT, &old_int_, nullptr);
        sigaction(SIGTERM, &old_term_, nullptr);
    }
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    bool requested() const noexcept { return signal_ != 0; }

    /// What a program returns after it ended cleanly: 0, or 128 + the signal (130 for Ctrl-C), as shells
    /// expect.
    int exit_code() const noexcept { return signal_ == 0 ? 0 : 128 + signal_; }

private:
    static inline volatile std::sig_atomic_t signal_ = 0;
    struct sigaction old_int_ {};
    struct sigaction old_term_ {};
};

}  // namespace examples
