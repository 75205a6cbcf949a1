# How xtape's own code is compiled. Nothing of this reaches an installed package.
include(CheckCXXCompilerFlag)

# Warnings, for own targets only: third-party headers are system headers.
add_library(xtape_warnings INTERFACE)
target_compile_options(xtape_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(xtape_warnings INTERFACE -Wno-restrict)  # cries wolf on std::string (GCC bug 105329)
endif()
if(XTAPE_WERROR)
    target_compile_options(xtape_warnings INTERFACE -Werror)
endif()

# Statements are templates, so the programs of this build need the instruction set as much as the libraries do.
add_library(xtape_native INTERFACE)
if(XTAPE_NATIVE)
    check_cxx_compiler_flag(-march=native XTAPE_HAS_MARCH_NATIVE)
    if(XTAPE_HAS_MARCH_NATIVE)
        target_compile_options(xtape_native INTERFACE -march=native)
    else()
        target_compile_options(xtape_native INTERFACE -mcpu=native)
    endif()
endif()

if(XTAPE_SANITIZE)
    add_compile_options(-fsanitize=${XTAPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${XTAPE_SANITIZE})
endif()

if(XTAPE_CLANG_TIDY)
    find_program(CLANG_TIDY clang-tidy REQUIRED)
    set(CMAKE_CXX_CLANG_TIDY ${CLANG_TIDY} --quiet)
endif()
