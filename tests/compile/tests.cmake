# A program that includes all of xtape, as each compiler of this machine sees it: no warning, whatever the program's
# flags. Headers of xtape come in as own code here, not as system headers, so that their warnings show.
set(include_dirs $<TARGET_PROPERTY:xtape_nn,INTERFACE_INCLUDE_DIRECTORIES>)
set(compile_only -std=c++20 -fsyntax-only "-I$<JOIN:${include_dirs},$<SEMICOLON>-I>")

foreach(compiler g++ clang++)
    find_program(program_${compiler} ${compiler})
    if(program_${compiler})
        add_test(NAME "compile: ${compiler} takes a program with all of xtape without a warning"
            COMMAND ${program_${compiler}} ${compile_only}
                -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror ${CMAKE_CURRENT_LIST_DIR}/program.cpp
            COMMAND_EXPAND_LISTS)
    endif()
endforeach()
