#include "examples/chart.hpp"

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

namespace {

Chart line_chart(const std::string& label) {
    Panel panel;
    panel.title = panel.x_label = panel.y_label = label;
    panel.series = {{label, {1, 2, 3}, {1, 10, 100}}};
    return {label, label, {panel}};
}

/// As a function of its own: Catch2 would print the whole picture.
bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// PATH is something else while it lives.
class Path {
public:
    explicit Path(const char* value) : old_(std::getenv("PATH")) { setenv("PATH", value, 1); }
    ~Path() { setenv("PATH", old_.c_str(), 1); }
    Path(const Path&) = delete;
    Path& operator=(const Path&) = delete;

private:
    std::string old_;
};

}  // namespace

TEST_CASE("chart: an SVG holds title, labels, legend and caption") {
    const TemporaryDirectory directory;
    Chart chart = line_chart("a");
    chart.title = "The title";
    chart.caption = "The caption";
    chart.panels[0].x_label = "time step";
    chart.panels[0].y_label = "‖∂L/∂h_t‖";
    chart.panels[0].series[0].name = "LSTM";
    draw(chart, directory / "a.svg");
    const std::string svg = contents_of(directory / "a.svg");
    for (const char* text : {"The title", "The caption", "time step", "‖∂L/∂h_t‖", "LSTM"}) {
        CHECK(holds(svg, text));
    }
    CHECK(holds(svg, "</svg>"));
}

TEST_CASE("chart: a name in .png gives a PNG, in a directory that is made for it") {
    const TemporaryDirectory directory;
    draw(line_chart("a"), directory / "new/a.png");
    CHECK(contents_of(directory / "new/a.png").substr(0, 8) == "\x89PNG\r\n\x1a\n");
}

TEST_CASE("chart: characters that mean something to gnuplot or XML are shown as they are") {
    const TemporaryDirectory directory;
    draw(line_chart("it's \"5\" {a}_b^2 @x \\n `ls` $y # & <b>"), directory / "a.svg");
    CHECK(holds(contents_of(directory / "a.svg"), "it's \"5\" {a}_b^2 @x \\n `ls` $y # &amp; &lt;b>"));
}

TEST_CASE("chart: quotes at the start of a text are shown too") {
    const TemporaryDirectory directory;
    for (const char* text : {"'", "'`echo x`", "''", "'tis", "''a''"}) {
        draw(line_chart(text), directory / "a.svg");
        CHECK(holds(contents_of(directory / "a.svg"), ">" + std::string(text) + "<"));
    }
}

TEST_CASE("chart: bytes that are no text become question marks and line ends become spaces") {
    const TemporaryDirectory directory;
    Chart chart = line_chart("a");
    chart.title = "x\xff\xc3y\nset output 'z' é";
    draw(chart, directory / "a.svg");
    CHECK(holds(contents_of(directory / "a.svg"), "x??y set output 'z' é"));
}

TEST_CASE("chart: an odd file name is used as it is") {
    const TemporaryDirectory directory;
    draw(line_chart("a"), directory / "it's $HOME `a`.svg");
    CHECK(std::filesystem::file_size(directory / "it's $HOME `a`.svg") > 0);
}

TEST_CASE("chart: values that cannot be drawn are left out") {
    const TemporaryDirectory directory;
    Chart chart = line_chart("a");
    const double nan = std::numeric_limits<double>::quiet_NaN();
    chart.panels[0].log_y = true;
    chart.panels[0].series[0].y = {0, nan, 1e-12};
    const std::string script = gnuplot_script(chart);
    CHECK(holds(script, "<< END_OF_DATA\n3 9.9999999999999998e-13\nEND_OF_DATA\n"));
    CHECK_NOTHROW(draw(chart, directory / "a.svg"));
}

TEST_CASE("chart: a log axis spans whole decades") {
    Chart chart = line_chart("a");
    chart.panels[0].log_y = true;
    chart.panels[0].series[0].y = {0.02, 0.5, 30};
    CHECK(holds(gnuplot_script(chart), "set yrange [0.01:100]"));
}

TEST_CASE("chart: a legend of many names covers no curve on a linear axis") {
    Chart chart = line_chart("a");
    Panel& panel = chart.panels[0];
    panel.log_y = false;
    panel.legend = Corner::top_left;
    panel.series.assign(6, {"a", {0, 1}, {0, 100}});
    const std::string script = gnuplot_script(chart);
    const std::string range = "set yrange [";
    double low = 0, high = 0;
    REQUIRE(std::sscanf(script.c_str() + script.find(range) + range.size(), "%lf:%lf", &low, &high) == 2);
    constexpr double line = 22.5 / 400;  // of a name, in a panel of that height
    CHECK(low + (high - low) * (1 - 6 * line) > 100);
    CHECK(low > -10);
}

