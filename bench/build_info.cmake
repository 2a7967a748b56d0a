# SPDX-License-Identifier: Apache-2.0
# Writes build_info.h at each build, since the commit is not known when CMake configures; a file that would not change
# is left alone. Called with source, header, git (or empty), compiler, flags, type.

set(commit unknown)
if(git)
  # Locks would disturb a commit that somebody makes during the build.
  function(ask_git result)
    execute_process(COMMAND ${git} --no-optional-locks ${ARGN} WORKING_DIRECTORY ${source}
                    RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    set(${result} "${text}" PARENT_SCOPE)
    set(status ${status} PARENT_SCOPE)
  endfunction()
  # A prefix means that the sources lie in somebody else's repository.
  ask_git(prefix rev-parse --show-prefix)
  if(status EQUAL 0 AND prefix STREQUAL "")
    ask_git(head rev-parse --short=12 HEAD)
    if(status EQUAL 0)
      set(commit ${head})
      ask_git(changes status --porcelain --untracked-files=no)
      if(NOT changes STREQUAL "")
        string(APPEND commit -dirty)
      endif()
    endif()
  endif()
endif()

foreach(name compiler flags type)
  string(STRIP "${${name}}" ${name})
  string(REPLACE "\\" "\\\\" ${name} "${${name}}")
  string(REPLACE "\"" "\\\"" ${name} "${${name}}")
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_info.h.in ${header} @ONLY)
