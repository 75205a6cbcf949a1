# xtape_library(name): the target xtape_<name>, alias xtape::<name>, from the sources and headers of folder <name>.
# Sets xtape_<name>_scope to the scope in which its users see its dependencies: PUBLIC, or INTERFACE without sources.
function(xtape_library name)
    set(target xtape_${name})
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.cpp)
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.hpp)

    if(sources)
        set(scope PUBLIC)
        add_library(${target} STATIC ${sources})
        set_target_properties(${target} PROPERTIES OUTPUT_NAME xtape-${name} POSITION_INDEPENDENT_CODE ON)
        target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:xtape_warnings>)
    else()
        set(scope INTERFACE)
        add_library(${target} INTERFACE)
    endif()
    add_library(xtape::${name} ALIAS ${target})

    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
    target_compile_features(${target} ${scope} cxx_std_20)
    target_link_libraries(${target} ${scope} $<BUILD_INTERFACE:xtape_native>)
    target_sources(${target} ${scope}
        FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${headers})
    set(${target}_scope ${scope} PARENT_SCOPE)
endfunction()
