/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that are built once for many passes of a test: one whose source, options and context
 * were built before is another name of that one. PoCL preprocesses a source at each build, whether
 * it finds the result in its cache or not, which is most of the time of a small pass. */
#ifndef BUILT_ONCE_H
#define BUILT_ONCE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* `program` was made now; `source` NULL: of a binary, and then it is itself. */
void built_once_made(cl_program program, cl_context context, cl_uint count, const char **source,
                     const size_t *lengths);
/* clBuildProgram for all of its devices. */
cl_int built_once_build(cl_program program, const char *options);
/* What kernels and binaries of `program` come from. */
cl_program built_once_meant(cl_program program);

#endif
