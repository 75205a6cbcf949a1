#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

namespace examples {

/// A check of numbers.
inline const CLI::Validator positive(
    [](std::string& text) {
        double number = 0;
        return CLI::detail::lexical_cast(text, number) && number > 0 ? ""
                                                                     : text + ": expected a number above 0";
    },
    "POSITIVE");

/// Reads the command line. If the program is to end now, its exit code: 0 after --help, 2 after a wrong
/// option, which is explained on stderr.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool is_help = error.get_exit_code() == 0;
        app.exit(error, std::cout, std::cerr);
        return is_help ? 0 : 2;
    }
    return {};
}

/// Runs `program(argc, argv)`, which returns the exit code. An exception is printed as one line on stderr and
/// gives 1.
template <class Program>
int run(Program&& program, int argc, char** argv) noexcept {
    try {
        return program(argc, argv);
    } catch (const std::exception& error) {
        const char* const slash = std::strrchr(argv[0], '/');
        std::fflush(stdout);
        std::fprintf(stderr, "%s: %s\n", slash != nullptr ? slash + 1 : argv[0], error.what());
        return 1;
    }
}

}  // namespace examples
