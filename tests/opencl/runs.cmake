# SPDX-License-Identifier: Apache-2.0
# What every backend is held against, on the OpenCL backends: case files, generated cases, the tests of meaning, of
# queues and of stages. By PoCL alone, whatever else is installed, in all three families of kernels; other drivers in
# the full tests.
set(vendors ${CMAKE_CURRENT_SOURCE_DIR}/vendors.sh)

# opencl_run(NAME DRIVER ENVIRONMENT LABELS COMMAND..): skipped where the driver is not installed.
function(opencl_run name driver environment labels)
  add_test(NAME ${name} COMMAND ${vendors} ${driver} ${ARGN})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 3000 LABELS "${labels}" ENVIRONMENT "${environment}")
endfunction()

set(sides "rows:opencl:ATTEND_KERNELS=rows" "tile:opencl:ATTEND_KERNELS=tile" "plain:opencl:ATTEND_KERNELS=plain")
if(TARGET attend-clblast)
  list(APPEND sides "clblast:clblast:ATTEND_KERNELS=rows" "composed:clblast:ATTEND_CLBLAST_ATTENTION=composed")
endif()
file(GLOB case_files ${PROJECT_SOURCE_DIR}/tests/data/*.safetensors)
foreach(side ${sides})
  string(REPLACE ":" ";" side ${side})
  list(GET side 0 name)
  list(GET side 1 backend)
  list(GET side 2 kernels)
  set(named "${kernels};ATTEND_BACKEND=${backend}")
  opencl_run(gate-${name} pocl "${kernels}" opencl $<TARGET_FILE:attend-gate> --backend ${backend} --cases 70 --seed 11
             --plans 8 --length 400 --head-size 140)
  if(NOT name STREQUAL composed)
    # keys so far below a sink that each weight is subnormal, but not what they give together
    opencl_run(gate-${name}-low pocl "${kernels}" opencl $<TARGET_FILE:attend-gate> --backend ${backend} --seed 13 --only 639
               --plans 150 --length 700 --head-size 256 --dense 0)
  endif()
  opencl_run(gate-${name}-3000 pocl "${kernels}" "opencl;full" $<TARGET_FILE:attend-gate> --backend ${backend} --cases 3000
             --seed 12 --plans 150)
  if(ATTEND_MODEL)
    opencl_run(cases-${name} pocl "${kernels}" opencl $<TARGET_FILE:attend-program> check --backend ${backend} ${case_files})
  endif()
  if(CMOCKA_FOUND)
    foreach(test properties poison edges positions same_bits fast cache cache_bytes serving_bits serving_poison
            serving_steps merge)
      opencl_run(test_${test}-${name} pocl "${kernels}" opencl $<TARGET_FILE:test_${test}> ${backend})
    endforeach()
    if(ATTEND_MODEL)
      opencl_run(cli-explain-${name} pocl "${kernels}" opencl ${PROJECT_SOURCE_DIR}/tests/cli/explain.sh
                 $<TARGET_FILE:attend-program> ${backend})
      foreach(test head_trace head_trace_model)
        opencl_run(test_${test}-${name} pocl "${kernels}" opencl $<TARGET_FILE:test_${test}> ${backend})
      endforeach()
    endif()
    foreach(test projection_gate norm_gate stage_gate layers)
      opencl_run(test_${test}-${name} pocl "${named}" opencl $<TARGET_FILE:test_${test}>)
    endforeach()
  endif()
endforeach()

# Tiles of 128 rows, whatever the size.
if(CMOCKA_FOUND)
  foreach(test projection_gate layers)
    opencl_run(test_${test}-wide pocl "ATTEND_BACKEND=opencl;ATTEND_KERNELS=tile;ATTEND_TUNING=project_tile:rows=128" opencl
               $<TARGET_FILE:test_${test}>)
  endforeach()
endif()

# Matrix units, emulated: projections by each, attention by the two whose fragments differ most.
foreach(unit nvidia intel8)
  set(environment "ATTEND_KERNELS=tile;ATTEND_MATRIX=emulated-${unit}")
  if(ATTEND_MODEL)
    opencl_run(cases-${unit} pocl "${environment}" "opencl;full" $<TARGET_FILE:attend-program> check --backend opencl
               ${case_files})
  endif()
  opencl_run(gate-${unit} pocl "${environment}" opencl $<TARGET_FILE:attend-gate> --backend opencl --cases 40 --seed 11
             --plans 6 --length 150 --head-size 80)
  if(CMOCKA_FOUND)
    foreach(test poison edges same_bits fast serving_bits)
      opencl_run(test_${test}-${unit} pocl "${environment}" opencl $<TARGET_FILE:test_${test}> opencl)
    endforeach()
  endif()
endforeach()
if(CMOCKA_FOUND)
  foreach(unit nvidia intel16 intel8 arm)
    foreach(test projection_gate layers)
      opencl_run(test_${test}-${unit} pocl "ATTEND_BACKEND=opencl;ATTEND_KERNELS=tile;ATTEND_MATRIX=emulated-${unit}" opencl
                 $<TARGET_FILE:test_${test}>)
    endforeach()
  endforeach()
endif()

# Exchanges within a sub-group, emulated.
set(environment "ATTEND_KERNELS=tile;ATTEND_SUBGROUPS=emulated")
opencl_run(gate-subgroups pocl "${environment}" opencl $<TARGET_FILE:attend-gate> --backend opencl --cases 30 --seed 15
           --plans 6 --length 400 --head-size 140)
if(CMOCKA_FOUND)
  foreach(test poison same_bits serving_bits serving_poison)
    opencl_run(test_${test}-subgroups pocl "${environment}" opencl $<TARGET_FILE:test_${test}> opencl)
  endforeach()
  opencl_run(test_norm_gate-subgroups pocl "${environment};ATTEND_BACKEND=opencl" opencl $<TARGET_FILE:test_norm_gate>)
endif()

# What does not depend on the kernels.
if(CMOCKA_FOUND)
  foreach(backend opencl clblast)
    if(TARGET attend-${backend})
      foreach(test enqueue plan layers_queue layers_cache layers_packed packed_refusals sizes overlap regressions arguments_attention
              arguments_steps arguments_stages arguments_layers)
        opencl_run(test_${test}-${backend} pocl "ATTEND_BACKEND=${backend}" opencl $<TARGET_FILE:test_${test}>)
      endforeach()
      foreach(test cache_refusals serving_queue serving_refusals)
        opencl_run(test_${test}-${backend} pocl "" opencl $<TARGET_FILE:test_${test}> ${backend})
      endforeach()
      opencl_run(test_backend_threads-${backend} pocl "" opencl $<TARGET_FILE:test_backend_threads> ${backend})
    endif()
  endforeach()
endif()

if(ATTEND_MODEL)
  opencl_run(serving-numpy-opencl pocl "" opencl ${PROJECT_SOURCE_DIR}/tests/oracle/serving_check.sh
             $<TARGET_FILE:attend-program> ${CMAKE_CURRENT_BINARY_DIR} 8 opencl clblast)
  add_test(NAME opencl-absent COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/absent.sh $<TARGET_FILE:attend-program>)
  set_tests_properties(opencl-absent PROPERTIES LABELS opencl TIMEOUT 600)
endif()
if(CMOCKA_FOUND)
  add_executable(test_opencl_long ${CMAKE_CURRENT_SOURCE_DIR}/test_opencl_long.c)
  target_include_directories(test_opencl_long PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(test_opencl_long PRIVATE attend-flags attend PkgConfig::CMOCKA m)
  foreach(side ${sides})
    string(REPLACE ":" ";" side ${side})
    list(GET side 0 name)
    list(GET side 1 backend)
    list(GET side 2 kernels)
    opencl_run(test_opencl_long-${name} pocl "${kernels}" opencl $<TARGET_FILE:test_opencl_long> ${backend})
  endforeach()
endif()
if(CMOCKA_FOUND)
  foreach(name transfers transfer_threads)
    add_executable(test_opencl_${name} test_opencl_${name}.c transfer_data.c ${PROJECT_SOURCE_DIR}/tests/guarded.c)
    target_include_directories(test_opencl_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(test_opencl_${name} PRIVATE attend-flags attend PkgConfig::CMOCKA m pthread)
    opencl_run(test_opencl_${name} pocl "" opencl $<TARGET_FILE:test_opencl_${name}>)
    opencl_run(test_opencl_${name}-clblast pocl "" opencl $<TARGET_FILE:test_opencl_${name}> clblast)
    opencl_run(test_opencl_${name}-intel intel "" "opencl;full" $<TARGET_FILE:test_opencl_${name}>)
  endforeach()
endif()
# The number of compute units decides where keys are split, and nothing else.
add_executable(opencl_bits ${CMAKE_CURRENT_SOURCE_DIR}/opencl_bits.c)
target_link_libraries(opencl_bits PRIVATE attend-flags attend)
foreach(side ${sides})
  string(REPLACE ":" ";" side ${side})
  list(GET side 0 name)
  list(GET side 1 backend)
  list(GET side 2 kernels)
  opencl_run(bits-${name} pocl "${kernels}" opencl ${CMAKE_CURRENT_SOURCE_DIR}/bits.sh $<TARGET_FILE:opencl_bits> ${backend})
endforeach()
opencl_run(bits-nvidia pocl "ATTEND_KERNELS=tile;ATTEND_MATRIX=emulated-nvidia" opencl
           ${CMAKE_CURRENT_SOURCE_DIR}/bits.sh $<TARGET_FILE:opencl_bits> opencl)
opencl_run(bits-subgroups pocl "ATTEND_KERNELS=tile;ATTEND_SUBGROUPS=emulated" opencl
           ${CMAKE_CURRENT_SOURCE_DIR}/bits.sh $<TARGET_FILE:opencl_bits> opencl)

if(TARGET example-generation)
  foreach(backend opencl clblast)
    if(TARGET attend-${backend})
      opencl_run(example-generation-${backend} pocl "ATTEND_BACKEND=${backend}" opencl $<TARGET_FILE:example-generation>)
    endif()
  endforeach()
endif()
if(TARGET example-opencl-sharing)
  opencl_run(example-opencl-sharing pocl "" opencl $<TARGET_FILE:example-opencl-sharing>)
endif()

# Tiles of devices that have groups of 64 work-items at most.
opencl_run(gate-tile-small pocl "ATTEND_KERNELS=tile;POCL_MAX_WORK_GROUP_SIZE=64" opencl $<TARGET_FILE:attend-gate>
           --backend opencl --cases 30 --seed 14 --plans 4 --length 400 --head-size 80)

# ---- other drivers -----------------------------------------------------------------------------------
# By its sub-groups.
if(CMOCKA_FOUND)
  foreach(test poison same_bits serving_bits serving_poison)
    opencl_run(test_${test}-intel-tile intel "ATTEND_KERNELS=tile" "opencl;full" $<TARGET_FILE:test_${test}> opencl)
  endforeach()
  opencl_run(test_norm_gate-intel-tile intel "ATTEND_KERNELS=tile;ATTEND_BACKEND=opencl" "opencl;full"
             $<TARGET_FILE:test_norm_gate>)
endif()
foreach(side rows:opencl:3000 tile:opencl:3000 plain:opencl:300 clblast:clblast:300)
  string(REPLACE ":" ";" side ${side})
  list(GET side 0 name)
  list(GET side 1 backend)
  list(GET side 2 cases)
  set(environment "ATTEND_CACHE=off")
  if(backend STREQUAL opencl)
    list(APPEND environment "ATTEND_KERNELS=${name}")
  endif()
  opencl_run(gate-intel-${name} intel "${environment}" "opencl;full" $<TARGET_FILE:attend-gate> --backend ${backend}
             --cases ${cases} --seed 13 --plans 150)
  if(ATTEND_MODEL)
    opencl_run(cases-intel-${name} intel "${environment}" "opencl;full" $<TARGET_FILE:attend-program> check
               --backend ${backend} ${case_files})
  endif()
  if(CMOCKA_FOUND)
    opencl_run(test_fast-intel-${name} intel "${environment}" "opencl;full" $<TARGET_FILE:test_fast> ${backend})
  endif()
endforeach()

if(ATTEND_MODEL)
  set(oclgrind ${CMAKE_CURRENT_SOURCE_DIR}/oclgrind.sh)
  add_test(NAME oclgrind COMMAND ${oclgrind} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} --quick)
  set_tests_properties(oclgrind PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 3000 LABELS opencl)
  foreach(kernels rows tile plain)
    add_test(NAME oclgrind-${kernels} COMMAND ${oclgrind} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${kernels})
    set_tests_properties(oclgrind-${kernels} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 5400 LABELS "opencl;full")
  endforeach()
endif()
