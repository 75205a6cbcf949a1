#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace examples {

/// What a step is made of: so many characters, sequences or the like.
struct Samples {
    std::size_t per_step = 0;  ///< 0: not known
    std::string_view name = {};
};

/// Where a run stands. `fraction` is the part done, 0..1 (of the steps or of the time allowed, whichever ends
/// first).
struct Standing {
    double fraction = 0;
    std::size_t steps = 0;
    double seconds = 0;     ///< that the steps since `resumed_steps` took
    std::string_view loss;  ///< ready to print, such as "2.31 bits/char"
    Samples samples = {};
    double resumed_fraction = 0;  ///< what earlier runs did
    std::size_t resumed_steps = 0;
};

/// "  42%|########------------|  840 steps  2.31 bits/char  33.1 steps/s  2.1k chars/s  0:35 left", cut or widened to
/// `width` columns; the bar disappears when there is no room for it.
std::string bar_line(const Standing& now, int width, bool unicode);

/// The same facts without a bar, for files and pipes.
std::string plain_line(const Standing& now);

/// 75 -> "1:15", 4000 -> "1:06:40"
std::string clock_text(double seconds);

/// Shows how a long loop gets on: on a terminal one line that is redrawn at most ten times a second,
/// elsewhere a plain line at the first step, then after each further tenth of the run or 15 seconds,
/// whichever comes first.
class Progress {
public:
    explicit Progress(Samples samples = {}, std::FILE* out = stdout);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// Call after every step. Cheap when nothing is to be drawn. Before the first step it starts the clock anew.
    void update(double fraction, std::size_t steps, std::string_view loss);

    /// Says that a run goes on from here.
    void resume(double fraction, std::size_t steps);

    /// Prints a line that stays, above the bar.
    void note(std::string_view line);

    /// Draws the last state and leaves the line.
    void finish();

    double seconds() const;  ///< since construction

private:
    void draw();

    std::FILE* out_;
    bool terminal_;
    bool unicode_;
    bool bar_on_screen_ = false;
    bool finished_ = false;
    std::chrono::steady_clock::time_point start_;
    double next_seconds_ = 0;
    double next_fraction_ = 0;
    std::size_t drawn_steps_ = 0;
    Standing last_;
    std::string loss_;
};

}  // namespace examples
