#include "examples/chart.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "examples/utf8.hpp"
#include "nn/file.hpp"

extern char** environ;

namespace examples {

namespace fs = std::filesystem;

namespace {

// Okabe & Ito (2008), "Color universal design", darkest first; black is left for text.
constexpr const char* palette[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"};
constexpr int palette_size = static_cast<int>(std::size(palette));

// Everything in pixels of the SVG.
constexpr int margin = 24, title_height = 52, panel_height = 400, panel_title = 30;
constexpr int axis_left = 88, axis_bottom = 62, caption_line = 19;
constexpr double caption_char = 6.7;  // mean width of a letter of the caption

/// A gnuplot string: in single quotes nothing is special but the quote itself. Doubling it goes wrong at the start, and
/// "'" makes gnuplot run what it then takes to be `commands`, so it is written as a number: 'it'."\047".'s'.
std::string literal(std::string_view text) {
    std::string out = "'";
    for (const char c : printable(text)) {
        if (c == '\'')
            out += "'.\"\\047\".'";
        else
            out += c;
    }
    return out + "'";
}

/// The label of a tick is a format to gnuplot, in which a '%' has to be doubled.
std::string without_format(const std::string& label) {
    std::string out;
    for (const char c : label) out += c == '%' ? std::string("%%") : std::string(1, c);
    return out;
}

struct Point {
    double x, y;
};

std::vector<Point> drawable(const Series& series, const Panel& panel) {
    std::vector<Point> points;
    for (std::size_t i = 0; i < series.x.size(); ++i) {
        const double x = series.x[i], y = series.y[i];
        if (!std::isfinite(x) || !std::isfinite(y)) continue;
        if ((panel.log_x && x <= 0) || (panel.log_y && y <= 0)) continue;
        points.push_back({x, y});
    }
    return points;
}

void check(const Chart& chart) {
    if (chart.panels.empty()) throw std::invalid_argument("chart: there is no panel to draw");
    for (const Panel& panel : chart.panels) {
        std::size_t points = 0;
        for (const Series& series : panel.series) {
            if (series.x.size() != series.y.size()) {
                throw std::invalid_argument("chart: series \"" + series.name + "\" has " +
                                            std::to_string(series.x.size()) + " x and " +
                                            std::to_string(series.y.size()) + " y values");
            }
            points += drawable(series, panel).size();
        }
        if (points == 0) {
            throw std::invalid_argument("chart: panel \"" + panel.title + "\" has no finite" +
                                        (panel.log_x || panel.log_y ? " positive" : "") + " value to draw");
        }
    }
}

const char* corner(Corner place) {
    switch (place) {
        case Corner::top_left: return "top left";
        case Corner::bottom_left: return "bottom left";
        case Corner::bottom_right: return "bottom right";
        case Corner::top_right: break;
    }
    return "top right";
}

struct Range {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    void include(double v) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
};

void write_panel(std::ostream& out, const Panel& panel) {
    Range xs, ys;
    std::ostringstream plots;
    plots.precision(17);
    int next_colour = 0;
    for (std::size_t k = 0; k < panel.series.size(); ++k) {
        const Series& series = panel.series[k];
        const std::vector<Point> points = drawable(series, panel);
        if (points.empty()) continue;
        out << "$series" << k << " << END_OF_DATA\n";
        for (const Point& p : points) {
            out << p.x << ' ' << p.y << '\n';
            xs.include(p.x);
            ys.include(p.y);
        }
        out << "END_OF_DATA\n";

        const bool reference = series.style == Series::Style::reference;
        const int colour = series.colour >= 0 ? series.colour : next_colour;
        if (!reference) next_colour = colour + 1;
        plots << (plots.tellp() == 0 ? "plot " : ", \\\n     ") << "$series" << k << " using 1:2 with "
              << (points.size() <= 30 && !reference ? "linespoints pt 7 ps 0.45 " : "lines ") << "lw "
              << (reference ? "1.4" : "2.2") << " dt "
              << (reference                               ? "(4,4)"
                  : series.style == Series::Style::dashed ? "(9,5)"
                                                          : "1")
              << " lc rgb '" << (reference ? "#777777" : palette[colour % palette_size]) << "' title "
              << literal(series.name) << " noenhanced";
    }
    if (xs.low == xs.high) xs = panel.log_x ? Range{xs.low / 2, xs.high * 2} : Range{xs.low - 1, xs.high + 1};
    // On a log axis whole decades; on a linear one a little air, and room for the legend.
    if (panel.log_y) {
        ys = {std::pow(10, std::floor(std::log10(ys.low))), std::pow(10, std::ceil(std::log10(ys.high)))};
        ys.low = std::max(ys.low, 1e-300);
        if (ys.low == ys.high) ys = {ys.low / 10, ys.high * 10};
    } else {
        const double range = ys.high > ys.low ? ys.high - ys.low : 1;
        // The share of the axis that the legend takes, and what has to be added to the axis, with its air, for that.
        const double share = std::min(0.04 + 0.056 * static_cast<double>(panel.series.size()), 0.6);
        const double for_legend = range * (1.1 * share - 0.05) / (1 - share);
        const bool on_top = panel.legend == Corner::top_left || panel.legend == Corner::top_right;
        ys = {ys.low - 0.05 * range - (on_top ? 0 : for_legend),
              ys.high + 0.05 * range + (on_top ? for_legend : 0)};
    }
    out << (panel.log_x ? "set logscale x 2\n" : "unset logscale x\n")
        << (panel.log_y ? "set logscale y 10\nset format y '10^{%T}'\n"
                        : "unset logscale y\nset format y '%g'\n")
        << "set xrange [" << xs.low << ":" << xs.high << "]\nset yrange [" << ys.low << ":" << ys.high
        << "]\n"
        << "set title " << literal(panel.title) << " noenhanced\n"
        << "set xlabel " << literal(panel.x_label) << " noenhanced\n"
        << "set ylabel " << literal(panel.y_label) << " noenhanced\n"
        << "set key " << corner(panel.legend) << "\n"
        << plots.str() << "\n";
}

void check(const HeatMaps& maps) {
    if (maps.maps.empty()) throw std::invalid_argument("heat map: there is nothing to draw");
    for (const HeatMap& map : maps.maps) {
        if (map.rows.size() < 2 || maps.ticks.size() < 2) {
            throw std::invalid_argument(
                "heat map: \"" + map.title + "\" has " + std::to_string(map.rows.size()) + " rows and " +
                std::to_string(maps.ticks.size()) + " columns: expected at least two of each");
        }
        for (const std::vector<double>& row : map.rows) {
            if (row.size() != maps.ticks.size()) {
                throw std::invalid_argument("heat map: a row of \"" + map.title + "\" has " +
                                            std::to_string(row.size()) + " elements and the time axis " +
                                            std::to_string(maps.ticks.size()) + " ticks");
            }
        }
    }
}

void write_map(std::ostream& out, std::size_t k, const HeatMap& map) {
    out << "$map" << k << " << END_OF_DATA\n";
    for (const std::vector<double>& row : map.rows) {
        for (const double v : row) {
            if (std::isfinite(v))
                out << v << ' ';
            else
                out << "? ";
        }
        out << '\n';
    }
    // Rows from the top, so the axis runs downwards.
    out << "END_OF_DATA\nset yrange [" << static_cast<double>(map.rows.size()) - 0.5 << ":-0.5]\n"
        << "set title " << literal(map.title) << " noenhanced\n"
        << "set ylabel " << literal(map.y_label) << " noenhanced\n"
        << "plot $map" << k << " matrix with image pixels notitle\n";
}

/// From pixels of a picture to gnuplot's coordinates.
struct Frame {
    int width, height;
    double across(double pixels) const { return pixels / width; }
    double up(double from_top) const { return 1 - from_top / height; }
};

/// What all pictures begin with: size, fonts, the title and the caption under what ends at `plots_bottom`.
void write_frame(std::ostream& out, const Frame& frame, const std::string& title,
                 const std::vector<std::string>& caption, int plots_bottom, bool png) {
    out << "set encoding utf8\n"
        << "set terminal " << (png ? "pngcairo" : "svg") << " enhanced size " << frame.width << ","
        << frame.height << " background rgb 'white' font 'DejaVu Sans," << (png ? "9" : "12") << "'\n"
        << "set border 3 lc rgb '#555555'\n"
        << "set tics nomirror out scale 0.6 textcolor rgb '#333333'\n"
        << "set grid ytics back lt 1 lw 0.8 lc rgb '#E4E4E4'\n"
        << "set key inside Left reverse spacing 1.25 samplen 2.4 opaque fillcolor rgb 'white' noenhanced\n"
        << "set multiplot\n"
        << "set label 1 " << literal(title) << " at screen " << frame.across(margin) << ", screen "
        << frame.up(30) << " font ',16' noenhanced\n";
    for (std::size_t i = 0; i < caption.size(); ++i) {
        out << "set label " << i + 2 << ' ' << literal(caption[i]) << " at screen " << frame.across(margin)
            << ", screen " << frame.up(plots_bottom + caption_line * (static_cast<double>(i) + 0.7))
            << " tc rgb '#444444' noenhanced\n";
    }
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File unnamed_file() {
    File file(std::tmpfile(), &std::fclose);
    if (!file)
        throw std::runtime_error(std::string("chart: cannot make a temporary file: ") + std::strerror(errno));
    return file;
}

std::string contents(std::FILE* file) {
    std::string text;
    std::rewind(file);
    for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
    return text;
}

/// What gnuplot makes of the script, by files rather than pipes: nothing to deadlock on, no shell to quote for.
std::string run_gnuplot(const std::string& script) {
    const File input = unnamed_file(), picture = unnamed_file(), errors = unnamed_file();
    std::fwrite(script.data(), 1, script.size(), input.get());
    std::fflush(input.get());
    std::rewind(input.get());

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(input.get()), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(picture.get()), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(errors.get()), STDERR_FILENO);
    char name[] = "gnuplot", defaults[] = "--default-settings";
    char* arguments[] = {name, defaults, nullptr};
    pid_t child = 0;
    const int spawned = posix_spawnp(&child, name, &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (spawned == ENOENT) {
        throw std::runtime_error("chart: gnuplot is not installed (on Debian: apt install gnuplot-nox)");
    }
    if (spawned != 0)
        throw std::runtime_error(std::string("chart: cannot run gnuplot: ") + std::strerror(spawned));

    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error("chart: gnuplot failed: " + contents(errors.get()));
    }
    return contents(picture.get());
}

}  // namespace

void check_picture(const fs::path& picture) {
    const std::string suffix = picture.extension().string();
    if (suffix != ".svg" && suffix != ".png") {
        throw std::invalid_argument("chart: the picture's name must end in .svg or .png, not " +
                                    picture.string());
    }
    std::error_code error;
    if (picture.has_parent_path()) fs::create_directories(picture.parent_path(), error);
    const fs::path trial =
        picture.parent_path() / ("." + picture.stem().string() + "." + std::to_string(getpid()));
    const File file(error ? nullptr : std::fopen(trial.c_str(), "wb"), &std::fclose);
    if (!file) {
        throw std::runtime_error("chart: cannot write " + picture.string() + ": " +
                                 (error ? error.message() : std::strerror(errno)));
    }
    fs::remove(trial, error);
}

std::string gnuplot_script(const Chart& chart, bool png) {
    check(chart);
    const int panels = static_cast<int>(chart.panels.size());
    const int panel_width = panels == 1 ? 820 : 560;
    const int width = 2 * margin + panels * panel_width;
    const auto caption =
        wrapped(chart.caption, static_cast<std::size_t>((width - 2 * margin) / caption_char));
    const bool titles = std::any_of(chart.panels.begin(), chart.panels.end(),
                                    [](const Panel& panel) { return !panel.title.empty(); });
    const int plots_top = title_height + (titles ? panel_title : 0);
    const int plots_bottom = plots_top + panel_height + axis_bottom;  // from the top, as all of these
    const int height = plots_bottom + caption_line * static_cast<int>(caption.size()) + margin;
    const Frame frame{width, height};

    std::ostringstream out;
    out.precision(17);
    write_frame(out, frame, chart.title, caption, plots_bottom, png);
    for (int k = 0; k < panels; ++k) {
        const int left = margin + k * panel_width;
        out << "set lmargin at screen " << frame.across(left + axis_left) << "\nset rmargin at screen "
            << frame.across(left + panel_width - 20) << "\nset tmargin at screen " << frame.up(plots_top)
            << "\nset bmargin at screen " << frame.up(plots_top + panel_height) << "\n";
        write_panel(out, chart.panels[static_cast<std::size_t>(k)]);
        out << "unset label\n";
    }
    out << "unset multiplot\n";
    return out.str();
}

std::string gnuplot_script(const HeatMaps& maps, bool png) {
    check(maps);
    constexpr int map_height = 230, map_title = 46, map_ticks = 26, colour_bar = 84;
    const int columns = static_cast<int>(maps.ticks.size());
    const int plot_width = std::clamp(13 * columns, 500, 1500);
    const int width = 2 * margin + axis_left + plot_width + colour_bar;
    const auto caption = wrapped(maps.caption, static_cast<std::size_t>((width - 2 * margin) / caption_char));
    const int each = map_title + map_height + map_ticks;
    const int plots_bottom =
        title_height + each * static_cast<int>(maps.maps.size()) + axis_bottom - map_ticks;
    const int height = plots_bottom + caption_line * static_cast<int>(caption.size()) + margin;

    const Frame frame{width, height};

    std::ostringstream out;
    out.precision(17);
    write_frame(out, frame, maps.title, caption, plots_bottom, png);
    // Viridis, of which gnuplot 5.4 doesn't know the name: even in lightness, and for colour-blind readers.
    out << "set palette defined (0 '#440154', 0.25 '#3B528B', 0.5 '#21918C', 0.75 '#5EC962', 1 '#FDE725')\n"
        << "set cbrange [0:1]\nset cbtics 0.25\nset format cb '%g'\nset datafile missing '?'\n"
        << "unset grid\nset border 15 lc rgb '#555555'\nset format y '%g'\nset ytics nomirror\n"
        << "set xrange [-0.5:" << columns - 0.5 << "]\nset xtics scale 0 (";
    for (int t = 0; t < columns; ++t) {
        out << (t == 0 ? "" : ", ") << literal(without_format(maps.ticks[static_cast<std::size_t>(t)])) << ' '
            << t;
    }
    out << ") noenhanced\n";
    for (std::size_t k = 0; k < maps.maps.size(); ++k) {
        const int top = title_height + each * static_cast<int>(k) + map_title;
        out << "set lmargin at screen " << frame.across(margin + axis_left) << "\nset rmargin at screen "
            << frame.across(margin + axis_left + plot_width) << "\nset tmargin at screen " << frame.up(top)
            << "\nset bmargin at screen " << frame.up(top + map_height)
            << "\nset colorbox user origin screen " << frame.across(margin + axis_left + plot_width + 20)
            << ", screen " << frame.up(top + map_height) << " size screen " << frame.across(16) << ", screen "
            << 1 - frame.up(map_height) << "\n";
        if (k + 1 == maps.maps.size()) out << "set xlabel " << literal(maps.x_label) << " noenhanced\n";
        write_map(out, k, maps.maps[k]);
        out << "unset label\n";
    }
    out << "unset multiplot\n";
    return out.str();
}

namespace {

template <class Picture>
void draw_whole(const Picture& content, const fs::path& picture) {
    check_picture(picture);
    const std::string drawn = run_gnuplot(gnuplot_script(content, picture.extension() == ".png"));
    xtape::nn::write_file(picture, [&](std::ostream& out) { out << drawn; });
}

}  // namespace

void draw(const Chart& chart, const fs::path& picture) { draw_whole(chart, picture); }
void draw(const HeatMaps& maps, const fs::path& picture) { draw_whole(maps, picture); }

}  // namespace examples
