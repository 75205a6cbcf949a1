#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>

namespace examples {

/// Reads the command line and runs `body`. What it returns is the exit code; an exception is printed as one line
/// on stderr and gives 1, a wrong command line gives 2, --help gives 0.
inline int run(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool is_help = error.get_exit_code() == 0;
        app.exit(error, std::cout, std::cerr);
        return is_help ? 0 : 2;
    }
    try {
        return body();
    } catch (const std::exception& error) {
        std::fflush(stdout);
        std::cerr << app.get_name() << ": " << error.what() << '\n';
        return 1;
    }
}

}  // namespace examples
