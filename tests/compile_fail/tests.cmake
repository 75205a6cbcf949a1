# Misuse that doesn't compile. Each file holds correct code, and under #ifdef MISUSE a mistake; its first line is
#     // expected: <regular expression for the compiler's error message>
# The file must compile without MISUSE and be refused, with that message, with it.
file(GLOB cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cpp)
foreach(case IN LISTS cases)
    cmake_path(GET case STEM name)
    string(REPLACE "_" " " sentence ${name})
    file(STRINGS ${case} first_line LIMIT_COUNT 1)
    if(NOT first_line MATCHES "^// expected: (.+)$")
        message(FATAL_ERROR "${case}: the first line doesn't say which message is expected")
    endif()
    set(message ${CMAKE_MATCH_1})

    add_test(NAME "misuse: ${sentence}, refused" COMMAND ${CMAKE_CXX_COMPILER} ${compile_only} -DMISUSE ${case} COMMAND_EXPAND_LISTS)
    set_tests_properties("misuse: ${sentence}, refused" PROPERTIES PASS_REGULAR_EXPRESSION "error: [^\n]*${message}")
    add_test(NAME "misuse: ${sentence}, put right" COMMAND ${CMAKE_CXX_COMPILER} ${compile_only} ${case} COMMAND_EXPAND_LISTS)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${case})
endforeach()