TEST_CASE("chart: a panel's x axis is logarithmic where it says so, and there alone") {
    Chart chart = line_chart("a");
    chart.panels[0].log_x = true;
    chart.panels[0].series[0] = {"a", {0, 32, 2048}, {5, 6, 7}};
    chart.panels.push_back(line_chart("b").panels[0]);
    const std::string script = gnuplot_script(chart);
    CHECK(holds(script, "<< END_OF_DATA\n32 6\n2048 7\nEND_OF_DATA\n"));
    const std::size_t logarithmic = script.find("set logscale x 2"), linear = script.find("unset logscale x");
    CHECK(logarithmic != std::string::npos);
    CHECK(linear != std::string::npos);
    CHECK(logarithmic < linear);
    chart.panels[0].series[0].x = {0, -1, 0};
    CHECK_THROWS_WITH(gnuplot_script(chart), Contains("no finite positive value"));
}

TEST_CASE("chart: misuse is an error that says what is wrong") {
    const TemporaryDirectory directory;
    CHECK_THROWS_WITH(draw(line_chart("a"), directory / "a.jpg"),
                      Contains(".svg or .png") && Contains("a.jpg"));
    CHECK_THROWS_WITH(draw(Chart(), directory / "a.svg"), Contains("no panel"));
    Chart uneven = line_chart("a");
    uneven.panels[0].series[0].x = {1};
    CHECK_THROWS_WITH(draw(uneven, directory / "a.svg"), Contains("1 x and 3 y"));
    Chart nothing = line_chart("a");
    nothing.panels[0].log_y = true;
    nothing.panels[0].series[0].y = {0, 0, -1};
    CHECK_THROWS_WITH(draw(nothing, directory / "a.svg"), Contains("no finite positive value"));
}

TEST_CASE("chart: without gnuplot the error says what to install, and an old picture stays") {
    const TemporaryDirectory directory;
    const auto picture = directory.write("a.svg", "old");
    const Path path("/nonexistent");
    CHECK_THROWS_WITH(draw(line_chart("a"), picture), Contains("apt install gnuplot-nox"));
    CHECK(contents_of(picture) == "old");
}

// ---- heat maps ---------------------------------------------------------------------------------------------------

namespace {

HeatMaps gates(std::vector<std::vector<double>> rows, std::vector<std::string> ticks) {
    return {"The title", "The caption", "symbol", std::move(ticks), {{"A gate", "unit", std::move(rows)}}};
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

}  // namespace

TEST_CASE("heat map: an SVG holds title, labels, caption and a tick for each column, whatever it is") {
    const TemporaryDirectory directory;
    const std::vector<std::string> ticks{"a", "␣", "%", "'", "\"", "{", "`"};
    draw(gates({{0, 0.25, 0.5, 0.75, 1, 0, 0}, {1, 0, 0, 0, 0, 0, 0}}, ticks), directory / "a.svg");
    const std::string svg = contents_of(directory / "a.svg");
    for (const char* text : {"The title", "The caption", "A gate", "unit", "symbol", "</svg>"})
        CHECK(holds(svg, text));
    for (const std::string& tick : ticks) CHECK(holds(svg, "<text>" + tick + "</text>"));
}

TEST_CASE("heat map: 0 and 1 have the colours at the ends of the palette, and what isn't finite has none") {
    const TemporaryDirectory directory;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::string violet = "rgb( 68,   1,  84)", yellow = "rgb(253, 231,  37)";
    const auto colours = [&](std::vector<std::vector<double>> rows) {
        draw(gates(std::move(rows), {"a", "b"}), directory / "a.svg");
        const std::string svg = contents_of(directory / "a.svg");
        return std::pair(count(svg, violet), count(svg, yellow));
    };
    const auto [violet_bar, yellow_bar] = colours({{nan, nan}, {nan, 0.5}});  // what the colour bar needs
    CHECK((colours({{0, 0}, {0, 1}}) == std::pair(violet_bar + 3, yellow_bar + 1)));
    CHECK((colours({{nan, 1}, {1, 0}}) == std::pair(violet_bar + 1, yellow_bar + 2)));
}

TEST_CASE("heat map: the first row is drawn at the top, and maps are drawn one below the other") {
    HeatMaps maps = gates({{0.125, 0}, {0, 0}, {0, 0.875}}, {"a", "b"});
    maps.maps.push_back(maps.maps[0]);
    const std::string script = gnuplot_script(maps);
    CHECK(holds(script, "0.125 0 \n0 0 \n0 0.875 \nEND_OF_DATA\nset yrange [2.5:-0.5]"));
    CHECK(count(script, "plot $map") == 2);
    CHECK(count(script, "set tmargin at screen") == 2);
}

TEST_CASE("heat map: misuse is an error that says what is wrong") {
    const TemporaryDirectory directory;
    const auto picture = directory / "a.svg";
    CHECK_THROWS_WITH(draw(HeatMaps(), picture), Contains("nothing to draw"));
    CHECK_THROWS_WITH(draw(gates({{1, 0}, {1}}, {"a", "b"}), picture),
                      Contains("1 elements") && Contains("2 ticks"));
    CHECK_THROWS_WITH(draw(gates({{1, 0}}, {"a", "b"}), picture), Contains("1 rows and 2 columns"));
    CHECK_THROWS_WITH(draw(gates({{1, 0}, {1, 0}}, {"a", "b"}), directory / "a.txt"),
                      Contains(".svg or .png"));
    CHECK_FALSE(std::filesystem::exists(picture));
}
