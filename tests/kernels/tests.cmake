# A processor must not be given the instructions of another: of two functions of one name the linker keeps either one.
find_program(NM NAMES ${CMAKE_NM} nm)
foreach(set avx2 avx512)
    set(object xtape_autograd_kernels_${set})
    if(TARGET ${object} AND NM AND NOT XTAPE_SANITIZE)
        add_test(NAME "kernels: what is compiled for ${set} can't be merged with other code"
            COMMAND ${CMAKE_COMMAND} -DNM=${NM} -DOBJECT=$<TARGET_OBJECTS:${object}> -DSET=${set}
                -P ${CMAKE_CURRENT_LIST_DIR}/check_symbols.cmake)
    endif()
endforeach()

# The tests of the library, with the kernels that an older processor would use.
if(TARGET xtape_autograd_kernels_avx2)
    foreach(set baseline avx2)
        set(name "kernels: all tests of autograd pass with ${set}")
        add_test(NAME ${name} COMMAND tests_autograd)
        set_tests_properties(${name} PROPERTIES ENVIRONMENT XTAPE_INSTRUCTION_SET=${set} TIMEOUT 600)
    endforeach()
endif()
add_test(NAME "kernels: an instruction set that doesn't exist is refused" COMMAND tests_autograd)
set_tests_properties("kernels: an instruction set that doesn't exist is refused" PROPERTIES
    ENVIRONMENT XTAPE_INSTRUCTION_SET=avx3 PASS_REGULAR_EXPRESSION "is avx3: expected baseline, avx2 or avx512")

# An emulator refuses what its processor doesn't have, which only the build for every processor may be asked to pass.
find_program(QEMU qemu-x86_64)
if(QEMU AND TARGET xtape_autograd_kernels_avx2 AND NOT XTAPE_NATIVE AND NOT XTAPE_SANITIZE)
    foreach(processor Nehalem Haswell)
        add_test(NAME "kernels: products, sums and softmax run on an emulated ${processor}"
            COMMAND ${QEMU} -cpu ${processor} $<TARGET_FILE:tests_autograd>
                "[kernels],[gemm],[softmax],[reductions]")
    endforeach()
endif()
