// Recurrent layers, by xtape, by hand and by other libraries: every table of docs/performance.md that is about them.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "benchmarks/contender.hpp"
#include "benchmarks/machine.hpp"
#include "benchmarks/problem.hpp"
#include "benchmarks/tables.hpp"

namespace {

using namespace bench;

struct Table {
    std::string name;
    bool (*print)(const Settings&);
};
const std::vector<Table> tables = {
    {"layers", layers_table},   {"long", long_table},           {"double", double_table},
    {"memory", memory_table},   {"streaming", streaming_table}, {"overhead", overhead_table},
    {"threads", threads_table}, {"lengths", lengths_table},     {"checkpoints", checkpoints_table}};

struct Options {
    std::vector<std::string> tables, cells;
    std::vector<std::string> sizes = {"1,50,64,64", "1,100,32,32", "16,50,64,128", "32,100,128,256",
                                      "64,50,256,512"};
    double seconds = 3;
    bool quick = false;
};

Size parse_size(const std::string& text) {
    std::istringstream in(text);
    Size size{};
    char comma = ',';
    in >> size.batch >> comma >> size.steps >> comma >> size.inputs >> comma >> size.hidden;
    if (!in || size.batch == 0 || size.steps < 2 || size.inputs == 0 || size.hidden == 0)
        throw CLI::ValidationError("--sizes", "'" + text + "' isn't B,T,D,H with B, D, H > 0 and T > 1");
    return size;
}

Settings settings_from(const Options& options) {
    Settings settings{{}, {}, options.quick ? 0.1 : options.seconds, options.quick};
    for (const auto& [name, cell] : cell_names())
        if (std::count(options.cells.begin(), options.cells.end(), name) > 0) settings.cells.push_back(cell);
    for (const std::string& text : options.sizes) {
        const Size size = parse_size(text);
        if (!options.quick || size.batch <= 16) settings.sizes.push_back(size);
    }
    return settings;
}

void print_surroundings() {
    std::printf("%s", machine_description().c_str());
    for (const auto& [peer, version] :
         {std::pair("oneDNN", onednn_version()), std::pair("libtorch", libtorch_version())})
        std::printf("%s\n", version.empty() ? (std::string(peer) + ": not found").c_str() : version.c_str());
    for (const std::string& warning : machine_warnings()) std::printf("WARNING: %s\n", warning.c_str());
}

bool print_tables(const Options& options) {
    const Settings settings = settings_from(options);
    use_one_blas_thread();
    print_surroundings();
    // One core for all that one thread does, unless the caller has chosen one.
    const std::vector<int> cores = usable_cores();
    bool right = true;
    for (const Table& table : tables) {
        if (std::count(options.tables.begin(), options.tables.end(), table.name) == 0) continue;
        run_on(table.name == "threads" || cores.empty() ? cores : std::vector{cores.back()});
        right &= table.print(settings);
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    for (const Table& table : tables) options.tables.push_back(table.name);
    for (const auto& [name, cell] : cell_names()) options.cells.push_back(name);
    const std::vector<std::string> all_tables = options.tables, all_cells = options.cells;
    CLI::App app(
        "Times recurrent layers, forward and backward, against the same work by hand and by other "
        "libraries. All contenders are compared before they are timed; a row ends with 'ok' or with the "
        "targets "
        "that it missed.");
    app.option_defaults()->always_capture_default();
    app.add_option("--tables", options.tables, "what to measure")
        ->delimiter(',')
        ->check(CLI::IsMember(all_tables));
    app.add_option("--cells", options.cells, "which cells, in tables that have several")
        ->delimiter(',')
        ->check(CLI::IsMember(all_cells));
    app.add_option("--sizes", options.sizes, "sizes B,T,D,H, separated by spaces");
    app.add_option("--seconds", options.seconds, "time for each row");
    app.add_flag("--quick", options.quick,
                 "sizes up to B = 16, 0.1 s for each row: whether something became slower than by hand");
    CLI11_PARSE(app, argc, argv);
    try {
        return print_tables(options) ? 0 : 1;
    } catch (const CLI::Error& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "recurrent: %s\n", error.what());
        return 1;
    }
}
