# What fuzzing has found worth keeping is a test with any compiler. With Clang and libFuzzer (Debian: clang, libclang-rt-14-dev) the
# preset `fuzz` builds the fuzzers, which look for more:
#
#     cmake --preset fuzz && cmake --build --preset fuzz
#     mkdir new; export TMPDIR=/dev/shm          # what is written needn't reach a disk
#     build/fuzz/tests/fuzz_npy -max_total_time=600 -malloc_limit_mb=1 -dict=tests/fuzz/npy.dict new tests/fuzz/corpus/npy
#     build/fuzz/tests/fuzz_npy -merge=1 -use_counters=0 tests/fuzz/corpus/npy new
#
# The limit is a check too: no file of a few kilobytes may get a megabyte.
if(XTAPE_FUZZ AND NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "XTAPE_FUZZ needs Clang with libFuzzer: cmake --preset fuzz")
endif()

set(fuzz_dir ${CMAKE_CURRENT_LIST_DIR})
set(files_sources dtype file npy safetensors)
list(TRANSFORM files_sources PREPEND ${PROJECT_SOURCE_DIR}/nn/)
list(TRANSFORM files_sources APPEND .cpp)

foreach(format safetensors npy)
    add_executable(replay_${format} ${fuzz_dir}/replay.cpp ${fuzz_dir}/${format}_fuzzer.cpp)
    target_link_libraries(replay_${format} PRIVATE xtape::nn xtape_warnings)
    add_test(NAME "fuzz: every file of the ${format} corpus is refused, or read and true"
        COMMAND replay_${format} ${fuzz_dir}/corpus/${format})

    if(XTAPE_FUZZ)
        # The sources themselves, so that they are instrumented.
        add_executable(fuzz_${format} ${fuzz_dir}/${format}_fuzzer.cpp ${files_sources}
            ${PROJECT_SOURCE_DIR}/autograd/shape.cpp)
        target_compile_features(fuzz_${format} PRIVATE cxx_std_20)
        target_include_directories(fuzz_${format} PRIVATE ${PROJECT_SOURCE_DIR})
        target_link_libraries(fuzz_${format} PRIVATE xtensor nlohmann_json::nlohmann_json xtape_warnings)
        set(fuzz_flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
        target_compile_options(fuzz_${format} PRIVATE -O1 -g ${fuzz_flags})
        target_link_options(fuzz_${format} PRIVATE ${fuzz_flags})
    endif()
endforeach()
