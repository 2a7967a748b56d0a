# SPDX-License-Identifier: Apache-2.0
# Flags of every target, and attend_objects(): one object library per folder, so that a folder sees only
# the include paths its place in the design allows.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
# The program and the tests find the libraries and the modules in one place of the build tree.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

find_package(Threads REQUIRED)

add_library(attend-flags INTERFACE)
target_compile_definitions(attend-flags INTERFACE $<$<NOT:$<PLATFORM_ID:Windows>>:_XOPEN_SOURCE=700>)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  # Contraction would fuse a*b+c where the text does not say so, differently for each ISA and compiler.
  target_compile_options(attend-flags INTERFACE
    -ffp-contract=off -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wstrict-prototypes
    -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wwrite-strings
    $<$<NOT:$<PLATFORM_ID:Windows>>:-fstack-protector-strong> $<$<BOOL:${ATTEND_WERROR}>:-Werror>)
  if(NOT WIN32 AND NOT APPLE)
    add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
    if(NOT ATTEND_SANITIZE)
      add_link_options(-Wl,-z,defs)
    endif()
  endif()
endif()
if(ATTEND_SANITIZE)
  add_compile_options(-fsanitize=${ATTEND_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ATTEND_SANITIZE})
endif()

# attend_objects(NAME INCLUDES dir.. SOURCES file..)
function(attend_objects name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "INCLUDES;SOURCES")
  add_library(${name} OBJECT ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include ${arg_INCLUDES})
  target_compile_definitions(${name} PRIVATE ATTEND_BUILDING)
  target_link_libraries(${name} PRIVATE attend-flags Threads::Threads)
  # In a kernel a promotion is a mistake; tests compare in double on purpose.
  target_compile_options(${name} PRIVATE $<$<C_COMPILER_ID:GNU,Clang>:-Wdouble-promotion>)
endfunction()
