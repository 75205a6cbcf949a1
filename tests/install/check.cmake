# Builds and runs the consumer project, from nothing, in WORK:
#   PACKAGE    the build folder of xtape, which is installed to a fresh prefix for find_package, or
#   XTAPE_SOURCES    the sources of xtape, for add_subdirectory
#   OPTIONS    what to compile the consumer with
#   COMPILER, GENERATOR    those of the outer build
file(REMOVE_RECURSE ${WORK})

if(PACKAGE)
    execute_process(COMMAND ${CMAKE_COMMAND} --install ${PACKAGE} --prefix ${WORK}/prefix COMMAND_ERROR_IS_FATAL ANY)
    set(where -DCMAKE_PREFIX_PATH=${WORK}/prefix)
else()
    set(where -DXTAPE_SOURCES=${XTAPE_SOURCES})
endif()

execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK}/build -G ${GENERATOR}
        -DCMAKE_CXX_COMPILER=${COMPILER} "-DCONSUMER_OPTIONS=${OPTIONS}" ${where}
    COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/build/consumer COMMAND_ERROR_IS_FATAL ANY)
