# Files go from xtape to PyTorch and back, where there is a Python that has PyTorch (Debian: python3-torch).
find_program(XTAPE_PYTHON python3 HINTS /usr/bin DOC "A Python, of which PyTorch is used in tests if it has it")
set(torch_is_missing 1)
if(XTAPE_PYTHON)
    execute_process(
        COMMAND ${XTAPE_PYTHON} -c "from importlib.util import find_spec as f; assert f('torch') and f('numpy')"
        RESULT_VARIABLE torch_is_missing OUTPUT_QUIET ERROR_QUIET)
endif()
if(NOT torch_is_missing EQUAL 0)
    message(STATUS "The tests with PyTorch are left out: no python3 with torch (XTAPE_PYTHON=${XTAPE_PYTHON})")
    return()
endif()

add_executable(pytorch_modules ${CMAKE_CURRENT_LIST_DIR}/modules.cpp)
target_link_libraries(pytorch_modules PRIVATE xtape::nn xtape_warnings)

set(python ${XTAPE_PYTHON} -B)  # no __pycache__ among the sources
add_test(NAME "pytorch: what xtape saves PyTorch loads, what PyTorch saves xtape loads, and both compute the same"
    COMMAND ${python} ${CMAKE_CURRENT_LIST_DIR}/modules_test.py $<TARGET_FILE:pytorch_modules>)
add_test(NAME "pytorch: convert_pytorch.py converts both ways, and refuses what isn't data"
    COMMAND ${python} ${CMAKE_CURRENT_LIST_DIR}/convert_pytorch_test.py)
set_tests_properties(
    "pytorch: what xtape saves PyTorch loads, what PyTorch saves xtape loads, and both compute the same"
    "pytorch: convert_pytorch.py converts both ways, and refuses what isn't data"
    PROPERTIES LABELS pytorch TIMEOUT 300)

if(TARGET import_pytorch)
    set(name "pytorch: import_pytorch runs what PyTorch saved, and gives what PyTorch gives")
    add_test(NAME ${name}
        COMMAND ${python} ${CMAKE_CURRENT_LIST_DIR}/import_pytorch_test.py $<TARGET_FILE:import_pytorch>)
    set_tests_properties(${name} PROPERTIES LABELS pytorch TIMEOUT 300)
endif()
