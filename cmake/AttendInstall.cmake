# SPDX-License-Identifier: Apache-2.0
# Headers, libraries, the CMake package (find_package(attend 1 CONFIG)) and the pkg-config files.
include(CMakePackageConfigHelpers)

set(ATTEND_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/attend)
install(DIRECTORY include/attend DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h"
        PATTERN "model.h" EXCLUDE PATTERN "opencl.h" EXCLUDE)
if(ATTEND_OPENCL)
  install(FILES include/attend/opencl.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attend)
endif()
install(TARGETS attend EXPORT attend-targets)
if(ATTEND_MODEL)
  install(FILES include/attend/model.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/attend)
  install(TARGETS attend-model EXPORT attend-targets)
endif()
install(EXPORT attend-targets NAMESPACE attend:: DESTINATION ${ATTEND_PACKAGE_DIR})

configure_package_config_file(cmake/attend-config.cmake.in attend-config.cmake
  INSTALL_DESTINATION ${ATTEND_PACKAGE_DIR})
write_basic_package_version_file(attend-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/attend-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/attend-config-version.cmake
        DESTINATION ${ATTEND_PACKAGE_DIR})

# The prefix is taken from where the .pc file lies, so that an installed tree can be moved.
file(RELATIVE_PATH ATTEND_PC_PREFIX
     ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
if(NOT BUILD_SHARED_LIBS)
  set(ATTEND_PC_STATIC " -DATTEND_STATIC")
endif()
configure_file(cmake/attend.pc.in attend.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/attend.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(ATTEND_MODEL)
  configure_file(cmake/attend-model.pc.in attend-model.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/attend-model.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
