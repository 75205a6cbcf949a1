# Consumers are compiled with other flags than the libraries they use.
if(XTAPE_SANITIZE)
    return()  # the installed libraries would need the sanitizer in the consumer too
endif()
set(check ${CMAKE_COMMAND} "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DGENERATOR=${CMAKE_GENERATOR}")
set(script ${CMAKE_CURRENT_LIST_DIR}/check.cmake)

add_test(NAME "install: find_package gives a program what it needs, whatever its flags"
    COMMAND ${check} "-DPACKAGE=${PROJECT_BINARY_DIR}" "-DWORK=${CMAKE_CURRENT_BINARY_DIR}/install/package"
        "-DOPTIONS=-O2" -P ${script})
add_test(NAME "install: add_subdirectory gives a program what it needs, whatever its flags"
    COMMAND ${check} "-DXTAPE_SOURCES=${PROJECT_SOURCE_DIR}" "-DWORK=${CMAKE_CURRENT_BINARY_DIR}/install/sources"
        "-DOPTIONS=-march=native;-DXTENSOR_USE_XSIMD" -P ${script})
