# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUTS=a.c;b.c -DOUTPUT=x.c -P trials.cmake: attend__ocl_trials (ocl_cache.h), a digest of the files.
cmake_minimum_required(VERSION 3.22)
set(digests "")
foreach(path ${INPUTS})
  file(SHA256 ${path} digest)
  string(APPEND digests "${digest}\n")
endforeach()
string(SHA256 digest "${digests}")
string(SUBSTRING ${digest} 0 16 digest)
file(WRITE ${OUTPUT} "#include \"cl/host/ocl_cache.h\"\nconst char attend__ocl_trials[] = \"trials ${digest}\";\n")
