# add_markdown_programs(file): every complete program in the ```cpp blocks of a page is compiled and run. The ```text
# block that follows it is what it has to print.
function(add_markdown_programs page)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
    cmake_path(GET page STEM page_name)
    file(READ ${page} text)
    set(number 0)
    set(fence "```")
    while(text MATCHES "\n${fence}cpp\n([^`]*)${fence}\n(.*)$")
        set(code "${CMAKE_MATCH_1}")
        set(text "\n${CMAKE_MATCH_2}")
        if(NOT code MATCHES "int main\\(")
            continue()
        endif()
        math(EXPR number "${number} + 1")
        set(name ${page_name}_${number})

        file(CONFIGURE OUTPUT ${name}.cpp CONTENT "${code}" @ONLY)
        add_executable(${name} ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
        target_link_libraries(${name} PRIVATE xtape::nn xtape_warnings)

        string(REGEX MATCH "^[^`]*${fence}text\n([^`]*)${fence}" output_block "${text}")
        if(NOT output_block)
            message(FATAL_ERROR "${page}: program ${number} is not followed by what it prints")
        endif()
        file(CONFIGURE OUTPUT ${name}.txt CONTENT "${CMAKE_MATCH_1}" @ONLY)
        add_test(NAME "${page_name}: program ${number} prints what the page says"
            COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${name}>
                -DEXPECTED=${CMAKE_CURRENT_BINARY_DIR}/${name}.txt
                -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compare.cmake)
    endwhile()
    if(number EQUAL 0)
        message(FATAL_ERROR "${page} holds no program")
    endif()
endfunction()

add_markdown_programs(${PROJECT_SOURCE_DIR}/README.md)
