# compile_time knows the compiler's command for each of these sources, and the files whose sizes it prints.
macro(compile_time_source name source standard target)
    set(includes "$<REMOVE_DUPLICATES:$<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>>")
    string(APPEND compile_time_sources
        "{\"${name}\", R\"(${CMAKE_CXX_COMPILER} -std=${standard} -O2 -I$<JOIN:${includes}, -I> "
        "-c ${CMAKE_CURRENT_LIST_DIR}/${source} -o /dev/null)\"},\n")
endmacro()
compile_time_source("xtensor and xtensor-blas, all of them" xtensor.cpp c++20 xtape_nn)
compile_time_source("xarray.hpp and xlinalg.hpp alone" xarray.cpp c++20 xtape_nn)
compile_time_source("a cell, with all of xtape" xtape.cpp c++20 xtape_nn)
if(TARGET torch)
    compile_time_source("the same cell, with libtorch" libtorch.cpp c++17 torch)
    string(APPEND compile_time_files "{\"libtorch_cpu.so\", \"$<TARGET_FILE:torch_cpu>\"},\n")
endif()

# A character model that needs nothing but the kernel. Most of it are OpenBLAS's kernels for every processor.
find_library(static_openblas libopenblas.a)
if(static_openblas AND TARGET xtape_examples)
    add_executable(char_lm_static EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/examples/char_lm.cpp)
    target_compile_features(char_lm_static PRIVATE cxx_std_20)
    target_include_directories(char_lm_static PRIVATE $<TARGET_PROPERTY:xtape_nn,INTERFACE_INCLUDE_DIRECTORIES>)
    target_link_libraries(char_lm_static PRIVATE xtape_native $<TARGET_FILE:xtape_examples>
        $<TARGET_FILE:xtape_nn> $<TARGET_FILE:xtape_autograd> ${static_openblas})
    target_link_options(char_lm_static PRIVATE -static -s)
    add_dependencies(char_lm_static xtape_examples xtape_nn xtape_autograd)
    string(APPEND compile_time_files "{\"char_lm, static, with OpenBLAS\", \"$<TARGET_FILE:char_lm_static>\"},\n")
endif()

file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/compile_time_sources.inc CONTENT "${compile_time_sources}")
file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/compile_time_files.inc CONTENT "${compile_time_files}")

add_executable(compile_time compile_time.cpp)
target_include_directories(compile_time PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(compile_time PRIVATE xtape_bench xtape_warnings CLI11::CLI11)
