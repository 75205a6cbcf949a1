#include "examples/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "examples/format.hpp"

namespace examples {

namespace {

int terminal_width(std::FILE* out) {
    winsize size{};
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            return std::strstr(value, "UTF-8") != nullptr || std::strstr(value, "utf8") != nullptr;
        }
    }
    return false;
}

/// 12.3, 123, 12.3k, 123k, 12.3M
std::string rate_text(double per_second) {
    const char* unit = "";
    for (const char* larger : {"k", "M", "G"}) {
        if (per_second < 999.5) break;
        per_second /= 1000;
        unit = larger;
    }
    return format(per_second < 99.95 ? "%.1f%s" : "%.0f%s", per_second, unit);
}

std::string rates(const Standing& now) {
    if (now.steps <= now.resumed_steps || now.seconds <= 0) return "";
    const double steps = static_cast<double>(now.steps - now.resumed_steps) / now.seconds;
    std::string text = rate_text(steps) + " steps/s";
    if (now.samples.per_step > 0) {
        text += "  " + rate_text(steps * static_cast<double>(now.samples.per_step)) + " ";
        text += std::string(now.samples.name) + "/s";
    }
    return text;
}

std::string time_left(const Standing& now) {
    const double done = now.fraction - now.resumed_fraction;
    if (done <= 0) return "";
    if (now.fraction >= 1) return "in " + clock_text(now.seconds);
    return clock_text(now.seconds * (1 - now.fraction) / done) + " left";
}

std::string percent(double fraction) {
    char text[8];
    std::snprintf(text, sizeof text, "%3d%%", static_cast<int>(100 * std::clamp(fraction, 0.0, 1.0)));
    return text;
}

std::string facts(const Standing& now) {
    std::string line = std::to_string(now.steps) + " steps";
    for (const std::string& part : {std::string(now.loss), rates(now), time_left(now)}) {
        if (!part.empty()) line += "  " + part;
    }
    return line;
}

constexpr int shortest_bar = 8;
constexpr int longest_bar = 40;

}  // namespace

std::string clock_text(double seconds) {
    const long whole = std::lround(std::clamp(seconds, 0.0, 3.6e6));
    char text[32];
    if (whole < 3600) {
        std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
    } else {
        std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    }
    return text;
}

std::string bar_line(const Standing& now, int width, bool unicode) {
    const std::string text = facts(now);
    // Layout: "100%|bar| text"; the last column stays free, or some terminals wrap.
    const int room = width - 1 - 4 - 3 - static_cast<int>(text.size());
    std::string line = percent(now.fraction);
    if (room >= shortest_bar) {
        const int cells = std::min(room, longest_bar);
        const int full = static_cast<int>(std::clamp(now.fraction, 0.0, 1.0) * cells);
        line += unicode ? " " : "|";
        for (int i = 0; i < cells; ++i) {
            if (unicode) {
                line += i < full ? "\u2588" : "\u2591";
            } else {
                line += i < full ? '#' : '-';
            }
        }
        line += unicode ? "  " : "| ";
        return line + text;
    }
    line += "  " + text;
    return line.substr(0, static_cast<std::size_t>(std::max(0, width - 1)));
}

std::string plain_line(const Standing& now) { return percent(now.fraction) + "  " + facts(now); }

Progress::Progress(Samples samples, std::FILE* out)
    : out_(out),
      terminal_(isatty(fileno(out)) != 0),
      unicode_(locale_is_utf8()),
      start_(std::chrono::steady_clock::now()) {
    last_.samples = samples;
}

Progress::~Progress() { finish(); }

double Progress::seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::update(double fraction, std::size_t steps, std::string_view loss) {
    if (steps == 0) {
        start_ = std::chrono::steady_clock::now();
        return;
    }
    last_.fraction = fraction;
    last_.steps = steps;
    last_.seconds = seconds();
    loss_ = loss;
    if (last_.seconds < next_seconds_ && (terminal_ || fraction < next_fraction_)) return;
    next_seconds_ = last_.seconds + (terminal_ ? 0.1 : 15.0);
    next_fraction_ = (std::floor(fraction * 10) + 1) / 10;
    draw();
}

void Progress::resume(double fraction, std::size_t steps) {
    last_.resumed_fraction = fraction;
    last_.resumed_steps = steps;
}

void Progress::draw() {
    last_.loss = loss_;
    drawn_steps_ = last_.steps;
    if (terminal_) {
        std::fprintf(out_, "\r%s\x1b[K", bar_line(last_, terminal_width(out_), unicode_).c_str());
        bar_on_screen_ = true;
    } else {
        std::fprintf(out_, "%s\n", plain_line(last_).c_str());
    }
    std::fflush(out_);
}

void Progress::note(std::string_view line) {
    if (bar_on_screen_) std::fputs("\r\x1b[K", out_);
    std::fprintf(out_, "%.*s\n", static_cast<int>(line.size()), line.data());
    if (bar_on_screen_) {
        draw();
    } else {
        std::fflush(out_);
    }
}

void Progress::finish() {
    if (finished_) return;
    finished_ = true;
    if (last_.steps == 0) return;
    if (terminal_ || drawn_steps_ != last_.steps) draw();
    if (bar_on_screen_) std::fputc('\n', out_);
    bar_on_screen_ = false;
    std::fflush(out_);
}

}  // namespace examples
