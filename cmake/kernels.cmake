# xtape_kernels(target): adds autograd/kernels/ to a library, instruction_set.cpp once for each instruction set of the
# processor family. The library chooses when it runs, so these flags depend neither on XTAPE_NATIVE nor on the user's.
function(xtape_kernels target)
    set(sets baseline)
    string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
    if(processor MATCHES "^(x86_64|amd64)$")
        list(APPEND sets avx2 avx512)
        set(baseline_flags -march=x86-64)
        set(avx2_flags ${baseline_flags} -mavx2 -mfma)
        set(avx512_flags ${avx2_flags} -mavx512f -mavx512cd -mavx512dq -mavx512bw -mavx512vl)
        set_property(SOURCE ${PROJECT_SOURCE_DIR}/autograd/kernels/kernels.cpp
            APPEND PROPERTY COMPILE_DEFINITIONS XTAPE_X86_KERNELS)
    endif()

    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/autograd/kernels/kernels.cpp)
    foreach(set IN LISTS sets)
        set(object ${target}_kernels_${set})
        add_library(${object} OBJECT ${PROJECT_SOURCE_DIR}/autograd/kernels/instruction_set.cpp)
        set_target_properties(${object} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        target_compile_features(${object} PRIVATE cxx_std_20)
        target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR})
        target_compile_definitions(${object} PRIVATE XTAPE_COMPILED_SET=${set})
        # Optimised in every configuration: what isn't inlined might be merged with another set's.
        target_compile_options(${object} PRIVATE ${${set}_flags} -O3 -fno-exceptions)
        target_link_libraries(${object} PRIVATE xsimd xtape_warnings)
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endforeach()
endfunction()
