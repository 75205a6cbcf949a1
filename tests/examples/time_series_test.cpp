#include "examples/time_series.hpp"

#include <cmath>
#include <random>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

using namespace examples;
using Catch::Contains;

TEST_CASE("time series: the time and a column by name, or the last one, are read from a table") {
    const TemporaryDirectory directory;
    const auto file =
        directory.write("a.csv", "\"YEAR\",\"HEAT\",\"RAIN\"\r\n1900,1.5,20\r\n1901,-2e1,30\r\n\r\n");
    const TimeSeries last = read_series(file), named = read_series(file, "HEAT");
    CHECK(last.time_name == "YEAR");
    CHECK(last.name == "RAIN");
    CHECK(last.time == std::vector<double>{1900, 1901});
    CHECK(last.values == std::vector<double>{20, 30});
    CHECK(named.values == std::vector<double>{1.5, -20});
}

TEST_CASE("time series: what can't be read is named, with its line") {
    const TemporaryDirectory directory;
    const auto file = directory.write("a.csv", "t,x\n1,2\n2,three\n");
    CHECK_THROWS_WITH(read_series(file), Contains("a.csv, line 3: 'three' is not a number"));
    CHECK_THROWS_WITH(read_series(file, "y"), Contains("a.csv has no column y"));
    CHECK_THROWS_WITH(read_series(directory.write("b.csv", "t,x\n1,2\n2\n")),
                      Contains("line 3: '' is not a number"));
    CHECK_THROWS_WITH(read_series(directory.write("c.csv", "t,x\n1,2 3\n")),
                      Contains("'2 3' is not a number"));
    CHECK_THROWS_WITH(read_series(directory.write("d.csv", "")), Contains("it is empty"));
    CHECK_THROWS_WITH(read_series(directory / "none.csv"), Contains("No such file"));
}

TEST_CASE("autoregression: of order 1 it is the regression line through neighbours, by hand") {
    // Pairs (1,2), (2,4), (4,3), (3,5): means 2.5 and 3.5; the products of the deviations sum to 2, the squares to 5.
    const std::vector<double> series{1, 2, 4, 3, 5};
    const Autoregression model(series, 1);
    CHECK(model.coefficients()[0] == Approx(0.4));
    CHECK(model.constant() == Approx(2.5));
    const std::vector<double> ahead = model.forecast(series, 2);
    CHECK(ahead[0] == Approx(4.5));
    CHECK(ahead[1] == Approx(4.3));
}

TEST_CASE("autoregression: a sampled sine goes on for ever, by x_t = 2 cos(w) x_{t-1} - x_{t-2}") {
    std::vector<double> series;
    for (int t = 0; t < 40; ++t) series.push_back(3 + std::sin(0.5 * t));
    const Autoregression model(series, 2);
    CHECK(model.coefficients()[0] == Approx(2 * std::cos(0.5)));
    CHECK(model.coefficients()[1] == Approx(-1));
    const std::vector<double> ahead = model.forecast(series, 30);
    for (int k = 0; k < 30; ++k)
        CHECK(ahead[static_cast<std::size_t>(k)] == Approx(3 + std::sin(0.5 * (40 + k))));
}

TEST_CASE("autoregression: the AIC finds the order of a process that looks two steps back") {
    std::mt19937 engine(1);
    std::normal_distribution<double> noise;
    std::vector<double> series{0, 0};
    while (series.size() < 3000)
        series.push_back(1.2 * series.back() - 0.7 * series[series.size() - 2] + noise(engine));
    const Autoregression best = Autoregression::best(series, 6);
    CHECK(best.order() >= 2);  // the AIC may ask for more than there is, but hardly for less
    CHECK(best.coefficients()[0] == Approx(1.2).margin(0.06));
    CHECK(best.coefficients()[1] == Approx(-0.7).margin(0.06));
}

TEST_CASE("autoregression: too few values to learn from or to go on from are errors") {
    const std::vector<double> series{1, 2, 4, 3, 5};
    CHECK_THROWS_AS(Autoregression(series, 2), std::invalid_argument);
    CHECK_THROWS_AS(Autoregression(series, 1).forecast({}, 1), std::invalid_argument);
}
