#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace examples {

/// A curve. Points that are NaN or infinite, or not positive on a log axis, are left out.
struct Series {
    enum class Style {
        line,       ///< with dots where there are few points
        dashed,     ///< a variant of another series: give both the same colour
        reference,  ///< thin grey dashes: a level to compare with
    };
    std::string name;
    std::vector<double> x;
    std::vector<double> y;
    Style style = Style::line;
    int colour =
        -1;  ///< index into the palette (Okabe & Ito's, safe for colour-blind readers); -1: the next one
};

/// Where the legend goes: the corner that the curves leave free.
enum class Corner { top_left, top_right, bottom_left, bottom_right };

/// One pair of axes.
struct Panel {
    std::string title;
    std::string x_label;  ///< with the unit
    std::string y_label;
    bool log_y = false;
    Corner legend = Corner::top_right;
    std::vector<Series> series;
    bool log_x = false;  ///< marked at powers of 2: for sizes that double
};

/// Panels side by side, a title above, a caption below (wrapped; '\n' starts a paragraph).
struct Chart {
    std::string title;
    std::string caption;
    std::vector<Panel> panels;
};

/// Numbers between 0 and 1 over time, a row for each unit; NaN is left blank.
struct HeatMap {
    std::string title;
    std::string y_label;
    std::vector<std::vector<double>> rows;  ///< from the top, all of one length
};

/// Heat maps one above the other, over the same time steps, with one colour bar beside each.
struct HeatMaps {
    std::string title;
    std::string caption;  ///< as a Chart's
    std::string x_label;
    std::vector<std::string> ticks;  ///< what stands under each column, of a character or two
    std::vector<HeatMap> maps;
};

/// Draws with gnuplot into a .svg or .png file, which is replaced only when the new one is whole. Any UTF-8
/// text may be in the labels; other bytes are shown as '?'. Throws std::invalid_argument for another suffix,
/// or a series whose x and y differ in length, or a panel without a single point; std::runtime_error when
/// gnuplot is not installed or reports an error.
void draw(const Chart& chart, const std::filesystem::path& picture);

/// The same for heat maps: throws std::invalid_argument for another suffix, or if there is no map, or one with
/// fewer than two rows or columns, or whose rows don't have an element for each tick.
void draw(const HeatMaps& maps, const std::filesystem::path& picture);

/// What draw() gives to gnuplot, which writes the picture to its standard output.
std::string gnuplot_script(const Chart& chart, bool png = false);
std::string gnuplot_script(const HeatMaps& maps, bool png = false);

/// Throws what draw() would throw for this name or place, before hours of computing.
void check_picture(const std::filesystem::path& picture);

}  // namespace examples
