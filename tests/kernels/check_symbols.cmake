# Fails if OBJECT defines a function or variable that the linker may merge (weak or unique) without the instruction set
# SET in its name.
set(name_avx2 "fma3<xsimd::avx2>")
set(name_avx512 "xsimd::avx512bw")

execute_process(COMMAND ${NM} --demangle --defined-only ${OBJECT} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
if(NOT symbols MATCHES "Kernels|kernels")
    message(FATAL_ERROR "${OBJECT} has no kernels:\n${symbols}")
endif()
string(REPLACE ";" "," symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
foreach(symbol IN LISTS symbols)
    string(FIND "${symbol}" "${name_${SET}}" at)
    if(symbol MATCHES "^[0-9a-f]+ [VWu] " AND at EQUAL -1)
        message(SEND_ERROR "${symbol}")
    endif()
endforeach()
