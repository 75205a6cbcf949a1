# A program that trains, and a test that kills it.
add_executable(resume_training ${CMAKE_CURRENT_LIST_DIR}/training.cpp)
target_link_libraries(resume_training PRIVATE xtape::nn xtape_warnings)
add_catch_tests(resume ${CMAKE_CURRENT_LIST_DIR}/resume_test.cpp)
target_compile_definitions(tests_resume PRIVATE RESUME_TRAINING="$<TARGET_FILE:resume_training>")
add_dependencies(tests_resume resume_training)
