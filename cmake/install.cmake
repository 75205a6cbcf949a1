# An installed xtape: headers in include/xtape/{autograd,nn}, included as <autograd/...> and <nn/...>, and a package
# that find_package(xtape) loads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/xtape)
install(TARGETS xtape_autograd xtape_nn EXPORT xtapeTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/xtape)
install(EXPORT xtapeTargets NAMESPACE xtape:: DESTINATION ${package_dir})

configure_package_config_file(cmake/xtapeConfig.cmake.in xtapeConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(xtapeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/xtapeConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/xtapeConfigVersion.cmake
    DESTINATION ${package_dir})
